"""Scores: sacreBLEU's numbers with their signatures, and what evaluate writes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import sacrebleu

from pipeline import evaluate as command
from pipeline.configuration import parse_config
from pipeline.data.tables import TableWriter
from pipeline.decoding.evaluation import evaluate, read_hypotheses, write_hypotheses
from pipeline.decoding.text_stream import TextTranslator
from pipeline.runtime.errors import UserError
from pipeline.scoring.breakdowns import bleu_by_confidence, bleu_by_group, bleu_by_length, bleu_by_rarity, count_words, rank_correlation
from pipeline.scoring.charts import grouped_bars
from pipeline.scoring.metrics import bleu_signature, bleu_tokenizer, corpus_bleu, score, score_systems, sentence_scores
from pipeline.scoring.moses import moses
from pipeline.scoring.systems import TestSet, judge, part_tables, sample_indices, score_table
from pipeline.support.files import remove
from pipeline.support.run_directory import RunDirectory

HYPOTHESES = ["The cat sat on the mat.", "It is raining today in Berlin", "Turn the light off, please."]
REFERENCES = ["The cat sat on the mat.", "Today it is raining in Berlin.", "Please turn off the light."]


def test_scores_are_those_of_sacrebleu() -> None:
    result = score(HYPOTHESES, REFERENCES)
    assert result.bleu.value == pytest.approx(sacrebleu.corpus_bleu(HYPOTHESES, [REFERENCES]).score)
    assert result.chrf.value == pytest.approx(sacrebleu.corpus_chrf(HYPOTHESES, [REFERENCES], word_order=2).score)
    assert result.ter.value == pytest.approx(sacrebleu.corpus_ter(HYPOTHESES, [REFERENCES]).score)
    assert corpus_bleu(HYPOTHESES, REFERENCES) == pytest.approx(result.bleu.value)
    assert result.sentences == 3
    assert result.bleu.signature.startswith("nrefs:1|bs:1000|seed:12345|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert "|nc:6|nw:2|" in result.chrf.signature
    assert result.ter.signature.startswith("nrefs:1|bs:1000|seed:12345|case:lc|tok:tercom")
    assert bleu_signature() == result.bleu.signature.replace("|bs:1000|seed:12345", "")
    assert sentence_scores(HYPOTHESES, REFERENCES)[1] == pytest.approx(
        sacrebleu.sentence_chrf(HYPOTHESES[1], [REFERENCES[1]], word_order=2).score
    )


def test_perfect_and_hopeless() -> None:
    perfect = score(REFERENCES, REFERENCES)
    assert [one.value for one in perfect.metrics.values()] == [pytest.approx(100), pytest.approx(100), 0.0]
    assert [one.interval for one in perfect.metrics.values()] == [pytest.approx(0)] * 3
    assert perfect.length_ratio == 1.0
    assert score(["", "", ""], REFERENCES).bleu.value == 0.0


def test_intervals_and_significance_are_those_of_sacrebleu() -> None:
    """A system that is a little worse in every third sentence, one that is the first again, and one that is much worse."""
    references = [f"the {number} cats sat on {number} mats in the sun" for number in range(60)]
    first = [line.replace("sun", "rain") if number % 2 else line for number, line in enumerate(references)]
    little = [line.replace("cats", "dogs") if number % 30 == 0 else line for number, line in enumerate(first)]
    much = [line.replace("mats in the", "carpets under this") for line in first]
    found = score_systems({"first": first, "again": first, "little": little, "much": much}, references)
    interval = sacrebleu.BLEU().corpus_score(first, [references], n_bootstrap=1000)._ci
    assert interval > 0.5
    assert found["first"].bleu.interval == pytest.approx(interval)
    assert [one.p_value for one in found["first"].metrics.values()] == [None] * 3
    assert all(one.p_value > 0.9 for one in found["again"].metrics.values())
    assert all(one.p_value > 0.05 for one in found["little"].metrics.values())
    assert all(one.p_value < 0.01 for one in found["much"].metrics.values())
    assert found["much"].as_dict()["bleu_p_value"] < 0.01
    assert "bleu_p_value" not in found["first"].as_dict()


def test_no_sentences_and_different_counts_are_user_errors() -> None:
    with pytest.raises(UserError, match="nothing to score"):
        score([], [])
    with pytest.raises(UserError, match="1 hypotheses, but 3 references: they must match line by line"):
        corpus_bleu(["a"], REFERENCES)


@pytest.mark.parametrize(
    ("languages", "tokenizer"), [(["de", ""], "13a"), (["zh", "zh-CN", "zh_TW", "zho_Hans", "yue"], "zh"), (["th", "tha"], "char")]
)
def test_languages_without_spaces_have_their_own_tokenisation(languages: list[str], tokenizer: str) -> None:
    assert {bleu_tokenizer(language) for language in languages} == {tokenizer}


def test_chinese_and_japanese_are_scored_in_parts() -> None:
    assert 0 < corpus_bleu(["我今天去学校上课。"], ["我今天去学校学习。"], "zh") < 100
    assert 0 < corpus_bleu(["今日は学校へ行きました。"], ["今日は学校へ行きます。"], "ja") < 100


# Quotation marks, brackets and case differ; of the ten tokens `ein mann ( " bob " ) läuft schnell .` only one does.
GERMAN = ("Ein Mann („Bob“) läuft schnell.", 'ein Mann ("Bob") läuft langsam.')


def test_bleu_of_tokenized_text_by_hand() -> None:
    found = score([GERMAN[0]], [GERMAN[1]], "de", tokenized=True).tokenized_bleu
    assert found is not None
    value = found.value
    # 9 of 10 words, 7 of 9 pairs, 6 of 8 triples and 5 of 7 quadruples are right; the lengths are equal.
    assert value == pytest.approx(100 * (9 / 10 * 7 / 9 * 6 / 8 * 5 / 7) ** 0.25)
    assert corpus_bleu([GERMAN[0]], [GERMAN[1]], "de") < value - 30
    import sacremoses

    version = sacremoses.__version__
    rules = f"norm:moses-de|tok:moses-de|sacremoses:{version}"
    assert found.signature.startswith(f"nrefs:1|bs:1000|seed:12345|case:lc|eff:no|{rules}|smooth:exp|version:")


def test_text_is_tokenized_as_the_files_of_multi30k_are() -> None:
    # Lines 226, 457 and 510 of its test_2016_flickr.de, and their tokens in test_2016_flickr.lc.norm.tok.de (there " and ' are escaped).
    raw = [
        'Eine Frau auf einem Boot namens "El Corazon" lässt schwarze Gewichte ins Wasser fallen.',
        'Eine Frau hält einen großen Scheck für "Kids\' Food Basket".',
        "Zwei Mädchen (eine in Blau und die andere in Pink) liefern sich ein Rennen auf Rollschuhen.",
    ]
    tokens = [
        'eine frau auf einem boot namens " el corazon " lässt schwarze gewichte ins wasser fallen .',
        'eine frau hält einen großen scheck für " kids \' food basket " .',
        "zwei mädchen ( eine in blau und die andere in pink ) liefern sich ein rennen auf rollschuhen .",
    ]
    assert list(moses("de")(raw)) == tokens


def test_sacremoses_is_asked_for_before_anything_is_translated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"needs a package more: pip install sacremoses"):
        evaluate(None, TestSet(["a"], ["b"]), tokenized=True)  # type: ignore[arg-type]


def test_bleu_by_the_length_of_the_source() -> None:
    words = ["w"] * 31
    sources = [" ".join(words[:length]) for length in (1, 10, 11, 16, 20, 30, 31)] + [""]
    references = [f"{REFERENCES[0]} {number}" for number in range(8)]
    hypotheses = [*references[:6], HYPOTHESES[1], references[7]]
    found = bleu_by_length(sources, hypotheses, references)
    assert {name: sentences for name, (sentences, _) in found.items()} == {"1-10": 3, "11-15": 1, "16-20": 2, "21-30": 1, "31+": 1}
    assert found["1-10"][1] == pytest.approx(100)
    assert found["31+"][1] == pytest.approx(corpus_bleu(hypotheses[6:7], references[6:7]))
    assert list(bleu_by_length(sources[:1], ["x"], ["x"])) == ["1-10"], "only lengths that there are"


@dataclasses.dataclass
class Upper:
    """A translation: the source in capitals."""

    text: str

    complete: bool = True
    score: float = -1.0
    log_prob: float = -1.0
    tokens: int = 2
    source_tokens: int = 4
    coverage: float | None = 0.5


class Shouting:
    def alternatives(self, lines: list[str], begun: list[str] | None) -> list[list[Upper]]:
        return [[Upper(line.upper())] for line in lines]


def words(text: str) -> int:
    return len(text.split())


def test_evaluate_translates_and_scores_everything() -> None:
    sources = [f"line {number} of the text" for number in range(10)]
    test = TestSet(sources, [text.upper() for text in sources], ["a", "b"] * 5)
    result = evaluate(TextTranslator(Shouting(), words, 4), test, batch_sentences=1)
    assert result.judged.hypotheses == [text.upper() for text in sources]
    assert result.judged.scores.bleu.value == pytest.approx(100)
    assert result.judged.by_tag == {"a": (5, pytest.approx(100)), "b": (5, pytest.approx(100))}
    assert result.judged.by_length == {"1-10": (10, pytest.approx(100))}
    assert result.judged.by_rarity == {}
    assert part_tables({"": result.judged})[5:8] == ["source words    1-10", "sentences         10", "BLEU          100.00"]
    assert [sentences for sentences, _ in result.judged.by_confidence.values()] == [2, 3, 2, 3]
    assert (result.segmented, result.cut) == (10, 0)
    assert result.seconds >= 0


def test_translations_that_are_cut_are_counted() -> None:
    class Endless:
        def alternatives(self, lines: list[str], begun: list[str] | None) -> list[list[Upper]]:
            return [[Upper(line.upper(), complete="one" in line)] for line in lines]

    sources = ["one", "two", "three"]
    assert evaluate(TextTranslator(Endless(), words, 4), TestSet(sources, sources)).cut == 2


def test_one_tag_needs_no_table() -> None:
    texts = ["one two three four"] * 3
    assert judge(TestSet(texts, texts, ["x"] * 3), {"": texts})[""].by_tag == {}


def test_groups_are_scored_by_themselves() -> None:
    found = bleu_by_group(HYPOTHESES, REFERENCES, ["b", "a", "b"])
    assert list(found) == ["a", "b"]
    assert found["b"] == (2, pytest.approx(corpus_bleu(HYPOTHESES[::2], REFERENCES[::2])))


def test_samples_are_spread_and_always_the_same() -> None:
    assert sample_indices(100, 4) == [12, 37, 62, 87]
    assert sample_indices(3, 10) == [0, 1, 2]
    assert sample_indices(5, 0) == []
    assert sample_indices(0, 5) == []


def test_hypotheses_file_has_a_line_for_each_sentence(tmp_path: Path) -> None:
    test = TestSet(['a\t"b"', "c\\d"], ["A\nB", "C\rD"], ["x", ""])
    write_hypotheses(tmp_path / "hypotheses" / "test.tsv", test, ['A "B"', "C\\D"])
    assert read_hypotheses(tmp_path / "hypotheses" / "test.tsv") == (test.sources, ['A "B"', "C\\D"], test.references, test.tags)
    assert (tmp_path / "hypotheses" / "test.tsv").read_bytes().decode().split("\n") == [
        "source\thypothesis\treference\ttag",
        'a\\t"b"\tA "B"\tA\\nB\tx',
        "c\\\\d\tC\\\\D\tC\\rD\t",
        "",
    ]


def test_bleu_by_the_rarest_word_of_the_source() -> None:
    counts = count_words(["The cat, the DOG."] * 30 + ["cat bird"] * 3)
    assert counts == {"the": 60, "cat": 33, "dog": 30, "bird": 3}
    sources = ["The cat!", "the bird", "an unseen cat", "2 + 2", "dog bird"]
    texts = [f"sentence number {number} of five" for number in range(5)]
    wrong = [*texts[:1], "nothing like it at all", *texts[2:]]
    found = bleu_by_rarity(sources, wrong, texts, counts)
    assert {name: sentences for name, (sentences, _) in found.items()} == {"0": 1, "1-5": 2, "21-100": 1, "101+": 1}
    assert found["0"][1] == pytest.approx(100) and found["1-5"][1] < 70


def test_marks_are_parts_of_words_and_languages_without_spaces_have_none() -> None:
    assert count_words(["हिन्दी में, हिन्दी"]) == {"हिन्दी": 2, "में": 1}
    for language, parts in {"hi": {"1-5"}, "ja": set(), "zh_TW": set()}.items():
        judged = judge(TestSet(["में"], ["in"], (), language, "en"), {"": ["in"]}, {"में": 3})[""]
        assert set(judged.by_rarity) == parts


def test_bars_may_be_called_as_they_like() -> None:
    chart = grouped_bars(["a$5%$b", "$"], {"$x^$": [1.0, 2.0], "Step %1$d/%2$d": [3.0, 4.0], "_old": [5.0, 6.0]}, "tag", "BLEU")
    assert all(f">{name}<" in chart for name in ("a$5%$b", "$", "$x^$", "Step %1$d/%2$d"))
    assert "_old<" in chart, "its bars are in the legend, too"


def test_bleu_by_confidence() -> None:
    texts = [f"sentence number {number} of eight" for number in range(8)]
    wrong = [text if number > 3 else f"nothing like it {number}" for number, text in enumerate(texts)]
    confidences = [0.3, 0.1, 0.2, 0.4, 0.8, 0.6, 0.9, 0.7]
    found = bleu_by_confidence(confidences, wrong, texts)
    assert list(found) == ["1: 0.10-0.20", "2: 0.30-0.40", "3: 0.60-0.70", "4: 0.80-0.90"]
    assert [sentences for sentences, _ in found.values()] == [2] * 4
    assert found["1: 0.10-0.20"][1] < 10 and found["4: 0.80-0.90"][1] == pytest.approx(100)
    assert list(bleu_by_confidence([0.5], ["a"], ["a"])) == ["4: 0.50-0.50"]


@pytest.mark.parametrize(
    ("others", "expected"),
    [([1, 2, 3, 4], 1.0), ([4, 3, 2, 1], -1.0), ([10, 10, 10, 10], 0.0), ([1, 3, 2, 4], 0.8), ([1, 2, 2, 4], 0.9487)],
)
def test_rank_correlation(others: list[float], expected: float) -> None:
    assert rank_correlation([0.1, 0.2, 0.5, 0.9], others) == pytest.approx(expected, abs=1e-4)
    assert rank_correlation([], []) == 0.0


def test_systems_stand_beside_each_other() -> None:
    test = TestSet(["a b c"] * 3, REFERENCES, ["x", "y", "y"], "en", "de")
    judged = judge(test, {"ours": HYPOTHESES, "theirs": REFERENCES}, {"a": 1, "b": 1, "c": 1})
    table = score_table(judged)
    assert table[1].split()[0] == "ours" and table[2].split()[0] == "theirs"
    assert table[3].split()[0].startswith("+") and "p=" in table[3]
    tables = "\n".join(part_tables(judged))
    assert "BLEU ours" in tables and "BLEU theirs" in tables and "rarest word in training" in tables
    assert judged["theirs"].by_tag == {"x": (1, pytest.approx(100)), "y": (2, pytest.approx(100))}


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    """A run whose model shouts."""
    import datasets

    from pipeline.configuration.schema_data import Tokenizer as Settings
    from pipeline.data.subword_training import train_tokenizer

    datasets.disable_progress_bars()
    run = RunDirectory(tmp_path / "shouting")
    for split, count in (("train", 30), ("validation", 7), ("test", 20)):
        texts = [f"sentence number {number} here" for number in range(count)]
        columns = {"source": texts, "target": [text.upper() for text in texts], "tag": ["a", *["b"] * (count - 1)], "weight": [1.0] * count}
        datasets.Dataset.from_dict(columns).save_to_disk(str(run.split(split)))
    train_tokenizer(["some text"], ["ETWAS TEXT"], Settings(), run.tokenizer, languages=("en", "de"))
    run.checkpoints.mkdir()
    run.best_weights.write_bytes(b"weights")
    run.store_config(parse_config("name: shouting\n", "test"))
    monkeypatch.setattr(TextTranslator, "load", classmethod(lambda cls, run, config, **_: cls(Shouting(), words, 64)))
    return run


def test_the_stage_writes_scores_and_hypotheses(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    command.run_stage(run.load_config(["evaluation.splits=[validation, test]", "evaluation.samples=2"]), run)
    evaluation = json.loads(run.evaluation.read_text())
    assert evaluation["schema_version"] == 4
    test = evaluation["splits"]["test"]
    assert test["bleu_by_length"] == {"1-10": {"sentences": 20, "bleu": pytest.approx(100)}}
    assert "tokenized_bleu" not in test
    assert test["sentences"] == 20
    assert test["bleu"] == pytest.approx(100)
    assert test["bleu_interval"] == pytest.approx(0)
    assert test["bleu_by_rarity"] == {"21-100": {"sentences": 20, "bleu": pytest.approx(100)}}
    assert test["bleu_by_tag"]["b"] == {"sentences": 19, "bleu": pytest.approx(100)}
    assert test["decoding"]["beam_size"] == 4
    assert len(test["weights"]) == len(test["tokenizer"]) == 64
    assert len((run.root / test["hypotheses"]).read_text().splitlines()) == 21
    assert evaluation["splits"]["validation"]["sentences"] == 7
    printed = capsys.readouterr().out
    assert "SENTENCE NUMBER 5 HERE" in printed
    assert test["bleu_signature"] in printed


def test_tokenized_bleu_is_stored_and_shown(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    command.run_stage(run.load_config(["evaluation.tokenized_bleu=true"]), run)
    test = json.loads(run.evaluation.read_text())["splits"]["test"]
    assert test["tokenized_bleu"] == pytest.approx(100)
    assert "|case:lc|" in test["tokenized_bleu_signature"]
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith(" BLEU tok")
    assert shown[1].endswith("  100.00 ±0.00")
    assert f"BLEU tok  {test['tokenized_bleu_signature']}" in shown


def test_another_split_is_added_while_nothing_else_changed(run: RunDirectory) -> None:
    command.run_stage(run.load_config(), run)
    command.run_stage(run.load_config(["evaluation.splits=[validation]"]), run)
    assert set(json.loads(run.evaluation.read_text())["splits"]) == {"test", "validation"}
    run.best_weights.write_bytes(b"others")
    command.run_stage(run.load_config(), run)
    assert set(json.loads(run.evaluation.read_text())["splits"]) == {"test"}


def test_an_empty_split_is_a_user_error(run: RunDirectory) -> None:
    remove(run.split("test"))
    with TableWriter(run.split("test")):
        pass  # as prepare leaves a split that got no sentence
    with pytest.raises(
        UserError, match=r"has no sentences to evaluate\. Evaluate another split, such as evaluation\.splits=\[validation\]"
    ):
        command.run_stage(run.load_config(), run)


def write(path: Path, lines: list[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def test_a_file_pair_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hypotheses, references = write(tmp_path / "h.txt", HYPOTHESES), write(tmp_path / "r.txt", REFERENCES)
    assert command.main(["--hypotheses", hypotheses, "--references", references]) == 0
    assert f"{score(HYPOTHESES, REFERENCES).bleu.value:.2f}" in capsys.readouterr().out
    assert command.main(["--hypotheses", hypotheses, "--references", references, "--tokenized-bleu"]) == 0
    tokenized = score(HYPOTHESES, REFERENCES, tokenized=True).tokenized_bleu
    assert tokenized is not None and f"{tokenized.value:.2f}" in capsys.readouterr().out


def test_finished_translations_are_scored_in_the_language_of_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory(tmp_path / "chinese")
    run.store_config(parse_config("name: chinese\ndata:\n  target_language: zh\n", "test"))
    text = write(tmp_path / "h.txt", ["请打开厨房的灯。"])
    assert command.main(["--run", str(run.root), "--hypotheses", text, "--references", text]) == 0
    assert "tok:zh" in capsys.readouterr().out


def test_a_file_is_translated_and_scored(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, references = write(tmp_path / "s.txt", ["one two three four"]), write(tmp_path / "r.txt", ["ONE TWO THREE FOUR"])
    assert command.main(["--run", str(run.root), "--source", source, "--references", references]) == 0
    assert "100.00" in capsys.readouterr().out


def test_files_of_different_length_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hypotheses, references = write(tmp_path / "h.txt", HYPOTHESES), write(tmp_path / "r.txt", REFERENCES[:2])
    assert command.main(["--hypotheses", hypotheses, "--references", references]) == 2
    assert f"{hypotheses} has 3 lines, but there are 2 sentences: they must match line by line." in capsys.readouterr().err
    other = write(tmp_path / "s.txt", HYPOTHESES[:1])
    assert command.main(["--source", other, "--hypotheses", hypotheses, "--references", hypotheses]) == 2
    assert f"{other} has 1 lines, but {hypotheses} has 3: they must match line by line." in capsys.readouterr().err


def test_an_empty_source_is_not_taken_for_none_and_a_folder_not_for_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    hypotheses, empty = write(tmp_path / "h.txt", HYPOTHESES), write(tmp_path / "s.txt", [])
    assert command.main(["--source", empty, "--hypotheses", hypotheses, "--references", hypotheses]) == 2
    assert f"{empty} has 0 lines, but {hypotheses} has 3" in capsys.readouterr().err
    assert command.main(["--hypotheses", str(tmp_path), "--references", hypotheses]) == 2
    assert "is a folder; expected a file with a translation a line" in capsys.readouterr().err
    assert command.main(["--hypotheses", hypotheses, "--references", hypotheses, "--page", str(tmp_path)]) == 2
    assert f"{tmp_path}: is a folder; expected the name of a file." in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty"), (b"a\nb\xff\n", "h.txt:2: byte 2 of the line (0xFF) is not utf-8"), (None, "h.txt: no such file")],
)
def test_unusable_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / "h.txt").write_bytes(content)
    assert command.main(["--hypotheses", str(tmp_path / "h.txt"), "--references", str(tmp_path / "h.txt")]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--hypotheses", "h"],
        ["--references", "r"],
        ["--run", "x", "--source", "s"],
        ["--hypotheses", "h", "--references", "r", "--ensemble", "x"],
        ["--hypotheses", "h", "--references", "r", "--against", "x"],
        ["--run", "x", "--against", "y", "--ensemble", "z"],
        ["--run", "x", "--against", "y", "--engine", "litert"],
        ["--run", "x", "--language", "ja"],
        ["--run", "x", "--page", "p.html"],
        ["--hypotheses", "h", "--references", "r", "--set", "evaluation.tokenized_bleu=true"],
        ["--run", "x", "--hypotheses", "h", "--references", "r", "--source", "s"],
    ],
)
def test_options_that_do_not_go_together(options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as status:
        command.main(options)
    assert status.value.code == 2
    assert "error:" in capsys.readouterr().err
