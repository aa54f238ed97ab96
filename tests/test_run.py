"""Stages: skipped when nothing has changed, done again when something has, never recorded half done. With stages that do little."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import run as command
from pipeline.configuration import Config
from pipeline.runtime.errors import UserError
from pipeline.support import fingerprints
from pipeline.support.console import add_run_arguments
from pipeline.support.run_directory import RunDirectory
from pipeline.support.stage_table import STAGES
from pipeline.support.stages import perform, require, stage_main

MADE = {
    "prepare": "data/train/data.arrow",
    "tokenize": "tokenizer/joint.model",
    "train": "checkpoints/best.weights.h5",
    "evaluate": "evaluation.json",
    "export": "export/report.json",
}
ALL = [name for name in STAGES if name != "diversify"]  # which a config must ask for


class Toy:
    """A project with small fake stages; `done` lists those that ran, in order."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.done: list[str] = []
        self.package = folder / "package"
        (self.package / "data").mkdir(parents=True)
        (self.package / "support").mkdir()
        self.code("data/batches.py", "SIZE = 1")
        self.code("support/files.py", "x = 1")
        for name in ALL:
            imports = "from pipeline.data.batches import SIZE\nfrom pipeline.support.files import x" if name in ("train", "export") else ""
            self.code(f"{name}.py", f'"""Doc."""\n{imports}\n')
            self.stage(name, None)
        monkeypatch.setattr(fingerprints, "PACKAGE", self.package)
        monkeypatch.chdir(folder)
        (folder / "toy.tsv").write_text("a\tb\n")
        self.config("")

    def code(self, path: str, text: str) -> None:
        (self.package / path).write_text(text)

    def config(self, text: str) -> None:
        (self.folder / "toy.yaml").write_text(f"name: toy\ndata:\n  sources:\n    - kind: files\n      path: toy.tsv\n{text}")

    def stage(self, name: str, before: Callable[[], None] | None, content: str | None = None) -> None:
        """Makes a stage that runs `before`, then writes one file, of other content for another config unless `content` is given."""

        def run_stage(config: Config, run: RunDirectory) -> None:
            self.done.append(name)
            if before:
                before()
            made = run.root / MADE[name]
            made.parent.mkdir(parents=True, exist_ok=True)
            made.write_text(content or config.model_dump_json())

        module = types.ModuleType(f"pipeline.{name}")
        module.run_stage = run_stage  # type: ignore[attr-defined]
        self.monkeypatch.setitem(sys.modules, f"pipeline.{name}", module)

    def run(self, *arguments: str) -> list[str]:
        """The stages that `python -m pipeline.run toy.yaml` does."""
        self.done.clear()
        assert command.main(["toy.yaml", *arguments]) == 0
        return list(self.done)

    @property
    def records(self) -> dict[str, dict]:
        value = json.loads((self.folder / "artifacts/toy/stages.json").read_text())
        assert value["schema_version"] == 1
        return value["stages"]


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Toy:
    return Toy(tmp_path, monkeypatch)


def test_a_second_run_does_nothing_and_says_so(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert toy.run() == ALL
    first = capsys.readouterr()
    assert "[1/5] prepare (not done yet)" in first.err
    assert toy.run() == []
    second = capsys.readouterr()
    assert second.err.splitlines() == [f"[{n}/5] {name}: skipped, nothing has changed" for n, name in enumerate(ALL, start=1)]
    for out in (first.out, second.out):
        assert "scores         artifacts/toy/evaluation.json" in out
        assert out.endswith("python -m pipeline.translate --run artifacts/toy\n")
    assert second.out.count("(earlier)") == 5
    assert list(toy.records) == ALL
    assert toy.records["train"]["seconds"] >= 0


def test_skipping_everything_imports_nothing_heavy(toy: Toy, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "PACKAGE", root / "pipeline")
    toy.run()
    check = "import sys; from pipeline.run import main; main(['toy.yaml']); print('keras' in sys.modules, 'pyarrow' in sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=True, env={**os.environ, "PYTHONPATH": str(root)}
    )
    assert result.stderr.count("skipped, nothing has changed") == 5
    assert result.stdout.endswith("False False\n")


