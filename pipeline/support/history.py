"""A run's history.csv: what its columns mean, and reading it."""

from __future__ import annotations

import csv

from pipeline.runtime.errors import UserError
from pipeline.support.run_directory import RunDirectory

COLUMNS = {
    "update": "updates done",
    "epoch": "passes over the training split, with its fraction",
    "seconds": "of training and validating so far",
    "learning_rate": "of the last update",
    "tokens_per_second": "target tokens since the last validation, padding not counted",
    "train_loss": "mean since the last validation, nats a token, label smoothing and consistency included",
    "gradient_norm": "mean over the updates since the last validation, before clipping",
    "gradient_norm_max": "the largest of them",
    "clipped": "share of these updates whose gradient was longer than training.clip_norm, and was cut to that",
    "padding": "share of the ids since the last validation, of both sides, that were padding: computed for nothing",
    "skipped": "batches since the last validation that were left out, because their loss or gradient was no finite number",
    "validation_loss": "nats a token, without label smoothing; of the averaged weights, where training.average is on",
    "perplexity": "exp(validation_loss)",
    "bleu": "sacreBLEU of greedy translations of validation sentences (training.validation_sentences)",
    "best": "1 if this is the best validation so far",
}

Row = dict[str, float]
"""One validation."""


def read_history(run: RunDirectory) -> list[Row]:
    """The rows of a run's history.csv; none if there is no such file.

    Raises:
        UserError: it is no such table.
    """
    if not run.history.is_file():
        return []
    try:
        with run.history.open(encoding="utf-8", newline="") as file:
            return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{run.history}: is damaged ({error}). Put a copy back, or train again.") from None


def clipped_share(run: RunDirectory) -> float | None:
    """Share of a run's updates whose gradient was clipped; None where its history does not say."""
    rows = [row for row in read_history(run) if "clipped" in row]
    before, shares, counts = 0.0, [], []
    for row in rows:
        shares.append(row["clipped"])
        counts.append(row["update"] - before)
        before = row["update"]
    return sum(share * count for share, count in zip(shares, counts, strict=True)) / before if before else None
