"""What every decoder has: recurrent layers that read the target so far, attention on the source, and a readout.

Decoders differ in where the context goes: into the layers above the one that asked (`GNMTDecoder`, here), back into the one that
asked, or into the next step's input (`decoder_orders.py`).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import ops

from pipeline.model.attention import Attention
from pipeline.model.bridge import Bridge
from pipeline.model.dropout import Dropout
from pipeline.model.initialization import Initialization
from pipeline.model.precision import matmul
from pipeline.model.recurrent import Recurrent

Tensor = Any


class Encoded(NamedTuple):
    """What decoding needs to know of a batch of source sentences, computed once.

    Attributes:
        memory: [B, S, H] encoder outputs.
        keys: [B, S, X] what the attention makes of them (`Attention.project`).
        mask: [B, S] bool, True at real tokens.
        state: [B, Y] the decoder's state before the first token.
    """

    memory: Tensor
    keys: Tensor
    mask: Tensor
    state: Tensor


class Decoder(keras.layers.Layer):
    """The target so far and the source's memory to a readout, from which the next token is predicted.

    A subclass says what its layers are given (`input_sizes`) and how one step goes (`advance`). A state is one tensor: the states of
    all layers, lowest first, then `fed` numbers of the subclass, then, with coverage, the attention that each source token has had.

    Args:
        layers: recurrent layers of D units, lowest first.
        attention: on the source.
        bridge: from the encoder.
        readout_size: R, of the vector that meets the output layer.
        residual: every layer but the lowest adds what it finds to what it was given.
        dropout: on the embeddings, between layers and on the readout; never on recurrent connections.
        initialization: of the readout.
        precision: of the matrix products.
    """

    fed = 0

    def __init__(
        self,
        layers: list[Recurrent],
        attention: Attention,
        bridge: Bridge,
        readout_size: int,
        residual: bool = True,
        dropout: float = 0.0,
        initialization: Initialization | None = None,
        precision: str = "float32",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.layers, self.attention, self.bridge = layers, attention, bridge
        self.units = layers[0].units
        self.readout_size = readout_size
        self.residual = residual
        self.initialization = initialization or Initialization()
        self.precision = precision
        self.input_dropout = Dropout(dropout)
        self.layer_dropouts = [Dropout(dropout) for _ in layers[1:]]
        self.readout_dropout = Dropout(dropout)

    def build(self, embedding_size: int, memory_size: int) -> None:
        """Makes the weights for embeddings [B, T, E] and a memory [B, S, H]."""
        self.attention.build(self.units, memory_size)
        for layer, size in zip(self.layers, self.input_sizes(embedding_size), strict=True):
            layer.build((None, None, size))
        self.bridge.build(memory_size, sum(layer.state_size for layer in self.layers))
        width = self.units + self.attention.context_size
        self.readout_kernel = self.add_weight(
            name="readout_kernel", shape=(width, self.readout_size), initializer=self.initialization.kernel_of(width, self.readout_size)
        )
        self.readout_bias = self.add_weight(name="readout_bias", shape=(self.readout_size,), initializer="zeros")
        self.built = True

    @property
    def feature_size(self) -> int:
        """Of what `readout` is given."""
        return self.units + int(self.attention.context_size)

    def initial_state(self, memory: Tensor, summary: Tensor, memory_mask: Tensor) -> Tensor:
        """The state before the first token [B, Y], from the memory [B, S, H], its summary [B, H] and mask [B, S]."""
        parts = [self.bridge(memory, summary, memory_mask)]
        if self.fed:
            parts.append(ops.zeros((ops.shape(memory)[0], self.fed)))
        if self.attention.coverage:
            parts.append(ops.zeros_like(ops.cast(memory_mask, "float32")))
        return ops.concatenate(parts, axis=-1)

    def input_sizes(self, embedding_size: int) -> list[int]:
        """What each layer is given, lowest first."""
        raise NotImplementedError

    def advance(
        self, embedded: Tensor, states: list[Tensor], fed: Tensor, attend: Any, dropped: list[Tensor | None]
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """One step of K hypotheses a sentence.

        Args:
            embedded: [B, K, E] embedding of each one's last token.
            states: [B, K, layer's state size] of each layer.
            fed: [B, K, fed].
            attend: query [B, K, D] -> context [B, K, C] or None, weights [B, K, S].
            dropped: for each layer but the lowest what its input is multiplied by, or None.

        Returns:
            features, which `readout` is given; the next states; the next `fed`; the attention weights.
        """
        raise NotImplementedError

    def teacher_forced(self, embedded: Tensor, encoded: Encoded, training: bool = False) -> tuple[Tensor, Tensor]:
        """Reads the whole reference, step by step; layers' inputs are dropped out alike at all steps (Gal & Ghahramani, 2016).

        Args:
            embedded: [B, T, E] embeddings of the target, shifted right: position t holds token t - 1.
            encoded: of the sources.

        Returns:
            readout [B, T, R]; attention weights [B, T, S].
        """
        embedded = self.input_dropout(embedded, training=training)
        dropped = [
            dropout(ops.ones((ops.shape(embedded)[0], 1, layer.kernel.shape[0])), training=True) if training and dropout.rate else None
            for dropout, layer in zip(self.layer_dropouts, self.layers[1:], strict=True)
        ]

        def step(carry: tuple[Tensor, ...], embedded: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            carry = self._advance(embedded[:, None], carry[0], encoded, dropped)
            return carry, carry

        # Keras's scan on TensorFlow wants outputs that look like the carry, so all that is kept is carried.
        batch, length = ops.shape(encoded.mask)
        carry = (encoded.state[:, None], ops.zeros((batch, 1, self.feature_size)), ops.zeros((batch, 1, length)))
        _, (_, features, weights) = ops.scan(step, carry, ops.transpose(embedded, (1, 0, 2)))
        features, weights = (ops.transpose(ops.squeeze(part, 2), (1, 0, 2)) for part in (features, weights))
        return self.readout_dropout(self.readout(features), training=training), weights

    def step(self, embedded: Tensor, state: Tensor, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
        """Reads one token for each of K hypotheses of a sentence; they share its keys and memory.

        Args:
            embedded: [B, K, E] embedding of each hypothesis's last token.
            state: [B, K, Y].
            encoded: of the sources.

        Returns:
            readout [B, K, R]; the next state [B, K, Y]; attention weights [B, K, S].
        """
        state, features, weights = self._advance(embedded, state, encoded, [None] * len(self.layer_dropouts))
        return self.readout(features), state, weights

    def readout(self, features: Tensor) -> Tensor:
        """What meets the output layer: [..., D + C] -> [..., R]."""
        return ops.tanh(matmul(features, self.readout_kernel, self.precision, self.readout_bias))

    def _advance(self, embedded: Tensor, state: Tensor, encoded: Encoded, dropped: list[Tensor | None]) -> tuple[Tensor, Tensor, Tensor]:
        """`advance` with the state taken apart and put together again: the next state, features, weights."""
        states, fed, covered = self._taken_apart(state)

        def attend(query: Tensor) -> tuple[Tensor | None, Tensor]:
            context, weights = self.attention(query, encoded.keys, encoded.memory, encoded.mask, covered)
            return context, weights

        features, states, fed, weights = self.advance(embedded, states, fed, attend, dropped)
        parts = [*states, *([fed] if self.fed else []), *([covered + weights] if covered is not None else [])]
        return ops.concatenate(parts, axis=-1), features, weights

    def _taken_apart(self, state: Tensor) -> tuple[list[Tensor], Tensor, Tensor | None]:
        """A state [..., Y] as the states of the layers, what is fed, and what the attention has covered."""
        *lead, _ = ops.shape(state)
        parts, start = [], 0
        for size in [*(layer.state_size for layer in self.layers), self.fed]:
            # Of a state whose width depends on the source's, as with coverage, a slice does not know its size by itself.
            parts.append(ops.reshape(state[..., start : start + size], (*lead, size)))
            start += size
        return parts[:-1], parts[-1], state[..., start:] if self.attention.coverage else None

    def _climb(
        self, output: Tensor, states: list[Tensor], context: Tensor | None, dropped: list[Tensor | None]
    ) -> tuple[Tensor, list[Tensor]]:
        """One step of the layers above the lowest, whose output is given: the topmost output, and the next states."""
        found = []
        for layer, state, kept in zip(self.layers[1:], states, dropped, strict=True):
            inputs = beside(output, context)
            found.append(layer.step(inputs if kept is None else inputs * kept, state))
            shown = found[-1][..., : self.units]
            output = output + shown if self.residual else shown
        return output, found


class GNMTDecoder(Decoder):
    """The lowest layer asks, attention answers, and the layers above read both (after Wu et al., 2016, 3).

    There what the lowest layer found in the step before asks; here it is what it finds in this one. In Bahdanau's order attention stands
    inside the loop over time. Here, with the reference known, all target steps attend at once,
    in a few large products, and learn to attend much sooner. One step at a time, the same network gives the same numbers.
    """

    def input_sizes(self, embedding_size: int) -> list[int]:
        """See `Decoder.input_sizes`."""
        return [embedding_size] + [self.units + self.attention.context_size] * len(self.layer_dropouts)

    def teacher_forced(self, embedded: Tensor, encoded: Encoded, training: bool = False) -> tuple[Tensor, Tensor]:
        """Reads the whole reference at once; with coverage, where each step's attention needs the one before, step by step."""
        if self.attention.coverage:
            return super().teacher_forced(embedded, encoded, training)
        states, _, _ = self._taken_apart(encoded.state)
        output = self.layers[0](self.input_dropout(embedded, training=training), initial=states[0], training=training)
        context, weights = self.attention(output, encoded.keys, encoded.memory, encoded.mask)
        for layer, state, dropout in zip(self.layers[1:], states[1:], self.layer_dropouts, strict=True):
            shown = layer(dropout(beside(output, context), training=training), initial=state, training=training)
            output = output + shown if self.residual else shown
        return self.readout_dropout(self.readout(beside(output, context)), training=training), weights

    def advance(
        self, embedded: Tensor, states: list[Tensor], fed: Tensor, attend: Any, dropped: list[Tensor | None]
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        """See `Decoder.advance`."""
        lowest = self.layers[0].step(embedded, states[0])
        context, weights = attend(lowest[..., : self.units])
        output, above = self._climb(lowest[..., : self.units], states[1:], context, dropped)
        return beside(output, context), [lowest, *above], fed, weights


def beside(output: Tensor, context: Tensor | None) -> Tensor:
    """[..., D] and [..., C] side by side; without attention there is no context."""
    return output if context is None else ops.concatenate([output, context], axis=-1)
