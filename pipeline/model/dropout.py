"""Dropout: in training each number is 0 with some probability, so that none is relied on."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Tensor = Any

_FIRST = 2.0**11


class Dropout(keras.layers.Dropout):
    """Dropout (Srivastava et al., 2014): x / (1 - rate) with probability 1 - rate, else 0.

    Drawing the lots is a measurable part of a training step on a CPU, so one random number decides on two numbers of x: its first 11 bits
    on one, and its other 12 on another, for which the rate is rounded to 1 / 4,096.
    """

    def call(self, inputs: Tensor, training: bool = False) -> Tensor:
        """inputs [...] -> the same shape; in training, with numbers left out."""
        if not training or not self.rate:
            return inputs
        size = ops.size(inputs)
        first = keras.random.uniform(((size + 1) // 2,), seed=self.seed_generator)
        rest = first * _FIRST
        lots = ops.concatenate([first, rest - ops.floor(rest)])[:size]
        return ops.where(ops.reshape(lots, ops.shape(inputs)) >= self.rate, inputs * (1.0 / (1.0 - self.rate)), 0.0)
