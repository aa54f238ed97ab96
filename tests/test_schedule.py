"""The learning rate: what each schedule makes of it, and what a training records."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import get_args

import pytest
from toy_training import history, started

from pipeline import train
from pipeline.configuration.schema import Training
from pipeline.support.run_directory import RunDirectory
from pipeline.training.schedule import FLOOR, SCHEDULES, learning_rate


def rates(schedule: str, total: int = 100, warmup: int = 10, plateaus: int = 0) -> list[float]:
    settings = Training(schedule=schedule, warmup_steps=warmup, learning_rate=2.0, plateau_factor=0.1)
    return [learning_rate(settings, update, total, plateaus) for update in range(1, total + 1)]


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_it_rises_to_its_peak_and_never_above(schedule: str) -> None:
    found = rates(schedule)
    assert found[:10] == pytest.approx([0.2 * update for update in range(1, 11)])
    assert max(found) == found[9] == 2.0
    assert all(later <= earlier for earlier, later in itertools.pairwise(found[9:]))


def test_the_decays() -> None:
    assert rates("cosine")[55] == pytest.approx(2.0 * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * 45 / 90))))
    assert rates("linear")[55] == pytest.approx(2.0 * (FLOOR + (1 - FLOOR) * 0.5))
    assert rates("inverse_sqrt")[39] == pytest.approx(2.0 / math.sqrt(4))
    assert rates("constant")[99] == 2.0
    assert rates("plateau", plateaus=2)[50] == pytest.approx(2.0 * 0.01)
    assert rates("cosine", plateaus=2) == rates("cosine")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_training_shorter_than_its_warm_up(schedule: str) -> None:
    assert rates(schedule, total=4, warmup=200) == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert rates(schedule, total=1, warmup=0) == [2.0]


def test_the_config_knows_every_schedule() -> None:
    assert set(get_args(Training.model_fields["schedule"].annotation)) == set(SCHEDULES)


def test_plateaus_lower_the_rate(tmp_path: Path) -> None:
    # A rate at which no weight moves: the first validation stays the best.
    settings = ("training.schedule=plateau", "training.learning_rate=1e-30", "training.warmup_steps=1", "training.plateau_factor=0.5")
    arguments = started(tmp_path, *settings, "training.plateau_patience=2", "training.validations=6")
    assert train.main(arguments) == 0
    rows = history(RunDirectory(tmp_path / "toy"))
    assert [row["best"] for row in rows] == [1, 0, 0, 0, 0, 0]
    assert [row["learning_rate"] for row in rows] == pytest.approx([1e-30, 1e-30, 1e-30, 5e-31, 5e-31, 2.5e-31])
