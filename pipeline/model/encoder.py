"""The encoder: source tokens to a memory that knows each token in its context."""

from __future__ import annotations

from typing import Any

import keras

from pipeline.model.cells import GRU

Tensor = Any


class Encoder(keras.layers.Layer):
    """A bidirectional GRU (Bahdanau et al., 2015, 3.2).

    Args:
        units: of the GRU, a direction; the memory has H = 2 * units.
        dropout: on the embeddings and on the memory.
        precision: of the matrix products.
    """

    def __init__(self, units: int, dropout: float = 0.0, precision: str = "float32", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.recurrent = GRU(units, bidirectional=True, precision=precision, name="gru")
        self.input_dropout = keras.layers.Dropout(dropout)
        self.output_dropout = keras.layers.Dropout(dropout)

    def build(self, embedding_size: int) -> None:
        """Makes the weights for embeddings [B, S, E]."""
        self.recurrent.build((None, None, embedding_size))
        self.built = True

    def call(self, embedded: Tensor, token_mask: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Reads the source.

        Args:
            embedded: [B, S, E] embeddings.
            token_mask: [B, S] bool, True at real tokens.

        Returns:
            memory [B, S, H]; summary [B, H], the last state of each direction.
        """
        memory, summary = self.recurrent(self.input_dropout(embedded, training=training), token_mask=token_mask)
        return self.output_dropout(memory, training=training), summary
