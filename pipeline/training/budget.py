"""A budget of time instead of epochs: how many updates this machine makes of it."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable, Iterator

from pipeline.configuration.schema import Training
from pipeline.data.batches import Batch
from pipeline.model.seq2seq import Seq2Seq
from pipeline.runtime.errors import UserError
from pipeline.training.step import taken_back, update

# Batches: the first ones compile; the others, at least, are enough for their lengths to even out.
WARM_UP = 6
MEASURED = 30
# Of the budget, for measuring updates: a machine that has just begun is faster than one that has worked for a minute.
_LEAST, _MOST = 0.01, 0.05


def updates_within(settings: Training, model: Seq2Seq, batches: Iterator[Batch], validate: Callable[[], object]) -> int:
    """The updates for which `settings.minutes` are enough, with the time that measuring takes and the validations.

    Some real batches are trained on, and the model is validated twice, for the first time compiles; nothing of it stays.

    Args:
        settings: with `minutes`.
        model: compiled.
        batches: the ones that training begins with.
        validate: validates the model. One that has learnt nothing does not end its sentences, so later validations take less.

    Raises:
        UserError: a validation and an update take longer than that.
    """
    assert settings.minutes is not None
    budget = settings.minutes * 60
    start = time.monotonic()
    with taken_back(model):
        for batch in itertools.islice(batches, WARM_UP):
            update(model, batch)
        an_update = settings.accumulate * _seconds_a_batch(model, batches, budget)
        validate()  # compiles
        before = time.monotonic()
        validate()
        a_validation = time.monotonic() - before
    left = budget - (time.monotonic() - start)
    updates = int((left - settings.validations * a_validation) / an_update)
    if updates < settings.validations:
        raise UserError(
            f"training.minutes = {settings.minutes:g} is too short: these are {budget:.2g} s, of which making ready has taken "
            f"{budget - left:.2g} s; an update takes {an_update:.2g} s, and each of training.validations = {settings.validations} takes "
            f"{a_validation:.2g} s. Raise it, or lower training.validations or training.validation_sentences."
        )
    return updates


def _seconds_a_batch(model: Seq2Seq, batches: Iterator[Batch], budget: float) -> float:
    seconds: list[float] = []
    spent = 0.0
    while spent < _MOST * budget and (len(seconds) < MEASURED or spent < _LEAST * budget):
        start = time.monotonic()
        update(model, next(batches))
        seconds.append(time.monotonic() - start)
        spent += seconds[-1]
    return statistics.mean(seconds)
