"""Minutes instead of epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_training import history, history_text, started, state, states

from pipeline import train
from pipeline.support.run_directory import RunDirectory
from pipeline.training import budget, trainer
from pipeline.training.trainer import Trainer

Captured = pytest.CaptureFixture[str]


class Clock:
    """One that goes on by so many seconds each time that it is looked at, on every machine."""

    def __init__(self, tick: float) -> None:
        self.tick, self.now = tick, 0.0

    def monotonic(self) -> float:
        self.now += self.tick
        return self.now


def test_a_budget_becomes_updates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setattr(budget, "time", Clock(0.1))
    arguments = started(tmp_path, "training.minutes=0.4", "training.epochs=100000", "training.validations=3", "training.accumulate=2")
    assert train.main(arguments) == 0
    rows = history(RunDirectory(tmp_path / "toy"))
    assert len(rows) == 3
    total = rows[-1]["update"]
    # Of 24 s, measuring has taken about 3; an update takes two batches of 0.1 s, a validation 0.1 s.
    assert total == pytest.approx((24 - 3 - 3 * 0.1) / 0.2, abs=5)
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


def test_the_number_of_updates_is_kept_for_later_sittings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    arguments = started(tmp_path, "training.minutes=0.4", "training.validations=2", "training.save_minutes=0.00001")
    run = RunDirectory(tmp_path / "toy")
    honest = Trainer._update

    def killed(self: Trainer, *rest: Any) -> None:
        if self.progress.update == 3:
            raise KeyboardInterrupt
        honest(self, *rest)

    monkeypatch.setattr(budget, "time", Clock(0.1))
    monkeypatch.setattr(Trainer, "_update", killed)
    assert train.main(arguments) == 130
    total = state(states(run)[-1])[0]["progress"]["total"]
    assert total > 100
    capsys.readouterr()

    monkeypatch.setattr(budget, "time", Clock(0.2))  # measured anew, it would be half as many
    monkeypatch.setattr(Trainer, "_update", honest)
    assert train.main(arguments) == 0
    assert f" of {total:,}\n" in capsys.readouterr().err
    assert history(run)[-1]["update"] == total


def test_a_budget_that_is_too_short(tmp_path: Path, capsys: Captured) -> None:
    assert train.main(started(tmp_path, "training.minutes=0.0001")) == 2
    error = capsys.readouterr().err
    assert "training.minutes = 0.0001 is too short: these are 0.006 s" in error and "; an update takes" in error
    assert "and each of training.validations = 4 takes" in error
    assert "of which making ready has taken" in error
