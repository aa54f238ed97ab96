"""GRU layers: a recurrence with its input projection, forward or in both directions, and its single step."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import ops

from pipeline.model.precision import matmul
from pipeline.model.recurrence import HOLD, gru_sequence, gru_step

Tensor = Any


class OrthogonalBlocks(keras.initializers.Initializer):
    """An orthogonal matrix for each gate (and direction), side by side: [..., D, gates * D] (Saxe et al., 2014)."""

    def __init__(self, seed: int | None = None) -> None:
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        """A tensor of that shape."""
        *lead, units, width = shape
        generator = keras.random.SeedGenerator(self.seed)
        count = (width // units) * (lead[0] if lead else 1)
        blocks = [keras.initializers.Orthogonal(seed=generator)((units, units), dtype=dtype) for _ in range(count)]
        gates = width // units
        kernels = [ops.concatenate(blocks[i : i + gates], axis=-1) for i in range(0, count, gates)]
        return ops.stack(kernels) if lead else kernels[0]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal initialiser."""
        return {"seed": self.seed}


class GRU(keras.layers.Layer):
    """A gated recurrent unit over a sequence, or over a sequence and its reverse.

    The inputs' products with their kernel do not depend on the states, so they are one product over the whole sequence. Two
    directions run side by side in one loop.

    Args:
        units: D, size of a state.
        bidirectional: also read the sequence from its end; outputs and states of both directions are concatenated.
        precision: of the matrix products, "float32" or "bfloat16".
    """

    def __init__(self, units: int, bidirectional: bool = False, precision: str = "float32", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.bidirectional = bidirectional
        self.precision = precision

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        """Makes the weights; only the last axis of `inputs_shape` [..., X] counts."""
        size = int(inputs_shape[-1] or 0)
        directions = 2 if self.bidirectional else 1
        lead = (2,) if self.bidirectional else ()
        self.kernel = self.add_weight(name="kernel", shape=(size, directions * 3 * self.units), initializer=_glorot(size, self.units))
        self.input_bias = self.add_weight(name="input_bias", shape=(directions * 3 * self.units,), initializer="zeros")
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(*lead, self.units, 3 * self.units), initializer=OrthogonalBlocks()
        )
        self.recurrent_bias = self.add_weight(name="recurrent_bias", shape=(*lead, 1, self.units), initializer="zeros")

    def call(self, inputs: Tensor, token_mask: Tensor | None = None, initial: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Runs over the whole sequence.

        Args:
            inputs: [B, T, X].
            token_mask: [B, T] bool, True at real tokens; elsewhere the state is held, so padding changes nothing.
            initial: [B, D] h_0 (one direction only); zeros without it.

        Returns:
            outputs [B, T, D] (2 D for two directions); the last states [B, D] (2 D: after the last word, and after the first).
        """
        gates = self.project(inputs)
        if token_mask is not None:
            is_update_gate = np.arange(gates.shape[-1]) // self.units % 3 == 0
            gates = gates + ops.where(token_mask, 0.0, HOLD)[..., None] * is_update_gate.astype("float32")
        gates = ops.transpose(gates, (1, 0, 2))  # --> [T, B, directions * 3 D]
        return self._both(gates) if self.bidirectional else self._forward(gates, initial)

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """One step forward: inputs [B, X], state [B, D] -> the next state [B, D]."""
        return gru_step(self.project(inputs), state, self.recurrent_kernel, self.recurrent_bias, self.precision)

    def project(self, inputs: Tensor) -> Tensor:
        """The inputs' part of the gates: [..., X] -> [..., directions * 3 D], in the order z, r, n a direction."""
        return matmul(inputs, self.kernel, self.precision, self.input_bias)

    def _forward(self, gates: Tensor, initial: Tensor | None) -> tuple[Tensor, Tensor]:
        if initial is None:
            initial = ops.zeros_like(gates[0, :, : self.units])
        states, last = gru_sequence(gates, initial, *self._recurrent(), self.precision)
        return ops.transpose(states, (1, 0, 2)), last

    def _both(self, gates: Tensor) -> tuple[Tensor, Tensor]:
        forward, backward = ops.split(gates, 2, axis=-1)
        # Reversed, the padding comes first, where it holds the zeros that the state begins with.
        gates = ops.stack([forward, ops.flip(backward, axis=0)], axis=1)  # --> [T, 2, B, 3 D]
        states, last = gru_sequence(gates, ops.zeros_like(gates[0, ..., : self.units]), *self._recurrent(), self.precision)
        forward, backward = ops.unstack(states, 2, axis=1)
        outputs = ops.concatenate([forward, ops.flip(backward, axis=0)], axis=-1)
        return ops.transpose(outputs, (1, 0, 2)), ops.concatenate(ops.unstack(last, 2, axis=0), axis=-1)

    def _recurrent(self) -> tuple[Tensor, Tensor]:
        # Tensors, not variables: TensorFlow, run eagerly, takes a variable in a custom gradient for one that was not passed in.
        return ops.copy(self.recurrent_kernel), ops.copy(self.recurrent_bias)


def _glorot(size: int, units: int) -> keras.initializers.Initializer:
    """Glorot's uniform (Glorot & Bengio, 2010) for each gate by itself; the gates stand side by side in one kernel."""
    limit = (6.0 / (size + units)) ** 0.5
    return keras.initializers.RandomUniform(-limit, limit)
