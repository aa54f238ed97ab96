"""Engine litert: the exported file translates for the commands as the model does, and says what it cannot do."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from test_export import SETTINGS, random_run

from pipeline import benchmark
from pipeline import export as export_command
from pipeline import translate as command
from pipeline.configuration import Config
from pipeline.data.corpus import load_split
from pipeline.decoding.text_stream import TextTranslator
from pipeline.exporters.engines import LiteRTEngine, load_translator
from pipeline.runtime import translator
from pipeline.runtime.errors import UserError
from pipeline.support.run_directory import RunDirectory

LITERT = ["decoding.engine=litert", "decoding.beam_size=3"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    run, config = random_run(tmp_path_factory.mktemp("runs") / "toy", SETTINGS["shared"], saved_model=False, tflite=["float32", "int8"])
    # Scores that are more than a log probability and a length.
    config = config.model_copy(update={"decoding": config.decoding.model_copy(update={"coverage_penalty": 0.1})})
    run.store_config(config)
    export_command.run_stage(config, run)
    return run


def loaded(run: RunDirectory, *overrides: str, **options: Path) -> tuple[TextTranslator, Config]:
    config = run.load_config([*LITERT, *overrides])
    return load_translator(run, config, **options), config


def test_it_translates_as_the_model_does(run: RunDirectory) -> None:
    sources = [*load_split(run, "test")["source"], "", "{name} kalo 🙂", " ".join(["kalo mi {a}"] * 30)]
    theirs, config = loaded(run, "decoding.precision=float32")
    ours = TextTranslator.load(run, config.model_copy(update={"decoding": config.decoding.model_copy(update={"engine": "keras"})}))
    assert theirs.translator.precision == "float32"  # type: ignore[attr-defined]
    for mine, its in zip(ours.alternatives(sources), theirs.alternatives(sources), strict=True):
        assert its[0].text == mine[0].text
        assert its[0].confidence == pytest.approx(mine[0].confidence, rel=1e-4)
        assert (its[0].score, its[0].length_ratio) == pytest.approx((mine[0].score, mine[0].length_ratio), rel=1e-4)
        assert its[0].coverage is None


def test_many_at_once_come_back_in_order(run: RunDirectory) -> None:
    engine = LiteRTEngine(run.tflite, "int8", threads=3)
    lines = [text for text in load_split(run, "test")["source"] for _ in range(3)]
    together = [found[0].text for found in engine.alternatives(lines)]
    assert together == [engine.alternatives([line])[0][0].text for line in lines]


def test_several_sentences_at_once_have_the_translations_of_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, config = random_run(
        tmp_path / "toy", SETTINGS["shared"], saved_model=False, tflite=["float32", "int8"], beam_size=1, batch_sentences=4
    )
    export_command.run_stage(config, run)  # demands of float32 that the ids are those of the model
    lines = load_split(run, "test")["source"][:10]
    alone = [translator.PhoneTranslator(run.tflite, "float32").translate(line) for line in lines]
    engine = LiteRTEngine(run.tflite, "float32", threads=2)
    found = engine.alternatives([*lines, "", lines[0]])
    assert [one[0].text for one in found] == [*alone, "", alone[0]] and len(set(alone)) > 5
    phone = translator.PhoneTranslator(run.tflite, "int8")
    ids = [phone.encode(line)[0] for line in lines]
    assert phone.together == 4
    assert [one.ids for one in phone.translate_many(ids)] == [phone.translate_ids(source_ids).ids for source_ids in ids]
    with pytest.raises(ValueError, match="Expected 1 to"):
        phone.translate_many([[5], []])


def test_a_new_interpreter_goes_on_as_the_one_before(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter keeps something of every sentence and gets slower by it; so it is replaced now and then."""
    lines = load_split(run, "test")["source"][:10] * 3
    phone = translator.PhoneTranslator(run.tflite, "int8")
    first = phone._interpreter
    expected = [phone.translate(line) for line in lines]
    assert phone._interpreter is first
    monkeypatch.setattr(translator, "_TOKENS_OF_AN_INTERPRETER", 20)
    assert [phone.translate(line) for line in lines] == expected
    assert phone._interpreter is not first


