"""The search with the model put in: source ids in, translations' ids out, written with `keras.ops` alone.

Every way to translate goes through this function: validation, `translate`, the SavedModel and the .tflite files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pipeline.decoding.beam_search import Search, beam_search

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq

Tensor = Any


def search_translations(model: Seq2Seq, source_ids: Tensor, search: Search) -> tuple[Tensor, Tensor]:
    """Encodes source sentences and searches for their translations.

    Args:
        model: trained.
        source_ids: [B, S] int32, EOS after each sentence, then 0; S is at least 1.
        search: the settings.

    Returns:
        ids [B, L] int32, EOS included where there is one, 0 after it; scores [B], natural log, penalised.
    """
    encoded = model.encode(source_ids)

    def step(tokens: Tensor, states: Tensor) -> tuple[Tensor, Tensor]:
        logits, states, _ = model.decode_step(tokens, states, encoded)
        return logits, states

    return beam_search(step, encoded.state, search)
