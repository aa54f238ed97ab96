"""The compare command: mistakes before anything is done, nothing done twice, one failure alone; with stages that do little."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from toy import write_toy

from pipeline import compare as command
from pipeline.comparison.plan import load_plan
from pipeline.comparison.results import count_parameters
from pipeline.comparison.stages import do_stages
from pipeline.configuration import Config
from pipeline.runtime.errors import UserError
from pipeline.support import fingerprints
from pipeline.support.files import write_json
from pipeline.support.run_directory import RunDirectory

FILE = """
base: configs/base.yaml
set: {training.epochs: 2}
variations:
  small: {}
  large: {model.embedding_size: 512}
"""
HISTORY = """update,epoch,seconds,tokens_per_second,bleu,best
10,1,60,1000,20.5,1
20,2,126,3000,21.25,1
30,3,180,2000,19,0
"""
ALL = ["prepare", "tokenize", "train", "evaluate"]


class Project:
    """A folder with a comparison, and small fake stages; `done` lists what ran: ("train", "small")."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.done: list[tuple[str, str]] = []
        self.fails: Callable[[str, str], bool] = lambda stage, variation: False
        monkeypatch.setattr(fingerprints, "PACKAGE", folder / "package")  # whose code is not read then, which takes longer than all else
        monkeypatch.chdir(folder)
        (folder / "configs").mkdir()
        (folder / "toy.tsv").write_text("a\tb\n")
        self.base()
        self.file(FILE)
        for name, made in zip(ALL, (self.prepared, self.tokenized, self.trained, self.evaluated), strict=True):
            module = types.ModuleType(f"pipeline.{name}")
            module.run_stage = self.stage(name, made)  # type: ignore[attr-defined]
            monkeypatch.setitem(sys.modules, f"pipeline.{name}", module)
        monkeypatch.setattr(command, "do_stages_in_fresh_process", self.in_this_process)

    def base(self, text: str = "") -> None:
        (self.folder / "configs/base.yaml").write_text(f"name: base\ndata:\n  sources:\n    - {{kind: files, path: toy.tsv}}\n{text}")

    def file(self, text: str) -> None:
        (self.folder / "cells.yaml").write_text(text.lstrip("\n"))

    def stage(self, name: str, made: Callable[[Config, RunDirectory], None]) -> Callable[[Config, RunDirectory], None]:
        def run_stage(config: Config, run: RunDirectory) -> None:
            self.done.append((name, config.name))
            if self.fails(name, config.name):
                raise UserError(f"{config.name}: the disk is made of cheese.")
            made(config, run)

        return run_stage

    @staticmethod
    def in_this_process(config: Config, run: RunDirectory, others: Sequence[RunDirectory]) -> str | None:
        try:
            do_stages(config, run, others)
        except UserError as error:
            return str(error)
        return None

    def prepared(self, config: Config, run: RunDirectory) -> None:
        write(run.split("train") / "data.arrow", config.data.model_dump_json())

    def tokenized(self, config: Config, run: RunDirectory) -> None:
        write(run.tokenizer / "joint.model", config.tokenizer.model_dump_json() + (run.split("train") / "data.arrow").read_text())

    def trained(self, config: Config, run: RunDirectory) -> None:
        run.checkpoints.mkdir(parents=True, exist_ok=True)
        with h5py.File(run.best_weights, "w") as file:
            file.create_dataset("encoder/vars/0", data=np.zeros((10, config.model.embedding_size), np.float32))
            file.create_dataset("encoder/dropout/seed_generator/vars/0", data=np.zeros(2, np.uint32))
        run.history.write_text(HISTORY)

    def evaluated(self, config: Config, run: RunDirectory) -> None:
        bleu = config.model.embedding_size / 10 + config.decoding.beam_size
        lengths = {"1-10": {"sentences": 1200, "bleu": bleu}, "31+": {"sentences": 3, "bleu": bleu / 2}}
        if config.data.target_language == "fi":
            lengths.pop("31+")
        row = {"bleu": bleu, "bleu_signature": "tok:13a", "bleu_by_length": lengths}
        if config.evaluation.tokenized_bleu:
            row |= {"tokenized_bleu": bleu + 1, "tokenized_bleu_signature": "tok:moses-de"}
        write_json(run.evaluation, {"schema_version": 2, "splits": {split: row for split in config.evaluation.splits}})

    def compare(self, *arguments: str, status: int = 0) -> list[tuple[str, str]]:
        """What `python -m pipeline.compare cells.yaml` did."""
        self.done.clear()
        assert command.main(["cells.yaml", *arguments]) == status
        return list(self.done)

    @property
    def json(self) -> dict[str, Any]:
        value = json.loads((self.folder / "artifacts/cells/comparison.json").read_text())
        assert value["schema_version"] == 1
        return value


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def test_the_tables(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.compare()
    shown = capsys.readouterr().out
    assert (
        shown
        == """# cells

| variation | parameters | updates | minutes | tokens/s | validation BLEU (greedy) | test BLEU | difference |
| --------- | ---------: | ------: | ------: | -------: | -----------------------: | --------: | ---------: |
| small     |      2,560 |      30 |     3.0 |    2,000 |                    21.25 |     29.60 |            |
| large     |      5,120 |      30 |     3.0 |    2,000 |                    21.25 |     55.20 |     +25.60 |

- BLEU: `tok:13a`

BLEU on test by the source's length in words (sentences):

| variation | 1-10 (1,200) | 31+ (3) |
| --------- | -----------: | ------: |
| small     |        29.60 |   14.80 |
| large     |        55.20 |   27.60 |
"""
    )
    assert (project.folder / "artifacts/cells/comparison.md").read_text() == shown
    small, large = project.json["variations"]
    assert (small["name"], small["run"], small["changes"], small["failure"]) == ("small", "small", {}, None)
    assert large["changes"] == {"model.embedding_size": 512}
    assert large["result"]["parameters"] == 5120
    assert large["result"]["difference"] == {"test": pytest.approx(25.6)}
    assert large["result"]["splits"]["test"]["bleu_by_length"]["1-10"]["sentences"] == 1200


def test_other_splits_and_scores_get_their_columns(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.compare("--set", "evaluation.splits=[validation, test]", "--set", "evaluation.tokenized_bleu=true")
    lines = capsys.readouterr().out.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:6]]
    assert cells[0][6:] == ["validation BLEU", "validation BLEU tok", "difference", "test BLEU", "test BLEU tok", "difference"]
    assert cells[3][6:] == ["55.20", "56.20", "+25.60", "55.20", "56.20", "+25.60"]
    assert "- tok: `tok:moses-de`" in lines


