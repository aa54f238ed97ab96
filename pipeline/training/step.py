"""One batch's step of a training, and all that it changes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from pipeline.data.batches import Batch
from pipeline.model.seq2seq import Seq2Seq


def update(model: Seq2Seq, batch: Batch) -> float:
    """One update of the weights, or one batch towards it; gives back the loss of its batch, nats a token."""
    if model.optimizer.accumulate > 1:
        model.optimizer.batch_tokens.assign(batch.target_tokens)
    model.reset_metrics()  # else Keras gives a running mean
    return float(model.train_on_batch(batch.inputs, batch.target_ids))


def state_of(model: Seq2Seq) -> list[Any]:
    """Every variable that an update reads or writes: weights, random states, the optimizer's moments, averages and counts."""
    return [*model.variables, *model.optimizer.variables]


@contextmanager
def taken_back(model: Seq2Seq) -> Iterator[None]:
    """What is trained inside leaves no trace."""
    before = [np.asarray(variable) for variable in state_of(model)]
    yield
    for variable, value in zip(state_of(model), before, strict=True):
        variable.assign(value)
