"""A recurrent layer: the weights of a cell, over a sequence in one direction or both, or one step at a time."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipeline.model.cells import CELLS
from pipeline.model.initialization import Initialization
from pipeline.model.precision import matmul
from pipeline.model.recurrence import normalise, run_sequence, run_step

Tensor = Any


class Recurrent(keras.layers.Layer):
    """A recurrent cell over a sequence, or over a sequence and its reverse.

    The inputs' products with their kernel do not depend on the states, so they are one product over the whole sequence. Two
    directions run side by side in one loop.

    Args:
        cell: a name of `pipeline.model.cells.CELLS`.
        units: D.
        bidirectional: also read the sequence from its end; the outputs of both directions are concatenated.
        layer_norm: normalise both products of the cell, each gate by itself (Ba et al., 2016, eq. 20).
        initialization: of the weights.
        precision: of the matrix products, "float32" or "bfloat16".
    """

    def __init__(
        self,
        cell: str,
        units: int,
        bidirectional: bool = False,
        layer_norm: bool = False,
        initialization: Initialization | None = None,
        precision: str = "float32",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.cell_name = cell
        self.cell = CELLS[cell]
        self.units = units
        self.bidirectional = bidirectional
        self.layer_norm = layer_norm
        self.initialization = initialization or Initialization()
        self.precision = precision

    @property
    def output_size(self) -> int:
        """Of the outputs: D, or 2 D for two directions."""
        return self.units * (2 if self.bidirectional else 1)

    @property
    def state_size(self) -> int:
        """Of the state of one direction."""
        return self.units * self.cell.states

    def build(self, inputs_shape: tuple[int | None, ...]) -> None:
        """Makes the weights; only the last axis of `inputs_shape` [..., X] counts."""
        size = int(inputs_shape[-1] or 0)
        lead = (2,) if self.bidirectional else ()
        gates = self.cell.gates * self.units
        width = (2 if self.bidirectional else 1) * gates
        self.kernel = self.add_weight(name="kernel", shape=(size, width), initializer=self.initialization.kernel_of(size, self.units))
        self.bias = self.add_weight(name="bias", shape=(width,), initializer=self._first_bias)
        self.recurrent_kernel = self.add_weight(
            name="recurrent_kernel", shape=(*lead, self.units, gates), initializer=self.initialization.recurrent_kernel()
        )
        if self.layer_norm:
            self.input_scale = self.add_weight(name="input_scale", shape=(width,), initializer="ones")
            self.recurrent_scale = self.add_weight(name="recurrent_scale", shape=(*lead, 1, gates), initializer="ones")
        self.built = True

    def call(self, inputs: Tensor, token_mask: Tensor | None = None, initial: Tensor | None = None, training: bool = False) -> Tensor:
        """Runs over the whole sequence.

        Padding changes nothing at real tokens: its gates' inputs are 0, and there a state that is 0 stays 0, so whoever reads
        from the end begins at the last real token; whoever reads on past it is not listened to.

        Args:
            inputs: [B, T, X].
            token_mask: [B, T] bool, True at real tokens; the outputs elsewhere mean nothing.
            initial: [B, state_size] before the first step (one direction only); zeros without it.
            training: the gradient will be asked for.

        Returns:
            outputs [B, T, output_size].
        """
        gates = self.project(ops.transpose(inputs, (1, 0, 2)))  # --> [T, B, directions * G D]
        mask = None
        if token_mask is not None:
            mask = ops.transpose(ops.cast(token_mask, "float32"))[..., None]
            gates = gates * mask
        return ops.transpose(
            self._both(gates, mask, training) if self.bidirectional else self._run(gates, initial, mask, training), (1, 0, 2)
        )

    def step(self, inputs: Tensor, state: Tensor) -> Tensor:
        """One step forward: inputs [..., X], state [..., state_size] -> the next state; its first D numbers are the output."""
        scale = self.recurrent_scale[0] if self.layer_norm else None
        return run_step(self.cell, self.project(inputs), state, self.recurrent_kernel, scale, self.precision)

    def project(self, inputs: Tensor) -> Tensor:
        """The inputs' part of the gates: [..., X] -> [..., directions * G D]."""
        if not self.layer_norm:
            return matmul(inputs, self.kernel, self.precision, self.bias)
        blocks = self.kernel.shape[-1] // self.units
        return normalise(matmul(inputs, self.kernel, self.precision), blocks)[0] * self.input_scale + self.bias

    def _both(self, gates: Tensor, mask: Tensor | None, training: bool) -> Tensor:
        forward, backward = ops.split(gates, 2, axis=-1)
        gates = ops.stack([forward, ops.flip(backward, axis=0)], axis=1)  # --> [T, 2, B, G D]
        mask = None if mask is None else ops.stack([mask, ops.flip(mask, axis=0)], axis=1)
        forward, backward = ops.unstack(self._run(gates, None, mask, training), 2, axis=1)
        return ops.concatenate([forward, ops.flip(backward, axis=0)], axis=-1)

    def _run(self, gates: Tensor, initial: Tensor | None, mask: Tensor | None, training: bool) -> Tensor:
        # Tensors, not variables: TensorFlow, run eagerly, takes a variable in a custom gradient for one that was not passed in.
        scale = ops.copy(self.recurrent_scale) if self.layer_norm else None
        initial = self._zeros(gates) if initial is None else initial
        return run_sequence(self.cell, gates, initial, ops.copy(self.recurrent_kernel), scale, mask, self.precision, training)

    def _zeros(self, gates: Tensor) -> Tensor:
        first = ops.zeros_like(gates[0, ..., : self.units])
        return first if self.cell.states == 1 else ops.concatenate([first] * self.cell.states, axis=-1)

    def _first_bias(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        """Zeros; an LSTM's forget gates begin open, so that it begins by remembering (Jozefowicz et al., 2015)."""
        if self.cell_name != "lstm":
            return ops.zeros(shape, dtype=dtype)
        of_direction = ops.repeat(ops.convert_to_tensor([0.0, self.initialization.forget_bias, 0.0, 0.0]), self.units)
        return ops.cast(ops.tile(of_direction, [shape[0] // (4 * self.units)]), dtype or "float32")