def test_scores_of_other_sentences_are_not_subtracted(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.file("base: configs/base.yaml\nvariations: {small: {}, other: {data.target_language: fi}}")
    project.compare()
    shown = capsys.readouterr().out
    assert "|     29.60 |          – |" in shown
    assert "| other     |        29.60 |       – |" in shown
    assert [one["result"]["difference"] for one in project.json["variations"]] == [{"test": 0.0}, {"test": None}]


def test_a_run_is_an_ordinary_run(project: Project) -> None:
    project.compare()
    run = RunDirectory.existing("artifacts/cells/large")
    config = run.load_config()
    assert (config.name, config.model.embedding_size, config.training.epochs) == ("large", 512, 2)


def test_a_second_call_does_nothing(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.compare()
    first = capsys.readouterr()
    assert project.compare() == []
    second = capsys.readouterr()
    assert second.out == first.out
    assert second.err.splitlines()[:2] == [
        "[1/2] small: skipped, nothing has changed",
        "[2/2] large: skipped, nothing has changed",
    ]


def test_data_and_tokenizer_are_made_once(project: Project) -> None:
    assert project.compare() == [*((name, "small") for name in ALL), ("train", "large"), ("evaluate", "large")]
    small, large = (RunDirectory(project.folder / "artifacts/cells" / name) for name in ("small", "large"))
    assert (large.tokenizer / "joint.model").read_text() == (small.tokenizer / "joint.model").read_text()


@pytest.mark.parametrize(
    ("change", "stages"),
    [
        ("tokenizer.vocabulary_size: 300", ["tokenize", "train", "evaluate"]),
        ("data.test: 0.1", ALL),
        ("training.seed: 7", ["train", "evaluate"]),
        ("decoding.beam_size: 9", ["evaluate"]),  # two searches are compared on the same weights
        ("export.beam_size: 9", ["evaluate"]),
    ],
)
def test_what_differs_is_not_shared(project: Project, change: str, stages: list[str]) -> None:
    project.file(FILE.replace("model.embedding_size: 512", change))
    assert [name for name, variation in project.compare() if variation == "large"] == stages


def test_changes_do_again_what_they_concern(project: Project) -> None:
    project.compare()
    assert project.compare("--set", "decoding.beam_size=2") == [("evaluate", "small"), ("evaluate", "large")]
    assert project.json["variations"][0]["result"]["splits"]["test"]["bleu"] == pytest.approx(27.6)
    project.file(FILE.replace("512", "128") + "  third: {model.embedding_size: 64}\n")
    assert project.compare("--set", "decoding.beam_size=2") == [(name, v) for v in ("large", "third") for name in ("train", "evaluate")]
    (project.folder / "toy.tsv").write_text("a\tb\nc\td\n")
    assert project.compare("--set", "decoding.beam_size=2")[0] == ("prepare", "small")


def test_a_failure_does_not_stop_the_others(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    project.fails = lambda stage, variation: (stage, variation) == ("train", "small")
    assert ("evaluate", "large") in project.compare(status=1)
    captured = capsys.readouterr()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in captured.out.splitlines()[4:6]]
    assert rows[0] == ["small", "failed", *["–"] * 6]
    assert rows[1][1:] == ["5,120", "30", "3.0", "2,000", "21.25", "55.20", "–"]
    assert "small failed: small: the disk is made of cheese." in captured.err.splitlines()
    assert project.json["variations"][0]["failure"] == "small: the disk is made of cheese."
    assert project.json["variations"][1]["result"]["difference"] == {"test": None}

    project.fails = lambda stage, variation: False
    assert project.compare() == [("train", "small"), ("evaluate", "small")]
    assert project.json["variations"][1]["result"]["difference"] == {"test": pytest.approx(25.6)}


def test_some_of_the_variations(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert {variation for _, variation in project.compare("--only", "large")} == {"large"}
    assert "| small     |   not done |" in capsys.readouterr().out
    assert project.compare() == [("train", "small"), ("evaluate", "small")], "what large has prepared serves small"
    assert project.compare("--only", "larg", status=2) == []
    assert "cells.yaml: has no variation 'larg'. Did you mean 'large'? There are: small, large." in capsys.readouterr().err


def test_sections_mean_the_same_as_dots(project: Project) -> None:
    project.file(
        """
base: configs/base.yaml
set:
  model: {dropout: 0.3, embedding_size: 64}
variations:
  one: {model: {embedding_size: 32}, training.patience: null, data.sources.0.tag: "x: y"}
"""
    )
    project.base("model: {max_tokens: 30, dropout: 0.2}\n")
    config = load_plan(Path("cells.yaml")).variations[0].config
    assert (config.model.dropout, config.model.embedding_size, config.model.max_tokens) == (0.3, 32, 30)
    assert (config.training.patience, config.data.sources[0].tag) == (None, "x: y")


def test_a_date_is_the_text_that_it_was(project: Project) -> None:
    project.file("base: configs/base.yaml\nvariations:\n  may: {data.sources: [{kind: files, path: toy.tsv, tag: 2024-05-01}]}\n")
    project.compare()
    [may] = project.json["variations"]
    assert may["changes"] == {"data.sources": [{"kind": "files", "path": "toy.tsv", "tag": "2024-05-01"}]}


def test_the_command_line_wins(project: Project) -> None:
    plan = load_plan(Path("cells.yaml"), ["training.epochs=9", "model.embedding_size=8"], Path("elsewhere"))
    assert [(v.config.training.epochs, v.config.model.embedding_size) for v in plan.variations] == [(9, 8), (9, 8)]
    assert plan.variations[1].run.root == Path("elsewhere/cells/large")


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        (
            FILE.replace("training.epochs", "training.epoch") + "  wide: {model.dropuot: 0.1, training.learning_rate: fast}\n",
            [
                "cells.yaml:2: set: training: unknown key 'epoch'. Did you mean 'epochs'?",
                "cells.yaml:6: variations.wide: model: unknown key 'dropuot'. Did you mean 'dropout'?",
                "cells.yaml:6: variations.wide: training.learning_rate: expected a number, found the text 'fast'.",
            ],
        ),
        (
            FILE.replace("512}", "512, tokenizer.joint: false}"),
            ["cells.yaml:5: variations.large: configs/base.yaml: model.shared_embeddings needs one vocabulary for both sides"],
        ),
        (FILE.replace("model.embedding_size", "data.sources.4.tag"), ["cells.yaml:5: variations.large: 'data.sources' is a list of 1"]),
        (FILE.replace("base:", "bass:"), ["cells.yaml: base: is missing.", "cells.yaml:1: unknown key 'bass'. Did you mean 'base'?"]),
        (FILE.replace("base.yaml", "bsae.yaml"), ["configs/bsae.yaml: no such config file. There are: configs/base.yaml."]),
        (FILE.replace("small: {}", "small:"), ["cells.yaml:4: variations.small: expected a section of keys, found nothing."]),
        (FILE.replace("small: {}", "a/b: {}"), ["cells.yaml:4: variations.a/b: expected text of the form"]),
        (FILE.replace("large:", "small:"), ["cells.yaml:5: the key 'variations.small' stands twice; it is already on line 4."]),
        (
            FILE + "  both: {training: {epochs: 3}, training.epochs: 4}\n",
            ["cells.yaml:6: variations.both: training.epochs: stands twice."],
        ),
        (FILE.split("variations")[0] + "variations: {}", ["cells.yaml:3: variations: expected at least one variation"]),
        (FILE.replace("training.epochs: 2", "name: x"), ["cells.yaml:2: set: name: a run has the name of its variation"]),
        (FILE + "\tx", ["cells.yaml:6: not valid YAML"]),
    ],
)
def test_every_mistake_is_told_before_anything_is_done(
    project: Project, capsys: pytest.CaptureFixture[str], text: str, messages: list[str]
) -> None:
    project.file(text)
    assert project.compare(status=2) == []
    lines = capsys.readouterr().err.removeprefix("error: ").splitlines()
    assert len(lines) == len(messages), lines
    for line, message in zip(lines, messages, strict=True):
        assert line.startswith(message)
    assert not (project.folder / "artifacts").exists()


def test_mistakes_on_the_command_line_are_told_once(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    assert project.compare("--set", "training.epohcs=3", "--set", "name=x", status=2) == []
    first, second = capsys.readouterr().err.removeprefix("error: ").splitlines()
    assert first.startswith("--set name=x: name: a run has the name of its variation")
    assert second.startswith("--set training.epohcs=3: training: unknown key 'epohcs'. Did you mean 'epochs'?")


def test_the_folder_of_a_run_is_left_alone(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    write(project.folder / "artifacts/cells/config.yaml", "name: cells\n")
    assert project.compare(status=2) == []
    assert "artifacts/cells: is a run; a comparison needs a folder of its own. Rename cells.yaml" in capsys.readouterr().err
    assert command.main(["nowhere.yaml"]) == 2
    assert "nowhere.yaml: cannot be read: No such file or directory. Expected the file of a comparison" in capsys.readouterr().err


def test_two_processes_do_not_work_on_one_comparison(project: Project) -> None:
    with RunDirectory(Path("artifacts/cells")).locked():
        assert project.compare(status=2) == []


def test_what_an_evaluation_would_refuse_is_refused_before_the_first_training(project: Project) -> None:
    def no_comet(config: Config, run: RunDirectory) -> None:
        raise UserError("evaluation.comet: there is no program")

    sys.modules["pipeline.evaluate"].check_stage = no_comet  # type: ignore[attr-defined]
    assert project.compare(status=2) == []


def test_mistakes_and_help_import_nothing_heavy(project: Project, root: Path) -> None:
    project.file(FILE.replace("training.epochs", "training.epoch"))
    check = f"""
import sys
sys.path.insert(0, {str(root)!r})
from pipeline.compare import main
for arguments in (["--help"], ["cells.yaml"]):
    try:
        print("status", main(arguments))
    except SystemExit as end:
        print("status", end.code)
print(sorted({{"keras", "tensorflow", "pyarrow", "sentencepiece", "sacrebleu", "h5py"}} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60, check=True)
    assert [line for line in result.stdout.splitlines() if line.startswith("status")] == ["status 0", "status 2"]
    assert result.stdout.endswith("[]\n")


# --- with real stages -------------------------------------------------------------------------------------------------


def write_comparison(folder: Path, variations: str) -> Path:
    """The toy corpus, its config, and a comparison of it."""
    write_toy(folder, pairs=300)
    (folder / "cells.yaml").write_text(f"base: toy.yaml\nset: {{training.validations: 2}}\nvariations:\n{variations}")
    return folder / "cells.yaml"


@pytest.mark.slow
def test_a_whole_comparison(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = write_comparison(tmp_path, "  narrow: {}\n  broken: {tokenizer.vocabulary_size: 30000}\n  wide: {model.embedding_size: 40}\n")
    arguments = [str(path), "--artifacts", str(tmp_path / "artifacts"), "--set", "evaluation.samples=0"]
    assert command.main(arguments) == 1
    captured = capfd.readouterr()
    folder = tmp_path / "artifacts/cells"
    narrow, broken, wide = json.loads((folder / "comparison.json").read_text())["variations"]
    assert broken["result"] is None
    assert "tokenizer.vocabulary_size" in broken["failure"]
    assert f"broken failed: {broken['failure']}" in captured.err
    assert captured.out == (folder / "comparison.md").read_text(), "stdout is for the tables alone"

    from pipeline.data.subwords import Tokenizer
    from pipeline.model.build import build_model

    for row, run in ((narrow, RunDirectory(folder / "narrow")), (wide, RunDirectory(folder / "wide"))):
        tokenizer = Tokenizer.load(run.tokenizer)
        model = build_model(run.load_config().model, tokenizer.source.size, tokenizer.target.size)
        parameters = sum(int(np.prod(weight.shape)) for weight in model.trainable_variables)
        assert row["result"]["parameters"] == count_parameters(run.best_weights) == parameters
        assert row["result"]["updates"] > 0
        assert row["result"]["splits"]["test"]["weights"]
    assert narrow["result"]["splits"]["test"]["tokenizer"] == wide["result"]["splits"]["test"]["tokenizer"]
    assert captured.err.count("as in ") == 3, "broken takes over the data, wide the tokenizer too"

    before = {file: file.stat().st_mtime_ns for file in folder.rglob("*.h5")}
    assert command.main([*arguments, "--only", "narrow", "wide"]) == 0
    again = capfd.readouterr()
    assert "[1/2] narrow: skipped" in again.err
    assert "[2/2] wide: skipped" in again.err
    assert before == {file: file.stat().st_mtime_ns for file in folder.rglob("*.h5")}


def wait_for(found: Callable[[], Any], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, "it has not come"
        time.sleep(0.05)


@pytest.mark.slow
def test_killed_it_goes_on(tmp_path: Path, root: Path) -> None:
    path = write_comparison(tmp_path, "  one: {}\n")
    arguments = [sys.executable, "-m", "pipeline.compare", str(path), "--artifacts", str(tmp_path / "artifacts")]
    arguments += ["--set", "training.epochs=8", "--set", "training.save_minutes=0.0001", "--set", "evaluation.samples=0"]
    environment = os.environ | {"PYTHONPATH": str(root)}
    checkpoints, reached = tmp_path / "artifacts/cells/one/checkpoints", 0

    def update() -> int:
        return max((int(state.stem.removeprefix("state-")) for state in checkpoints.glob("state-*.npz")), default=0)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGKILL):
        process = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True)
        before = reached
        wait_for(lambda before=before: update() > before)  # type: ignore[misc]
        if number == signal.SIGINT:
            os.killpg(process.pid, number)  # Ctrl-C comes to all processes of a terminal
        else:
            process.send_signal(number)
        said = process.communicate(timeout=120)[1]
        reached = update()
        assert ("going on from update" in said) == (before > 0)
        if number != signal.SIGKILL:
            assert process.returncode == 130
            assert f"saved at update {reached:,}" in said
            assert said.count("interrupted;") == 1
    last = subprocess.run(arguments, capture_output=True, text=True, env=environment, timeout=300, check=False)
    assert last.returncode == 0, last.stderr
    assert f"going on from update {reached:,}" in last.stderr
    assert "| one " in last.stdout
