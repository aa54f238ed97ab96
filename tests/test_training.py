"""Training, by its commands: it learns, it can be killed at any moment, and it loses nothing."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from toy import write_toy

from pipeline import evaluate, prepare, tokenize, train, translate
from pipeline.configuration import load_config
from pipeline.support.files import read_json
from pipeline.support.run_directory import RunDirectory

ROOT = Path(__file__).parent.parent


def started(folder: Path, *changes: str, pairs: int = 600, longest: int = 4) -> list[str]:
    """Prepares and tokenizes a toy run in `folder`; gives back the arguments that name it."""
    arguments = [str(write_toy(folder, pairs, longest=longest)), "--artifacts", str(folder)]
    for change in changes:
        arguments += ["--set", change]
    assert prepare.main(arguments) == 0
    assert tokenize.main(arguments) == 0
    return arguments


def history(run: RunDirectory) -> list[dict[str, float]]:
    with run.history.open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_a_run_has_what_it_promises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = started(tmp_path, "training.validations=3")
    assert train.main(arguments) == 0
    run = RunDirectory(tmp_path / "toy")
    rows = history(run)
    assert len(rows) == 3
    assert rows[-1]["update"] > rows[0]["update"]
    assert rows[-1]["epoch"] == pytest.approx(1.0)
    assert rows[-1]["validation_loss"] < rows[0]["validation_loss"]
    assert rows[-1]["perplexity"] == pytest.approx(np.exp(rows[-1]["validation_loss"]), rel=1e-4)
    assert run.best_weights.is_file()
    assert not list(run.checkpoints.glob("state-*"))  # only a training in progress needs them
    shown = capsys.readouterr().err
    assert "the largest batch fits" in shown
    assert shown.count("->") == 9  # three sample translations at each of three validations
    assert "validation BLEU" in shown


def test_sentences_over_the_limit_are_told_not_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = started(tmp_path, "model.max_tokens=3", "training.validations=1")
    assert train.main(arguments) == 0
    shown = capsys.readouterr().err
    assert "training pairs are left out: a side has more than model.max_tokens = 3 pieces" in shown


def test_a_limit_below_every_sentence_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = started(tmp_path, "model.max_tokens=1")
    assert train.main(arguments) == 2
    assert "every training sentence is longer than model.max_tokens = 1" in capsys.readouterr().err


def test_training_with_another_tokenizer_setting_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = started(tmp_path)
    assert train.main([*arguments, "--set", "tokenizer.type=bpe"]) == 2
    assert "tokenizer.type" in capsys.readouterr().err


def test_weights_of_other_settings_are_kept_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = started(tmp_path, "training.validations=1")
    assert train.main(arguments) == 0
    before = (tmp_path / "toy/checkpoints/best.weights.h5").read_bytes()
    assert train.main([*arguments, "--set", "model.decoder.units=48"]) == 0
    assert (tmp_path / "toy/previous/1/checkpoints/best.weights.h5").read_bytes() == before
    assert "the earlier training is kept in" in capsys.readouterr().err


def test_patience_ends_a_training(tmp_path: Path) -> None:
    arguments = started(tmp_path, "training.patience=1", "training.learning_rate=1e-9", "training.validations=8")
    assert train.main(arguments) == 0
    rows = history(RunDirectory(tmp_path / "toy"))
    assert len(rows) < 8
    assert not rows[-1]["best"]


def train_and_kill(arguments: list[str], run: RunDirectory, number: signal.Signals) -> int:
    """Starts training in a process of its own and sends it a signal as soon as it has left a checkpoint."""
    process = subprocess.Popen([sys.executable, "-m", "pipeline.train", *arguments], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(run.checkpoints.glob("state-*.npz")):
        assert process.poll() is None, "training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.kill(process.pid, number)
    return process.wait(timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=lambda number: number.name)
def test_killed_training_goes_on_and_ends_as_if_nothing_had_happened(
    number: signal.Signals, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("training.epochs=4", "training.save_minutes=0.0001", "model.dropout=0.1")
    (tmp_path / "whole").mkdir()
    (tmp_path / "killed").mkdir()
    whole = started(tmp_path / "whole", *settings)
    killed = started(tmp_path / "killed", *settings)
    assert train.main(whole) == 0
    run = RunDirectory(tmp_path / "killed/toy")
    assert train_and_kill(killed, run, number) == (-9 if number is signal.SIGKILL else 130)
    capsys.readouterr()
    assert train.main(killed) == 0
    assert "going on from update" in capsys.readouterr().err

    expected, found = history(RunDirectory(tmp_path / "whole/toy")), history(run)
    for column in ("update", "epoch", "learning_rate"):
        assert [row[column] for row in found] == [row[column] for row in expected]
    # The same batches, dropout and random states; the order of sums within a product may differ from run to run.
    for column in ("train_loss", "validation_loss"):
        assert [row[column] for row in found] == pytest.approx([row[column] for row in expected], rel=2e-3)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline.training.checkpoints import Checkpoints, Progress

    class Variable:
        def __init__(self, value: float) -> None:
            self.value = np.full((3, 2), value, dtype=np.float32)
            self.shape = (3, 2)

        def __array__(self, dtype=None, copy=None):
            return self.value

        def assign(self, value) -> None:
            self.value = value

    checkpoints = Checkpoints(tmp_path, {"model": {"units": 3}})
    for update in (1, 2, 3):
        checkpoints.save([Variable(update)], Progress(update=update))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["state-00000002.npz", "state-00000003.npz"]

    last = tmp_path / "state-00000003.npz"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 0xFF
    for damaged in (bytes(content), bytes(content[:100]), b""):
        last.write_bytes(damaged)
        variable = Variable(0)
        progress = checkpoints.restore([variable])
        assert progress is not None
        assert progress.update == 2
        assert np.all(variable.value == 2)
        assert "state-00000003.npz: is damaged" in capsys.readouterr().err
    assert Checkpoints(tmp_path, {"model": {"units": 4}}).restore([Variable(0)]) is None


@pytest.mark.slow
def test_it_learns_to_reverse(tmp_path: Path) -> None:
    arguments = started(tmp_path, "training.epochs=12", "training.validations=2", "evaluation.splits=[test]", pairs=6000, longest=8)
    assert train.main(arguments) == 0
    run = RunDirectory(tmp_path / "toy")
    assert evaluate.main(["--run", str(run.root)]) == 0
    with (run.hypotheses / "test.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    right = sum(row["hypothesis"] == row["reference"] for row in rows)
    assert len(rows) > 100
    assert right / len(rows) > 0.98
    assert read_json(run.evaluation)["splits"]["test"]["bleu"] > 95
    assert load_config(run.config).name == "toy"


def test_the_fused_optimizer_gives_the_numbers_of_keras() -> None:
    import keras

    from pipeline.training.optimizer import FusedAdam

    generator = np.random.default_rng(1)
    start = generator.normal(size=(5, 3)).astype(np.float32)
    gradients = [generator.normal(size=(5, 3)).astype(np.float32) for _ in range(5)]

    def after(kind: type[keras.optimizers.Adam]) -> np.ndarray:
        variable = keras.Variable(start)
        optimizer = kind(1e-2, beta_2=0.998, epsilon=1e-8, global_clipnorm=1.0)
        optimizer.build([variable])
        for gradient in gradients:
            optimizer.apply([keras.ops.convert_to_tensor(gradient)])
        return np.array(variable)

    np.testing.assert_allclose(after(FusedAdam), after(keras.optimizers.Adam), rtol=1e-5, atol=1e-6)


def test_tensorboard_gets_the_history(tmp_path: Path) -> None:
    arguments = started(tmp_path, "training.validations=2", "training.tensorboard=true")
    assert train.main(arguments) == 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logs = EventAccumulator(str(tmp_path / "toy/tensorboard/train"), size_guidance={"tensors": 0})
    logs.Reload()
    steps = [event.step for event in logs.Tensors("epoch_validation_loss")]
    assert steps == [row["update"] for row in history(RunDirectory(tmp_path / "toy"))]


def test_weights_belong_to_their_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = started(tmp_path, "training.validations=1")
    assert train.main(arguments) == 0
    run = RunDirectory(tmp_path / "toy")
    line = tmp_path / "line.txt"
    line.write_text("a b c\n")
    weights = run.best_weights.read_bytes()
    assert translate.main(["--run", str(run.root), str(line)]) == 0

    capsys.readouterr()
    assert tokenize.main([*arguments, "--set", "tokenizer.type=bpe"]) == 0
    assert "the earlier training is kept in" in capsys.readouterr().err
    # Set aside with its own tokenizer and config, it still translates.
    assert translate.main(["--run", str(run.root / "previous/1"), str(line)]) == 0

    run.checkpoints.mkdir(exist_ok=True)
    run.best_weights.write_bytes(weights)
    capsys.readouterr()
    assert translate.main(["--run", str(run.root), str(line)]) == 2
    assert "best.weights.h5 was made with tokenizer" in capsys.readouterr().err