@pytest.mark.parametrize("stage", ["diversify", "train"])
def test_another_colour_of_a_picture_trains_nothing_anew(stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Path(shutil.copytree(fingerprints.PACKAGE, tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__")))
    monkeypatch.setattr(fingerprints, "PACKAGE", package)
    left_out = STAGES[stage].code_left_out
    before = fingerprints.code_fingerprint(f"pipeline.{stage}", left_out)
    for room, changed in {"inspect/drawing.py": False, "training/trainer.py": True}.items():
        (package / room).write_text((package / room).read_text() + "\nCOLOUR = 'red'\n")
        assert (fingerprints.code_fingerprint(f"pipeline.{stage}", left_out) != before) == changed


def test_a_changed_source_is_named(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.run()
    toy.run("--set", "data.sources.0.weight=2")
    assert "prepare (data.sources.0.weight: 1.0 before, 2.0 now)" in capsys.readouterr().err


def test_from_forces_a_stage_and_the_later_ones(toy: Toy) -> None:
    toy.run()
    assert toy.run("--from", "train") == ["train", "evaluate", "export"]


@pytest.mark.parametrize(
    ("override", "stages"),
    [
        ("decoding.beam_size=2", ["evaluate", "export"]),
        ("export.beam_size=2", ["export"]),
        ("evaluation.samples=2", ["evaluate"]),
        ("model.dropout=0.3", ["train", "evaluate", "export"]),
        ("tokenizer.vocabulary_size=500", ["tokenize", "train", "evaluate", "export"]),
        ("data.test=0.1", ALL),
    ],
)
def test_a_changed_config_does_again_what_reads_it(toy: Toy, override: str, stages: list[str]) -> None:
    toy.run()
    assert toy.run("--set", override) == stages
    assert toy.run("--set", override) == []


def test_the_reason_is_told(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.run()
    capsys.readouterr()
    toy.run("--set", "model.dropout=0.3", "--set", "training.epochs=2")
    assert "[3/5] train (model.dropout: 0.1 before, 0.3 now; training.epochs: 20 before, 2 now)" in capsys.readouterr().err


def test_changed_input_files(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.run()
    (toy.folder / "toy.tsv").write_text("a\tb\nc\td\n")
    assert toy.run() == ["prepare"], "the fake prepare made the same file again, so nothing later has changed"
    assert "prepare (toy.tsv changed)" in capsys.readouterr().err
    toy.stage("prepare", None, content="other sentences")
    (toy.folder / "toy.tsv").write_text("a\tb\n")
    assert toy.run() == ALL


def test_changed_code_does_again_what_imports_it(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.run()
    toy.code("evaluate.py", "x = 1")
    assert toy.run() == ["evaluate"]
    assert "evaluate (its code has changed)" in capsys.readouterr().err
    toy.stage("train", None, content="new weights")
    toy.code("data/batches.py", "SIZE = 2")
    assert toy.run() == ["train", "evaluate", "export"]


def test_comments_docstrings_and_the_console_are_no_code(toy: Toy) -> None:
    toy.run()
    toy.code("data/batches.py", '"""A word."""\n\nSIZE = 1  # another word\n')
    toy.code("support/files.py", "x = 2")
    assert toy.run() == []


def test_a_new_version_does_everything_again(toy: Toy, monkeypatch: pytest.MonkeyPatch) -> None:
    toy.run()
    monkeypatch.setattr("pipeline.__version__", "99.0")
    assert toy.run() == ALL


def test_missing_and_changed_results_are_made_again(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.run()
    (toy.folder / "artifacts/toy/tokenizer/joint.model").unlink()
    (toy.folder / "artifacts/toy/export/report.json").write_text("{}")
    assert toy.run() == ["tokenize", "export"]
    assert "tokenize (tokenizer/joint.model is missing or was changed by hand)" in capsys.readouterr().err


def test_a_stage_that_fails_is_not_recorded(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise UserError("the corpus is empty")

    def fail_late() -> None:
        (toy.folder / "artifacts/toy" / MADE["train"]).write_text("half")
        fail()

    toy.run()
    for failure, again in ((fail, []), (fail_late, ["train"])):
        toy.stage("train", failure)
        assert command.main(["toy.yaml", "--set", "training.epochs=2"]) == 2
        assert capsys.readouterr().err.endswith("error: the corpus is empty\n")
        assert ("train" in toy.records) == (failure is fail)
        toy.stage("train", None)
        assert toy.run() == again, "the first config again: done as before, unless its weights may be half written over"


def test_a_training_that_is_left_alone_keeps_its_config(toy: Toy) -> None:
    toy.run()
    run = RunDirectory(toy.folder / "artifacts/toy")
    assert toy.run("--set", "model.embedding_size=64", "--until", "tokenize") == []
    assert run.load_config().model.embedding_size != 64


def test_what_is_not_there_is_not_spoken_of(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.run("--until", "prepare")
    out = capsys.readouterr().out
    assert "prepare" in out and "The run" not in out and "Translate" not in out


def test_ctrl_c_is_one_line(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    toy.stage("tokenize", interrupt)
    assert command.main(["toy.yaml"]) == 130
    assert capsys.readouterr().err.splitlines()[-1].startswith("interrupted; ")
    assert list(toy.records) == ["prepare"]


def test_single_commands_always_run_and_are_recorded(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    for name in [*ALL, "evaluate"]:
        assert stage_main(name, "Does it.", ["toy.yaml"]) == 0
    assert toy.done == [*ALL, "evaluate"]
    assert capsys.readouterr().err.splitlines()[-1] == "evaluate: done, in artifacts/toy"
    assert toy.run() == []


def test_an_earlier_stage_must_be_done(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    assert stage_main("train", "Trains.", ["toy.yaml"]) == 2
    assert capsys.readouterr().err == (
        "error: artifacts/toy: the stage 'prepare' is not done yet. First run: python -m pipeline.prepare CONFIG\n"
    )
    assert toy.done == []


def test_a_folder_of_another_config(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.run()
    capsys.readouterr()
    toy.done.clear()
    assert stage_main("train", "Trains.", ["toy.yaml", "--set", "data.test=0.1", "--set", "data.source_language=fr"]) == 2
    assert toy.done == []
    assert capsys.readouterr().err == (
        "error: artifacts/toy: 'prepare' was done with another config: data.source_language: en there, fr in this config; "
        "data.test: 0.03 there, 0.1 in this config. Do again what has changed (python -m pipeline.run CONFIG), "
        "or give this config another name.\n"
    )
    assert RunDirectory.existing("artifacts/toy").load_config().data.test == 0.03


def test_results_that_do_not_belong_together(toy: Toy) -> None:
    toy.run()
    config, run = (run := RunDirectory(Path("artifacts/toy"))).load_config(), run
    require(run, config, "train")
    toy.stage("tokenize", None, content="another model")
    perform("tokenize", config, run)
    with pytest.raises(UserError, match=r"'tokenize' was done again after 'train', with another result\. Run: .*pipeline\.train CONFIG"):
        require(run, config, "train")
    (run.root / MADE["prepare"]).unlink()
    with pytest.raises(UserError, match=r"data/train/data\.arrow: is missing or was changed by hand"):
        require(run, config, "tokenize")


def test_other_values_tried_on_a_finished_run_are_not_kept(toy: Toy) -> None:
    toy.run()
    toy.done.clear()
    assert stage_main("evaluate", "Scores.", ["--run", "artifacts/toy", "--set", "decoding.beam_size=1"], add_run_arguments) == 0
    assert toy.done == ["evaluate"]
    assert RunDirectory.existing("artifacts/toy").load_config().decoding.beam_size == 4
    assert toy.run() == ["evaluate"], "the scores were those of another beam"


def test_records_that_cannot_be_read(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    toy.run()
    records = toy.folder / "artifacts/toy/stages.json"
    records.write_text('{"schema_version": 7, "stages": {}}')
    assert command.main(["toy.yaml"]) == 2
    assert "stages.json: was written by another version of this program. Remove it" in capsys.readouterr().err
    records.write_text("{")
    assert command.main(["toy.yaml"]) == 2
    assert "stages.json: is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(("seconds", "text"), [(4.21, "4.2 s"), (185.2, "3 min 05 s"), (3725, "1 h 02 min")])
def test_durations(seconds: float, text: str) -> None:
    assert command.duration(seconds) == text


def test_two_processes_do_not_work_on_one_run(toy: Toy) -> None:
    toy.run()
    run = RunDirectory(Path("artifacts/toy"))
    with run.locked(), pytest.raises(UserError, match="another process is working on this run"):
        perform("train", run.load_config(), run)
    assert perform("train", run.load_config(), run) >= 0


def test_what_a_later_stage_would_refuse_is_refused_before_the_first(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    def no_page(config: Config, run: RunDirectory) -> None:
        if config.export.web:
            raise UserError("export.web: needs npm once")

    sys.modules["pipeline.export"].check_stage = no_page  # type: ignore[attr-defined]
    assert command.main(["toy.yaml", "--set", "export.web=true"]) == 2
    assert toy.done == [] and "export.web: needs npm once" in capsys.readouterr().err
    assert toy.run("--set", "export.web=true", "--until", "evaluate") == ALL[:-1]
    assert toy.run() == ["export"]
    # Nor is anything refused that need not be done again.
    sys.modules["pipeline.export"].check_stage = lambda config, run: pytest.fail("it is done")  # type: ignore[attr-defined]
    assert toy.run() == []


def test_what_the_data_do_not_allow_is_refused_before_the_training(toy: Toy, capsys: pytest.CaptureFixture[str]) -> None:
    def empty(config: Config, run: RunDirectory) -> None:
        assert run.data.exists()
        if config.evaluation.splits == ["test"]:
            raise UserError("test: has no sentences to evaluate")

    sys.modules["pipeline.evaluate"].check_data = empty  # type: ignore[attr-defined]
    for done in (["prepare"], []):  # also where the data are there already
        toy.done.clear()
        assert command.main(["toy.yaml"]) == 2
        assert toy.done == done and "test: has no sentences" in capsys.readouterr().err
    assert toy.run("--set", "evaluation.splits=[validation]") == ALL[1:]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("evaluation.tokenized_bleu=true", "sacremoses"),
        ("decoding.engine=litert", "decoding.engine: litert translates with exported files, and a run is exported last"),
        ("evaluation.comet=no-such-program", "evaluation.comet: there is no program 'no-such-program'"),
        ("export={saved_model: false, tflite: []}", "export: there is nothing to export"),
        ("export={web: true, tflite: []}", "export.web: the page needs a .tflite file"),
    ],
)
def test_a_config_that_could_not_be_finished_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], override: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.scoring.moses.importlib.util.find_spec", lambda name: None)  # sacremoses is not installed
    (tmp_path / "toy.tsv").write_text("a\tb\n")
    (tmp_path / "toy.yaml").write_text("name: toy\ndata: {sources: [{kind: files, path: toy.tsv}]}\n")
    assert command.main(["toy.yaml", "--set", override]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "artifacts/toy/data").exists()
