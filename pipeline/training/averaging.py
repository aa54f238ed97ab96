"""The average of the weights in the weights' place: it wavers less than they do, and translates better."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from pipeline.model.seq2seq import Seq2Seq


@contextmanager
def averaged_weights(model: Seq2Seq) -> Iterator[None]:
    """Inside, the model has the averages that its optimizer keeps (Polyak & Juditsky, 1992), if it keeps any; after that its own weights.

    Training itself never sees them: what it goes on with are the weights as they were.
    """
    averages = model.optimizer.averages
    raw = [np.asarray(weight) for weight in model.trainable_variables] if averages else []
    try:
        for weight, average in zip(model.trainable_variables, averages, strict=False):
            weight.assign(np.asarray(average))
        yield
    finally:
        for weight, value in zip(model.trainable_variables, raw, strict=False):
            weight.assign(value)
