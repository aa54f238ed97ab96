"""The learning rate over a training: a linear warm-up, then a decay."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Tensor = Any

# Where cosine and linear end, as a share of the peak: the last updates still move.
FLOOR = 0.02


class WarmupThenDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Rises from 0 to `peak` over `warmup` updates, then falls until update `total`.

    Args:
        peak: highest learning rate.
        kind: "cosine" (Loshchilov & Hutter, 2017), "linear", "inverse_sqrt" (Vaswani et al., 2017, 5.3) or "constant".
        warmup: updates.
        total: updates of the whole training.
    """

    def __init__(self, peak: float, kind: str, warmup: int, total: int) -> None:
        self.peak = peak
        self.kind = kind
        self.warmup = max(1, min(warmup, total))
        self.total = total

    def __call__(self, step: Tensor) -> Tensor:
        """The rate of update `step`, counted from 0."""
        step = ops.cast(step, "float32")
        rising = (step + 1.0) / self.warmup
        done = ops.clip((step - self.warmup) / max(1, self.total - self.warmup), 0.0, 1.0)
        falling = {
            "cosine": lambda: FLOOR + (1.0 - FLOOR) * 0.5 * (1.0 + ops.cos(done * 3.14159265)),
            "linear": lambda: FLOOR + (1.0 - FLOOR) * (1.0 - done),
            "inverse_sqrt": lambda: ops.rsqrt(ops.maximum(step + 1.0, self.warmup) / self.warmup),
            "constant": lambda: ops.ones_like(done),
        }[self.kind]()
        return self.peak * ops.minimum(rising, falling)

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal schedule."""
        return {"peak": self.peak, "kind": self.kind, "warmup": self.warmup, "total": self.total}
