"""Sub-words: what goes in comes out, placeholders stay whole, ids are the same wherever they are made."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pyarrow
import pytest

from pipeline.configuration import parse_config
from pipeline.configuration.schema_data import Tokenizer as Settings
from pipeline.data import subword_training
from pipeline.data.subword_training import automatic_size, train_tokenizer
from pipeline.data.subwords import BOS, EOS, FIRST_SLOT, PAD, UNK, Tokenizer
from pipeline.data.tables import SCHEMA, TableWriter
from pipeline.runtime.errors import UserError
from pipeline.support.run_directory import RunDirectory
from pipeline.tokenize import run_stage

COLOURS = ["red", "green", "blue", "yellow", "purple", "orange"]
THINGS = ["lamp", "door", "window", "car", "light switch", "garage door", "washing machine"]
PLACEHOLDERS = ["{name}", "{{count}}", "%s", "%(host)d", "https://example.com/a?b=1", '<a href="x, y">', "</a>"]
FARBEN = ["rote", "grüne", "blaue", "gelbe", "lila", "orange"]
SACHEN = ["Lampe", "Tür", "Fenster", "Auto", "Schalter", "Garagentor", "Waschmaschine"]
TYPES = ("unigram", "bpe")


def corpus(pairs: int = 400) -> tuple[list[str], list[str]]:
    """Small sentences in two languages, each with a placeholder."""
    generator = random.Random(1)
    source, target = [], []
    for _ in range(pairs):
        colour, thing, placeholder = generator.randrange(6), generator.randrange(7), generator.choice(PLACEHOLDERS)
        source.append(f"Turn the {COLOURS[colour]} {THINGS[thing]} of {placeholder} on, room {generator.randrange(100)}.")
        target.append(f"{placeholder}: {FARBEN[colour]} {SACHEN[thing]} in Raum {generator.randrange(100)} einschalten!")
    return source, target


@pytest.fixture(scope="module", params=TYPES)
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("run") / "tokenizer"
    return train_tokenizer(*corpus(), Settings(type=request.param), folder, languages=("en", "de"))


def test_every_training_sentence_comes_back(tokenizer: Tokenizer) -> None:
    sources, targets = corpus()
    encoded, kept = tokenizer.encode_source(sources)
    assert tokenizer.decode_target(encoded, kept) == sources
    assert tokenizer.decode_target(tokenizer.encode_target(targets, kept), kept) == targets
    assert not any(UNK in ids for ids in encoded)


@pytest.mark.parametrize("text", ["a  b", " a", "a ", "  a   b  "])
def test_only_superfluous_spaces_are_lost(tokenizer: Tokenizer, text: str) -> None:
    (ids,) = tokenizer.source.encode([text])
    assert tokenizer.source.decode([ids]) == [" ".join(text.split())]


def test_an_empty_text_has_no_ids(tokenizer: Tokenizer) -> None:
    assert tokenizer.source.encode(["", " "]) == [[], []]
    assert tokenizer.source.decode([[]]) == [""]


def test_case_and_width_are_kept(tmp_path: Path) -> None:
    texts = ["ＡＢＣ ﬁn Ⅳ abc ABC ½"] * 20
    trained = train_tokenizer(texts, texts, Settings(), tmp_path / "t", languages=("en", "de"))
    assert trained.source.decode(trained.source.encode(texts)) == texts


@pytest.mark.parametrize("placeholder", [*PLACEHOLDERS, "{newName_Q7}", "http://new.example:8123/~j?k=v&w=^#@!$", "☃ ☃☃"])
@pytest.mark.parametrize("pattern", ["{}", "{} on", "on {} ", "({}).", "+{}+", "x{} y", "{}{}", "{}, {}", '"{}"!'])
def test_placeholders_are_never_cut(tokenizer: Tokenizer, placeholder: str, pattern: str) -> None:
    text = " ".join(pattern.replace("{}", placeholder).split())
    (ids,), (kept,) = tokenizer.encode_source([text])
    slots = [id_ for id_ in ids if FIRST_SLOT <= id_ < FIRST_SLOT + tokenizer.slots.size]
    assert [kept[piece] for piece in tokenizer.source.pieces(slots)] == list(kept.values())
    assert placeholder in "".join(kept.values())
    assert tokenizer.decode_target([ids], [kept]) == [text]


@pytest.mark.parametrize("text", ["<s>", "</s>", "<pad>", "<unk>", "a<s>b </s>", "<s> <pad> </s> <unk>", "▁", "▁<s>▁", "a▁b", "\0", "⁇"])
def test_no_text_becomes_a_control_piece(tokenizer: Tokenizer, text: str) -> None:
    (ids,) = tokenizer.source.encode([text])
    assert not {PAD, BOS, EOS} & set(ids)


def test_control_pieces_in_the_corpus_are_ordinary_text(tmp_path: Path) -> None:
    texts = ["the <s> tag, </s> and <pad> or <unk>", "<b>bold</b>"] * 20
    trained = train_tokenizer(texts, texts, Settings(), tmp_path / "t", languages=("en", "de"))
    encoded, kept = trained.encode_source(texts)
    assert not {PAD, UNK, BOS, EOS} & {id_ for ids in encoded for id_ in ids}
    assert trained.decode_target(encoded, kept) == texts


def test_control_ids_are_fixed(tokenizer: Tokenizer) -> None:
    assert tokenizer.source.pieces([PAD, UNK, BOS, EOS]) == ["<pad>", "<unk>", "<s>", "</s>"]
    assert tokenizer.source.decode([[BOS, *tokenizer.source.encode(["the lamp"])[0], EOS, PAD, PAD]]) == ["the lamp"]


@pytest.mark.parametrize("kind", TYPES)
def test_training_is_deterministic(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subword_training, "MAX_LINES", 300)  # fewer than there are: the drawn lines must be the same as well
    models = []
    for name in "ab":
        trained = train_tokenizer(*corpus(), Settings(type=kind), tmp_path / name, languages=("en", "de"))
        models.append((trained.fingerprint, (tmp_path / name / "tokenizer.json").read_bytes()))
    assert models[0] == models[1]


def test_separate_models_have_the_same_slots(tmp_path: Path) -> None:
    trained = train_tokenizer(*corpus(), Settings(joint=False), tmp_path / "t", languages=("en", "de"))
    assert not trained.joint
    assert trained.source.sha256 != trained.target.sha256
    slots = range(FIRST_SLOT, FIRST_SLOT + trained.slots.size)
    assert trained.source.pieces(slots) == trained.target.pieces(slots) == trained.slots.symbols
    assert sorted(path.name for path in (tmp_path / "t").iterdir()) == ["source.model", "target.model", "tokenizer.json"]
    assert Tokenizer.load(tmp_path / "t").fingerprint == trained.fingerprint


def test_load_gives_what_was_trained(tokenizer: Tokenizer) -> None:
    loaded = Tokenizer.load(Path(tokenizer.where))
    assert loaded.joint
    assert loaded.fingerprint == tokenizer.fingerprint
    assert loaded.source.encode(corpus()[0]) == tokenizer.source.encode(corpus()[0])


def test_a_large_vocabulary_is_refused_with_the_largest_possible(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"tokenizer\.vocabulary_size: 30000 is more than the corpus allows\. Set it to \d+ or less"
    ) as error:
        train_tokenizer(*corpus(), Settings(vocabulary_size=30_000), tmp_path / "t", languages=("en", "de"))
    assert not (tmp_path / "t").exists()
    largest = int(str(error.value).split("Set it to ")[1].split(" ")[0])
    assert train_tokenizer(*corpus(), Settings(vocabulary_size=largest), tmp_path / "t", languages=("en", "de")).source.size == largest


def test_a_vocabulary_without_room_for_the_characters_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tokenizer\.vocabulary_size: 50 is too small: .* alone need \d+\. Set it to more"):
        train_tokenizer(*corpus(), Settings(vocabulary_size=50), tmp_path / "t", languages=("en", "de"))


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("pairs", [1, 5, 50])
def test_auto_shrinks_to_what_a_tiny_corpus_allows(tmp_path: Path, kind: str, pairs: int) -> None:
    source, target = corpus(pairs)
    trained = train_tokenizer(source, target, Settings(type=kind), tmp_path / "t", languages=("en", "de"))
    assert trained.decode_target(*trained.encode_source(source)) == source


def test_auto_grows_with_the_corpus() -> None:
    sizes = [automatic_size(pairs, 0, 0) for pairs in (1_000, 30_000, 250_000, 1_000_000, 100_000_000)]
    assert sizes == sorted(sizes)
    assert sizes[:2] == pytest.approx([1_200, 6_900], rel=0.05)
    assert sizes[-1] == pytest.approx(24_000, abs=10)
    assert automatic_size(30_000, 3000, 500) > automatic_size(30_000, 200, 0)


def test_no_text_is_a_user_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no training text"):
        train_tokenizer(["", " "], ["", ""], Settings(), tmp_path / "t", languages=("en", "de"))


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError("gone")])
def test_what_stops_the_reading_is_told_as_it_is(tmp_path: Path, error: BaseException) -> None:
    class Stopped(list[str]):
        reads = 0

        def __iter__(self):  # type: ignore[no-untyped-def]
            self.reads += 1
            yield from ["one two"] * 10
            if self.reads > 1:  # the first pass is ours, the second SentencePiece's
                raise error

    with pytest.raises(type(error)):
        train_tokenizer(Stopped(["x"] * 10), ["eins"] * 10, Settings(), tmp_path / "tokenizer", languages=("en", "de"))
    assert not (tmp_path / "tokenizer").exists()


def test_long_lines_are_learnt_from_too(tmp_path: Path) -> None:
    texts = ["zyxwv " * 2000, "ж" * 5000]
    trained = train_tokenizer(texts, texts, Settings(), tmp_path / "t", languages=("en", "de"))
    (ids,) = trained.source.encode(["zyxwv ж"])
    assert UNK not in ids


def test_another_tokenizer_is_named(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.check(tokenizer.fingerprint, "artifacts/x/checkpoints")
    other = train_tokenizer(*corpus(30), Settings(), tmp_path / "t", languages=("en", "de"))
    with pytest.raises(UserError) as error:
        tokenizer.check(other.fingerprint, "artifacts/x/checkpoints")
    message = str(error.value)
    assert message.startswith(f"artifacts/x/checkpoints was made with tokenizer {other.fingerprint[:8]}…, but {tokenizer.where} is")
    assert tokenizer.fingerprint[:8] in message


def test_a_replaced_or_damaged_model_file_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    with pytest.raises(UserError, match=r"holds no tokenizer\. Run the tokenize stage first"):
        Tokenizer.load(folder)
    first = train_tokenizer(*corpus(), Settings(), folder, languages=("en", "de"))
    other = train_tokenizer(*corpus(60), Settings(), tmp_path / "o", languages=("en", "de"))
    (folder / "joint.model").write_bytes(other.source.model)
    with pytest.raises(UserError, match=f"is model {other.source.sha256[:8]}…, but tokenizer.json describes {first.source.sha256[:8]}…"):
        Tokenizer.load(folder)
    (folder / "joint.model").write_bytes(b"nothing of the kind")
    with pytest.raises(UserError, match="is damaged: not a SentencePiece model"):
        Tokenizer.load(folder)
    (folder / "joint.model").unlink()
    with pytest.raises(UserError, match="no such file"):
        Tokenizer.load(folder)


def test_slots_that_are_not_the_models_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    train_tokenizer(*corpus(), Settings(), folder, languages=("en", "de"))
    details = json.loads((folder / "tokenizer.json").read_text())
    details["slots"]["number"] += 1
    (folder / "tokenizer.json").write_text(json.dumps(details))
    with pytest.raises(UserError, match=r"its pieces are not those of the slots that tokenizer\.json describes"):
        Tokenizer.load(folder)


def test_a_term_has_a_space_before_it_only_where_the_language_has(tmp_path: Path) -> None:
    japanese = [f"私は{animal}が{verb}。" for animal in ("猫", "犬", "鳥", "馬") for verb in ("好き", "嫌い", "怖い")] * 20
    english = [f"I {verb} the {animal}." for animal in ("cat", "dog", "bird", "horse") for verb in ("like", "hate", "fear")] * 20
    settings = Settings(vocabulary_size="auto", joint=False, slots=0)
    trained = train_tokenizer(english, japanese, settings, tmp_path / "ja", languages=("en", "ja"))
    for term in ("猫", "馬"):
        [ids] = trained.target.encode_words([term])
        assert "".join(trained.target.pieces(ids)) == term
    assert trained.source.encode_words(["cat"]) == trained.source.encode(["cat"])


def masked_sources(tokenizer: Tokenizer) -> list[str]:
    return [tokenizer.slots.mask(text).text for text in corpus()[0]]


def test_sampling_gives_other_pieces_of_the_same_text(tokenizer: Tokenizer) -> None:
    texts = masked_sources(tokenizer)
    sampled = tokenizer.source.sample(texts, 1.0, 0.2, random.Random(3))
    assert sampled != tokenizer.source.encode(texts)
    assert tokenizer.source.decode(sampled) == texts
    assert sampled == tokenizer.source.sample(texts, 1.0, 0.2, random.Random(3))
    assert sampled != tokenizer.source.sample(texts, 1.0, 0.2, random.Random(4))


def test_sampling_keeps_to_its_share(tokenizer: Tokenizer) -> None:
    texts = masked_sources(tokenizer)
    best = tokenizer.source.encode(texts)
    assert tokenizer.source.sample(texts, 0.0, 0.2, random.Random(3)) == best
    some = tokenizer.source.sample(texts, 0.5, 0.2, random.Random(3))
    changed = sum(a != b for a, b in zip(some, best, strict=True))
    assert 0 < changed < 0.65 * len(texts)


def test_training_is_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train_tokenizer(*corpus(30), Settings(), tmp_path / "t", languages=("en", "de"))
    assert capfd.readouterr() == ("", "")


@pytest.mark.filterwarnings("default")  # TensorFlow's own
@pytest.mark.parametrize("kind", TYPES)
def test_the_exported_tokenizers_give_the_same_ids(tmp_path: Path, kind: str) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    tensorflow_text = pytest.importorskip("tensorflow_text")
    source, target = corpus()
    tokenizer = train_tokenizer(source, target, Settings(type=kind), tmp_path / "t", languages=("en", "de"))
    ours = tokenizer.source
    texts = [*source, *target, "x{name}y", "{new}", "日本 {name}", "<s> </s>", "", "two  spaces", *(f"({some})" for some in PLACEHOLDERS)]
    texts += [tokenizer.slots.mask(text).text for text in texts]
    expected = ours.encode(texts)
    server = tensorflow_text.SentencepieceTokenizer(model=ours.model)
    assert server.tokenize(tensorflow.constant(texts)).to_list() == expected
    if kind == "unigram":  # the only type that the phone's tokenizer cuts as we do
        phone = tensorflow_text.FastSentencepieceTokenizer(ours.model)
        assert phone.tokenize(tensorflow.constant(texts)).to_list() == expected
        known = [ids for ids in expected if UNK not in ids]
        back = phone.detokenize(tensorflow.ragged.constant(known, dtype="int32")).numpy()
        assert [text.decode() for text in back] == ours.decode(known)


def test_the_stage_says_how_well_the_pieces_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory(tmp_path / "lamps")
    source, target = corpus()
    source[7] = "lamp " * 70
    rows = {"train": 380, "validation": 20}
    for split, count in rows.items():
        with TableWriter(run.split(split)) as writer:
            columns = [source[:count], target[:count], [""] * count, [1.0] * count]
            writer.write(pyarrow.record_batch(columns, schema=SCHEMA))
    run_stage(parse_config("name: lamps\n", "test"), run)
    printed = capsys.readouterr().out
    size = Tokenizer.load(run.tokenizer).source.size
    (line,) = [line for line in printed.splitlines() if line.startswith("source en")]
    assert line.split()[2] == f"{size:,}"
    assert line.split()[-1] == "1"  # the one sentence over the limit of 64 pieces
    assert "lamp lamp lamp" in printed


def test_the_stage_needs_prepared_data(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"python -m pipeline\.prepare CONFIG"):
        run_stage(parse_config("name: lamps\n", "test"), RunDirectory(tmp_path / "lamps"))
