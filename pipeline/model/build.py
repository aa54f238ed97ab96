"""A model from its settings: the dictionaries from a config's names to classes, and how the parts go together."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from pipeline.model.attention import Attention
from pipeline.model.attention_kinds import ATTENTIONS
from pipeline.model.bridge import BRIDGES
from pipeline.model.decoder import Decoder
from pipeline.model.decoder_orders import DECODERS
from pipeline.model.encoder import RecurrentEncoder
from pipeline.model.initialization import Initialization
from pipeline.model.recurrent import Recurrent
from pipeline.model.self_attention import SelfAttentionEncoder
from pipeline.model.seq2seq import Seq2Seq


def build_model(
    settings: Any,
    source_vocabulary: int,
    target_vocabulary: int,
    *,
    label_smoothing: float = 0.0,
    consistency: float = 0.0,
    side_by_side: bool = False,
    precision: str = "float32",
) -> Seq2Seq:
    """The network that `settings`, the config's section `model`, describes, with new weights.

    Args:
        settings: see `pipeline.configuration.schema_model.Model`.
        source_vocabulary, target_vocabulary: pieces of each side.
        label_smoothing, consistency: of the training loss.
        side_by_side: train on the halves of a batch at once.
        precision: of the matrix products, "float32" or "bfloat16".
    """
    return Seq2Seq(
        source_vocabulary,
        target_vocabulary,
        embedding_size=settings.embedding_size,
        encoder=ENCODERS[settings.encoder.kind](settings, precision),
        decoder=_decoder(settings, precision),
        shared_embeddings=settings.shared_embeddings,
        tied_output=settings.tied_output,
        label_smoothing=label_smoothing,
        consistency=consistency,
        side_by_side=side_by_side,
        precision=precision,
    )


def _recurrent_encoder(settings: Any, precision: str) -> keras.layers.Layer:
    encoder = settings.encoder
    layers = _layers(encoder, settings, precision, bidirectional=encoder.bidirectional)
    return RecurrentEncoder(layers, encoder.residual, settings.dropout, encoder.words)


def _self_attention_encoder(settings: Any, precision: str) -> keras.layers.Layer:
    encoder = settings.encoder
    return SelfAttentionEncoder(encoder.units, encoder.layers, encoder.heads, settings.dropout, _initialization(settings), precision)


ENCODERS: dict[str, Callable[[Any, str], keras.layers.Layer]] = {
    "recurrent": _recurrent_encoder,
    "self_attention": _self_attention_encoder,
}


def _decoder(settings: Any, precision: str) -> Decoder:
    decoder = settings.decoder
    attention: Attention = ATTENTIONS[settings.attention.kind](
        settings.attention.units,
        heads=settings.attention.heads,
        coverage=settings.attention.coverage,
        precision=precision,
        name="attention",
    )
    return DECODERS[decoder.order](
        _layers(decoder, settings, precision),
        attention,
        BRIDGES[decoder.bridge](_initialization(settings), precision, name="bridge"),
        readout_size=settings.embedding_size if settings.tied_output else decoder.units,
        residual=decoder.residual,
        dropout=settings.dropout,
        initialization=_initialization(settings),
        precision=precision,
    )


def _layers(side: Any, settings: Any, precision: str, bidirectional: bool = False) -> list[Recurrent]:
    """The recurrent layers of the encoder or the decoder, lowest first."""
    return [
        Recurrent(side.cell, side.units, bidirectional, side.layer_norm, _initialization(settings), precision, name=f"layer_{number}")
        for number in range(side.layers)
    ]


def _initialization(settings: Any) -> Initialization:
    chosen = settings.initialization
    return Initialization(chosen.kernel, chosen.recurrent, chosen.forget_bias)
