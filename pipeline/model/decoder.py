"""The decoder: the target so far and the source's memory to a readout, from which the next token is predicted."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipeline.model.attention import BahdanauAttention
from pipeline.model.cells import GRU
from pipeline.model.precision import matmul

Tensor = Any


class Decoder(keras.layers.Layer):
    """A GRU that asks, Bahdanau attention that answers, and further GRUs that read both.

    In Bahdanau et al. (2015, A.2.2) the context feeds the same GRU whose state asked for it, which puts attention inside the
    loop over time. Here, as in GNMT (Wu et al., 2016, 3), the context feeds what stands above: with the reference known, all
    target steps attend at once, in a few large products, and learn to attend much sooner. One step at a time, the same
    network gives the same numbers.

    Args:
        units: D, of each GRU.
        layers: number of GRUs; all but the lowest read the layer below and the context, and add what they find to the former.
        attention_units: A.
        readout_size: R, of the vector that meets the output layer.
        dropout: on the embeddings, between layers and on the readout.
        precision: of the matrix products.
    """

    def __init__(
        self,
        units: int,
        layers: int,
        attention_units: int,
        readout_size: int,
        dropout: float = 0.0,
        precision: str = "float32",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.readout_size = readout_size
        self.precision = precision
        self.lowest = GRU(units, precision=precision, name="lowest")
        self.uppers = [GRU(units, precision=precision, name=f"upper_{i}") for i in range(1, layers)]
        self.attention = BahdanauAttention(attention_units, precision=precision, name="attention")
        self.input_dropout = keras.layers.Dropout(dropout)
        self.layer_dropout = keras.layers.Dropout(dropout)
        self.readout_dropout = keras.layers.Dropout(dropout)

    def build(self, embedding_size: int, memory_size: int) -> None:
        """Makes the weights for embeddings [B, T, E] and a memory [B, S, H]."""
        width = self.units + memory_size
        self.lowest.build((None, None, embedding_size))
        self.attention.build(self.units, memory_size)
        for upper in self.uppers:
            upper.build((None, None, width))
        state_size = (1 + len(self.uppers)) * self.units
        self.bridge_kernel = self.add_weight(name="bridge_kernel", shape=(memory_size, state_size), initializer="glorot_uniform")
        self.bridge_bias = self.add_weight(name="bridge_bias", shape=(state_size,), initializer="zeros")
        self.readout_kernel = self.add_weight(name="readout_kernel", shape=(width, self.readout_size), initializer="glorot_uniform")
        self.readout_bias = self.add_weight(name="readout_bias", shape=(self.readout_size,), initializer="zeros")
        self.built = True

    def initial_state(self, summary: Tensor) -> Tensor:
        """The bridge (Bahdanau et al., 2015, A.2.2): the encoder's summary [B, H] -> the state before the first token [B, layers * D]."""
        return ops.tanh(matmul(summary, self.bridge_kernel, self.precision, self.bridge_bias))

    def call(
        self, embedded: Tensor, state: Tensor, keys: Tensor, memory: Tensor, memory_mask: Tensor, training: bool = False
    ) -> tuple[Tensor, Tensor]:
        """Reads the whole reference at once (teacher forcing).

        Args:
            embedded: [B, T, E] embeddings of the target, shifted right: position t holds token t - 1.
            state: [B, layers * D] from `initial_state`.
            keys: [B, S, A] from the attention's `project`.
            memory: [B, S, H] encoder outputs.
            memory_mask: [B, S] bool, True at real tokens.

        Returns:
            readout [B, T, R]; attention weights [B, T, S].
        """
        lowest_state, *upper_states = ops.split(state, 1 + len(self.uppers), axis=-1)
        output, _ = self.lowest(self.input_dropout(embedded, training=training), initial=lowest_state)
        context, weights = self.attention(output, keys, memory, memory_mask)
        for upper, upper_state in zip(self.uppers, upper_states, strict=True):
            both = self.layer_dropout(ops.concatenate([output, context], axis=-1), training=training)
            output = output + upper(both, initial=upper_state)[0]
        return self.readout_dropout(self._readout(output, context), training=training), weights

    def step(self, embedded: Tensor, state: Tensor, keys: Tensor, memory: Tensor, memory_mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Reads one token for each of K hypotheses of a sentence; they share its keys and memory.

        Args:
            embedded: [B, K, E] embedding of each hypothesis's last token.
            state: [B, K, layers * D].
            keys: [B, S, A], memory: [B, S, H], memory_mask: [B, S] as for `call`.

        Returns:
            readout [B, K, R]; the next state [B, K, layers * D]; attention weights [B, K, S].
        """
        lowest_state, *upper_states = ops.split(state, 1 + len(self.uppers), axis=-1)
        output = self.lowest.step(embedded, lowest_state)
        states = [output]
        context, weights = self.attention(output, keys, memory, memory_mask)
        for upper, upper_state in zip(self.uppers, upper_states, strict=True):
            states.append(upper.step(ops.concatenate([output, context], axis=-1), upper_state))
            output = output + states[-1]
        return self._readout(output, context), ops.concatenate(states, axis=-1), weights

    def _readout(self, output: Tensor, context: Tensor) -> Tensor:
        both = ops.concatenate([output, context], axis=-1)
        return ops.tanh(matmul(both, self.readout_kernel, self.precision, self.readout_bias))
