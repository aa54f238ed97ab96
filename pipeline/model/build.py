"""A model from its settings."""

from __future__ import annotations

from typing import Any

from pipeline.model.seq2seq import Seq2Seq


def build_model(
    settings: Any, source_vocabulary: int, target_vocabulary: int, *, label_smoothing: float = 0.0, precision: str = "float32"
) -> Seq2Seq:
    """The network that `settings`, the config's section `model`, describes, with new weights.

    Args:
        settings: see `pipeline.configuration.schema.Model`.
        source_vocabulary, target_vocabulary: pieces of each side.
        label_smoothing: of the training loss.
        precision: of the matrix products, "float32" or "bfloat16".
    """
    return Seq2Seq(
        source_vocabulary,
        target_vocabulary,
        embedding_size=settings.embedding_size,
        encoder_units=settings.encoder_units,
        decoder_units=settings.decoder_units,
        decoder_layers=settings.decoder_layers,
        attention_units=settings.attention_units,
        shared_embeddings=settings.shared_embeddings,
        tied_output=settings.tied_output,
        dropout=settings.dropout,
        label_smoothing=label_smoothing,
        precision=precision,
    )
