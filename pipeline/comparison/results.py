"""What came of a variation, read from the files of its run."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.comparison.plan import Variation
from pipeline.comparison.stages import is_done
from pipeline.support.files import read_json
from pipeline.support.history import read_history


@dataclass(frozen=True)
class Result:
    """A trained and scored variation.

    Attributes:
        parameters: trainable numbers of the model.
        updates: done in training.
        minutes: of training and validating.
        tokens_per_second: target tokens in training, the median over the validations.
        validation_bleu: of greedy translations with the weights that were kept, as training measured it.
        splits: of evaluation.json (schema: pipeline/decoding/evaluation.py), those that the config evaluates.
    """

    parameters: int
    updates: int
    minutes: float
    tokens_per_second: float
    validation_bleu: float
    splits: dict[str, dict[str, Any]]


def read_result(variation: Variation) -> Result | None:
    """The result of a variation; None where it is not done, or not with this config."""
    config, run = variation.config, variation.run
    if not is_done(config, run):
        return None
    rows = read_history(run)
    kept = [row for row in rows if row["best"]][-1]
    evaluated = read_json(run.evaluation)["splits"]
    return Result(
        parameters=count_parameters(run.best_weights),
        updates=round(rows[-1]["update"]),
        minutes=rows[-1]["seconds"] / 60,
        tokens_per_second=statistics.median(row["tokens_per_second"] for row in rows),
        validation_bleu=kept["bleu"],
        splits={split: evaluated[split] for split in config.evaluation.splits},
    )


def count_parameters(weights: Path) -> int:
    """Trainable numbers in a file of weights: all but the states of random generators, which are whole numbers."""
    import h5py

    sizes: list[int] = []

    def note(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind == "f":
            sizes.append(item.size)

    with h5py.File(weights) as file:
        file.visititems(note)
    return sum(sizes)
