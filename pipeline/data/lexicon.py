"""Which pieces translate which, learnt from the training pairs alone: IBM Model 1 (Brown et al., 1993)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.data.batches import EncodedPairs
from pipeline.data.subwords import EOS, PAD

_CELLS = 12_000_000
"""Pieces of a source times pieces of its target, of all pairs that are looked at, at most: more would change few of the likely
translations, and each takes some fifty bytes. The pairs are spread over all.
"""

_ITERATIONS = 4
_LONGEST = 60
_AT_ONCE = 2_000


def translations_of_pieces(
    pairs: EncodedPairs, source_size: int, target_size: int, keep: int
) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """The likeliest target pieces of each source piece, by t(target piece | source piece).

    Each target piece of a pair is the translation of one of the source's pieces, or of none, for which its EOS stands; where is not
    known, so all share in it as they are likely to (expectation), and what they have got in all pairs makes them likelier
    (maximisation), a few times over.

    Args:
        pairs: to learn from.
        source_size, target_size: of the vocabularies.
        keep: K, translations of each piece.

    Returns:
        ids [source_size, K], the likeliest first, 0 where there are fewer; and their probabilities, 0 there.
    """
    candidates = pairs.within(_LONGEST)
    cells_of = (pairs.source_lengths * pairs.target_lengths)[candidates]
    number = min(len(candidates), int(len(candidates) * _CELLS / max(1, cells_of.sum())))
    chosen = candidates[np.linspace(0, len(candidates), number, endpoint=False).astype(int)]
    keys_of, tokens_of, tokens = [], [], 0
    for start in range(0, len(chosen), _AT_ONCE):
        batch = pairs.batch(chosen[start : start + _AT_ONCE])
        source, target = batch.source_ids.astype(np.int64), batch.target_ids
        row, place, token = np.nonzero((source != PAD)[:, :, None] & (target > EOS)[:, None, :])
        keys_of.append(source[row, place] * target_size + target[row, token])
        tokens_of.append(tokens + row * target.shape[1] + token)
        tokens += target.size
    ids, probabilities = np.zeros((source_size, keep), np.int32), np.zeros((source_size, keep), np.float32)
    if not tokens:
        return ids, probabilities
    # Every place of a source against every token of its target is a cell; cells of the same two pieces share a probability.
    keys, cells = np.unique(np.concatenate(keys_of), return_inverse=True)
    token_of_cell, source_of_key = np.concatenate(tokens_of), keys // target_size
    likelihood = np.ones(len(keys))
    for _ in range(_ITERATIONS):
        weights = likelihood[cells]
        shares = weights / np.bincount(token_of_cell, weights, tokens)[token_of_cell]
        counts = np.bincount(cells, shares)
        likelihood = counts / np.bincount(source_of_key, counts)[source_of_key]
    order = np.lexsort((-likelihood, source_of_key))
    source, target, likelihood = source_of_key[order], keys[order] % target_size, likelihood[order]
    rank = np.arange(len(order)) - np.searchsorted(source, source)
    best = rank < keep
    ids[source[best], rank[best]] = target[best]
    probabilities[source[best], rank[best]] = likelihood[best]
    return ids, probabilities


def frequencies(pairs: EncodedPairs, target_size: int) -> NDArray[np.int64]:
    """How often each target piece stands in the pairs: [target_size]."""
    counts = np.zeros(target_size, np.int64)
    for start in range(0, len(pairs), _AT_ONCE):
        ids = pairs.batch(np.arange(start, min(start + _AT_ONCE, len(pairs)))).target_ids
        counts += np.bincount(ids.ravel(), minlength=target_size)
    return counts