def test_the_command_takes_it(run: RunDirectory, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (tmp_path / "in.txt").write_text("kalo {x}\n\nmi\n")
    assert command.main(["--run", str(run.root), str(tmp_path / "in.txt"), "--engine", "litert", "--beam", "3"]) == 0
    found, said = capfdbinary.readouterr()
    assert len(found.splitlines()) == 3 and b"{x}" in found.splitlines()[0]
    assert b"line 2" not in said


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["decoding.beam_size=4"], r"search with beam_size 3 instead of 4\. Export again"),
        (["decoding.length_penalty=0.5", "decoding.keep_placeholders=false"], "length_penalty 1.0 instead of 0.5, slots 48 instead of 0"),
        (["decoding.unknown=mark"], "unknown copy instead of mark"),
        (["decoding.coverage_penalty=0.2"], r"coverage_penalty 0\.1 instead of 0\.2"),
        (["decoding.precision=float16"], "has no float16; it has: float32, int8"),
        (["decoding.best=2"], "gives the likeliest translation alone"),
        (["decoding.sampling={temperature: 2.0}"], "gives the likeliest translation alone"),
    ],
)
def test_what_the_file_cannot_do_is_told(run: RunDirectory, overrides: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        loaded(run, *overrides)


def test_what_needs_the_model_is_told(run: RunDirectory, tmp_path: Path) -> None:
    config = run.load_config(LITERT)
    with pytest.raises(UserError, match="litert translates with one model"):
        load_translator(run, config, run)
    with pytest.raises(UserError, match="knows no glossary"):
        load_translator(run, config, glossary=tmp_path / "terms.tsv")
    translator, _ = loaded(run)
    with pytest.raises(UserError, match="cannot go on with what is begun"):
        translator.alternatives(["kalo"], ["mi"])


def test_long_text_is_cut_by_the_limit_of_the_file(run: RunDirectory) -> None:
    translator, config = loaded(run, "model.max_tokens=200")
    assert translator.limit == run.load_config().model.max_tokens < config.model.max_tokens
    cut: list[int] = []
    translator.translate([" ".join(["kalo mi ter."] * 30)], lambda index, pieces, segments: cut.append(segments))
    assert cut and cut[0] > 1


def test_an_export_of_another_tokenizer_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    from pipeline.data.subword_training import train_tokenizer

    other = RunDirectory(Path(shutil.copytree(run.root, tmp_path / "toy")))
    settings = run.load_config(["tokenizer.vocabulary_size=auto"]).tokenizer
    train_tokenizer(["kalo mi ter"] * 9, ["un sel dor"] * 9, settings, other.tokenizer, languages=("en", "de"))
    with pytest.raises(UserError, match=r"was made with another tokenizer than the run's\. Export again"):
        loaded(other)


def test_a_run_without_its_weights_has_its_export_still(run: RunDirectory, tmp_path: Path) -> None:
    other = RunDirectory(Path(shutil.copytree(run.root, tmp_path / "toy", ignore=shutil.ignore_patterns("checkpoints"))))
    assert loaded(other)[0].translate(["kalo mi"]) == loaded(run)[0].translate(["kalo mi"])


def test_an_export_of_other_weights_is_refused(run: RunDirectory, tmp_path: Path) -> None:
    other = RunDirectory(Path(shutil.copytree(run.root, tmp_path / "toy")))
    with other.best_weights.open("ab") as file:
        file.write(b"another training")
    with pytest.raises(UserError, match="was made from other weights than the run's"):
        loaded(other)
    shutil.rmtree(other.export)
    with pytest.raises(UserError, match=r"translator.json: cannot be read.*python -m pipeline\.export"):
        loaded(other)


def test_the_benchmark_measures_each_engine(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--sentences", "5", "--rounds", "1", "--beam", "1", "--precision", "float32", "--precision", "bfloat16"]
    assert benchmark.main(["translate", "--run", str(run.root), *options]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[:3] for row in rows] == [
        ["keras", "float32", "1"],
        ["keras", "bfloat16", "1"],
        ["litert", "float32", "3"],
        ["litert", "int8", "3"],
    ]
    assert all(float(number.replace(",", "")) > 0 for row in rows for number in row[3:7])
