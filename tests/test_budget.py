"""Minutes instead of epochs."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from toy_training import history, history_text, started, state, states, train_and_kill

from pipeline import train
from pipeline.support.run_directory import RunDirectory
from pipeline.training import trainer

Captured = pytest.CaptureFixture[str]


@pytest.mark.slow
def test_a_budget_becomes_updates(tmp_path: Path, capsys: Captured) -> None:
    arguments = started(tmp_path, "training.minutes=0.4", "training.epochs=100000", "training.validations=3", "training.accumulate=2")
    assert train.main(arguments) == 0
    rows = history(RunDirectory(tmp_path / "toy"))
    assert len(rows) == 3
    total = rows[-1]["update"]
    assert f"{total:,.0f} updates\n" in capsys.readouterr().err
    assert rows[0]["update"] == pytest.approx(total / 3, abs=1)
    assert rows[-1]["epoch"] < 100_000


def test_measuring_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure = trainer.updates_within
    for name in ("measured", "not measured"):

        def updates_within(*arguments, name=name) -> int:
            if name == "measured":
                assert measure(*arguments) > 0
            return 30

        monkeypatch.setattr(trainer, "updates_within", updates_within)
        assert train.main(started(tmp_path / name, "training.minutes=1", "training.validations=2", "model.dropout=0.2")) == 0
    found = [history_text(RunDirectory(tmp_path / name / "toy")) for name in ("measured", "not measured")]
    assert found[0] == found[1]
    assert found[0][-1]["update"] == "30"


@pytest.mark.slow
def test_the_number_of_updates_is_kept_for_later_sittings(tmp_path: Path, capsys: Captured) -> None:
    arguments = started(tmp_path, "training.minutes=0.5", "training.validations=2", "training.save_minutes=0.00001")
    run = RunDirectory(tmp_path / "toy")
    train_and_kill(arguments, run, signal.SIGKILL)
    total = state(states(run)[-1])[0]["progress"]["total"]
    capsys.readouterr()
    assert train.main(arguments) == 0
    assert f" of {total:,}\n" in capsys.readouterr().err
    assert history(run)[-1]["update"] == total


def test_a_budget_that_is_too_short(tmp_path: Path, capsys: Captured) -> None:
    assert train.main(started(tmp_path, "training.minutes=0.0001")) == 2
    error = capsys.readouterr().err
    assert "training.minutes = 0.0001 is too short: an update takes" in error
    assert "and each of training.validations = 4 takes" in error
