"""The learning rate over a training: a linear warm-up, then one of several decays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.configuration.schema import Training

# Where cosine and linear end, as a share of the peak: the last updates still move.
FLOOR = 0.02


@dataclass(frozen=True)
class Position:
    """Where a training stands, as a schedule sees it.

    Attributes:
        update: number of the update, counted from 1.
        warmup: updates of the warm-up.
        total: updates of the whole training.
        plateau: what the plateaus so far have left of the rate; see `Plateau`.
    """

    update: int
    warmup: int
    total: int
    plateau: float

    @property
    def done(self) -> float:
        """Of the time after the warm-up, 0 to 1."""
        return min(1.0, max(0.0, (self.update - 1 - self.warmup) / max(1, self.total - self.warmup)))


def cosine(at: Position) -> float:
    """Half a wave down (Loshchilov & Hutter, 2017, equation 5)."""
    return FLOOR + (1.0 - FLOOR) * 0.5 * (1.0 + math.cos(math.pi * at.done))


def linear(at: Position) -> float:
    """A straight line down."""
    return FLOOR + (1.0 - FLOOR) * (1.0 - at.done)


def inverse_sqrt(at: Position) -> float:
    """1 / sqrt(update), 1 at the end of the warm-up (Vaswani et al., 2017, 5.3)."""
    return math.sqrt(at.warmup / max(at.update, at.warmup))


def constant(at: Position) -> float:
    """No decay."""
    return 1.0


def plateau(at: Position) -> float:
    """Lower by a factor whenever validations have not become better for a while."""
    return at.plateau


# Name in the config -> share of the peak rate.
SCHEDULES: dict[str, Callable[[Position], float]] = {
    "cosine": cosine,
    "inverse_sqrt": inverse_sqrt,
    "linear": linear,
    "constant": constant,
    "plateau": plateau,
}


def learning_rate(settings: Training, update: int, total: int, plateaus: int = 0) -> float:
    """The rate of update number `update`, counted from 1, of `total`, after that many plateaus."""
    warmup = max(1, min(settings.warmup_steps, total))
    at = Position(update, warmup, total, settings.plateau_factor**plateaus)
    return settings.learning_rate * min(update / warmup, SCHEDULES[settings.schedule](at))
