"""Losses and gradients that are no numbers: left out, counted, and explained when they do not stop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from toy_training import history, started, state, states

from pipeline import train
from pipeline.support.run_directory import RunDirectory

Captured = pytest.CaptureFixture[str]


def poison(calls: range, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside the compiled step, the loss of these batches is nan; the first call is the trial of the largest batch."""
    import keras

    from pipeline.model.seq2seq import Seq2Seq
    from pipeline.training import trainer

    factor, done = keras.Variable(1.0, trainable=False), 0
    compute_loss, update = Seq2Seq.compute_loss, trainer.update

    def poisoned_update(model, batch):
        nonlocal done
        factor.assign(np.nan if done in calls else 1.0)
        done += 1
        loss = update(model, batch)
        factor.assign(1.0)
        return loss

    monkeypatch.setattr(Seq2Seq, "compute_loss", lambda *arguments, **named: compute_loss(*arguments, **named) * factor)
    monkeypatch.setattr(trainer, "update", poisoned_update)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_some_bad_batches_are_left_out(accumulate: int, tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ("training.epochs=2", "training.average=0.9", "training.weight_decay=0.01", "training.validations=2")
    arguments = started(tmp_path, *settings, f"training.accumulate={accumulate}")
    poison(range(3, 6), monkeypatch)
    assert train.main(arguments) == 0
    rows = history(RunDirectory(tmp_path / "toy"))
    assert [row["skipped"] for row in rows] == [3, 0]
    assert all(np.isfinite(list(row.values())).all() for row in rows)
    assert rows[1]["train_loss"] < rows[0]["train_loss"]
    assert rows[0]["gradient_norm_max"] >= rows[0]["gradient_norm"] > 0
    assert "a loss or a gradient was no finite number; its batch was left out." in capsys.readouterr().err


def test_many_in_a_row_stop_with_a_diagnosis(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = started(tmp_path, "training.epochs=3", "training.validations=2", "training.save_minutes=0.00001")
    with monkeypatch.context() as patch:
        poison(range(15, 100), patch)
        assert train.main(arguments) == 2
    error = capsys.readouterr().err
    assert "error: 5 batches in a row gave a loss or a gradient that is no finite number. None of them changed the weights." in error
    assert "after update   18, batch 9 of epoch 2" in error
    assert "pairs, up to" in error
    assert "; the first: '" in error
    assert "loss           nan" in error
    assert "gradient norm  nan" in error
    assert "learning rate  0.006333" in error
    assert "largest weight" in error
    assert "--fresh" in error

    run = RunDirectory(tmp_path / "toy")
    header, values = state(states(run)[-1])
    assert header["progress"]["update"] == 18
    assert all(np.all(np.isfinite(value)) for value in values if value.ndim)  # but for the norm, a single number
    assert train.main(arguments) == 0, "without the poison, it goes on"
    assert "going on from update 18" in capsys.readouterr().err


def test_a_training_that_diverges_says_so(tmp_path: Path, capsys: Captured) -> None:
    arguments = started(tmp_path, "training.learning_rate=1e37", "training.warmup_steps=1", "training.validations=1")
    assert train.main(arguments) == 2
    error = capsys.readouterr().err
    assert "begin anew (--fresh) with a lower training.learning_rate (now 1e+37), or a lower training.clip_norm (now 1)." in error
    assert "e+37 in " in error
