"""The recurrent encoder: source tokens to a memory that knows each token in its context."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

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
        self.dropouts = [keras.layers.Dropout(dropout) for _ in range(len(layers) + 1)]

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
            outputs = layer(memory, token_mask=token_mask)
            outputs = outputs + memory if number and self.residual else outputs
            memory = self.dropouts[number + 1](outputs, training=training)
        summary = self._summary(outputs, token_mask)
        if self.words:
            memory = ops.concatenate([memory, words], axis=-1)
            summary = ops.concatenate([summary, masked_mean(words, token_mask)], axis=-1)
        return memory, summary

    def _summary(self, outputs: Tensor, token_mask: Tensor) -> Tensor:
        real = ops.cast(token_mask, "float32")
        following = ops.concatenate([real[:, 1:], ops.zeros_like(real[:, :1])], axis=1)
        is_last = (real * (1.0 - following))[..., None]
        units = self.layers[-1].units
        last = ops.sum(outputs[..., :units] * is_last, axis=1)
        return ops.concatenate([last, outputs[:, 0, units:]], axis=-1) if self.layers[-1].bidirectional else last
