"""The recurrent encoder: source tokens to a memory that knows each token in its context."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipeline.model.dropout import Dropout
from pipeline.model.masking import masked_mean
from pipeline.model.recurrent import Recurrent

Tensor = Any


class RecurrentEncoder(keras.layers.Layer):
    """Recurrent layers, one on the other; one bidirectional GRU is Bahdanau's encoder (2015, 3.2).

    Args:
        layers: of equal units, all of one direction or all of two, lowest first; the memory has H = their output size.
        residual: every layer but the lowest adds what it finds to what it was given (He et al., 2016; Wu et al., 2016, 3.1).
        dropout: on the embeddings, between layers and on the memory; never on recurrent connections.
        words: the memory has each token's embedding too, beside what the layers make of it (after the lexical model of Nguyen & Chiang,
            2018): attention then shows the decoder the words themselves, and a rare word is not lost in its context. H is E larger.
    """

    def __init__(self, layers: list[Recurrent], residual: bool = False, dropout: float = 0.0, words: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.layers = layers
        self.residual = residual
        self.words = words
        self.memory_size = layers[-1].output_size
        self.dropouts = [Dropout(dropout) for _ in range(len(layers) + 1)]

    def build(self, embedding_size: int) -> None:
        """Makes the weights for embeddings [B, S, E]."""
        for number, layer in enumerate(self.layers):
            layer.build((None, None, self.layers[-1].output_size if number else embedding_size))
        self.memory_size = self.layers[-1].output_size + (embedding_size if self.words else 0)
        self.built = True

    def call(self, embedded: Tensor, token_mask: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Reads the source.

        Args:
            embedded: [B, S, E] embeddings.
            token_mask: [B, S] bool, True at real tokens, which come first.

        Returns:
            memory [B, S, H]; summary [B, H], what the topmost layer shows where it has read everything, forwards at the last token and
            backwards at the first, and with `words` the mean of the embeddings.
        """
        memory = words = self.dropouts[0](embedded, training=training)
        for number, layer in enumerate(self.layers):
            outputs = layer(memory, token_mask=token_mask, training=training)
            outputs = outputs + memory if number and self.residual else outputs
            memory = self.dropouts[number + 1](outputs, training=training)
        summary = self._summary(outputs, token_mask)
        if self.words:
            memory = ops.concatenate([memory, words], axis=-1)
            summary = ops.concatenate([summary, masked_mean(words, token_mask)], axis=-1)
        return memory, summary

    def _summary(self, outputs: Tensor, token_mask: Tensor) -> Tensor:
        real = ops.cast(token_mask, "float32")
        none = ops.zeros_like(real[:, :1])
        is_last = real * (1.0 - ops.concatenate([real[:, 1:], none], axis=1))
        is_first = real * (1.0 - ops.concatenate([none, real[:, :-1]], axis=1))
        ends = [is_last, is_first] if self.layers[-1].bidirectional else [is_last]
        # As products: the gradient of a slice is a tensor of zeros, and another for each slice.
        of_directions = ops.reshape(outputs, (*ops.shape(outputs)[:2], len(ends), self.layers[-1].units))
        summary = ops.sum(of_directions * ops.stack(ends, axis=-1)[..., None], axis=1)
        return ops.reshape(summary, (-1, self.layers[-1].output_size))
