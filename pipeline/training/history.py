"""history.csv: one row a validation."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from pipeline.support.files import write_text

COLUMNS = {
    "update": "updates done",
    "epoch": "passes over the training split, with its fraction",
    "seconds": "of training and validating so far",
    "learning_rate": "of the last update",
    "tokens_per_second": "target tokens since the last validation, padding not counted",
    "train_loss": "mean since the last validation, nats a token, label smoothing included",
    "validation_loss": "nats a token, without label smoothing",
    "perplexity": "exp(validation_loss)",
    "bleu": "sacreBLEU of greedy translations of the first validation sentences",
    "best": "1 if this is the best validation so far",
}


def write_history(path: Path, rows: list[dict[str, float]]) -> None:
    """Writes the rows, whole or not at all; the columns are those of `COLUMNS`."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: f"{value:.6g}" for key, value in row.items()} for row in rows)
    write_text(path, text.getvalue())
