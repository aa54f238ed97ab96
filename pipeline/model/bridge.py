"""Bridges: from what the encoder has read to the state in which the decoder begins."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipeline.model.initialization import Initialization
from pipeline.model.masking import masked_mean
from pipeline.model.precision import matmul

Tensor = Any


class Bridge(keras.layers.Layer):
    """s_0 = tanh(W summary + b), where the summary is the last state of each direction of the encoder.

    Bahdanau et al. (2015, A.2.2) take that of the backward direction alone, and no b.

    Args:
        initialization: of the weights.
        precision: of the matrix product.
    """

    def __init__(self, initialization: Initialization | None = None, precision: str = "float32", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initialization = initialization or Initialization()
        self.precision = precision

    def build(self, memory_size: int, state_size: int) -> None:
        """Makes the weights for a memory [B, S, H] and a state [B, X]."""
        self.kernel = self.add_weight(
            name="kernel", shape=(memory_size, state_size), initializer=self.initialization.kernel_of(memory_size, state_size)
        )
        self.bias = self.add_weight(name="bias", shape=(state_size,), initializer="zeros")
        self.built = True

    def call(self, memory: Tensor, summary: Tensor, memory_mask: Tensor) -> Tensor:
        """memory [B, S, H], its summary [B, H], mask [B, S], True at real tokens -> the state before the first token [B, X]."""
        return ops.tanh(matmul(summary, self.kernel, self.precision, self.bias))


class MeanBridge(Bridge):
    """s_0 = tanh(W mean(memory) + b): every source token has the same say (Sennrich et al., 2017, Nematus, 3)."""

    def call(self, memory: Tensor, summary: Tensor, memory_mask: Tensor) -> Tensor:
        """See `Bridge.call`."""
        return super().call(memory, masked_mean(memory, memory_mask), memory_mask)


class ZeroBridge(Bridge):
    """s_0 = 0: only the attention tells the decoder of the source."""

    def build(self, memory_size: int, state_size: int) -> None:
        """Notes the size; there are no weights."""
        self.state_size = state_size
        self.built = True

    def call(self, memory: Tensor, summary: Tensor, memory_mask: Tensor) -> Tensor:
        """See `Bridge.call`."""
        return ops.zeros((ops.shape(summary)[0], self.state_size))


BRIDGES: dict[str, type[Bridge]] = {"last": Bridge, "mean": MeanBridge, "zeros": ZeroBridge}
