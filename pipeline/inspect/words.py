"""Pieces joined to words: a picture of words is easier to read, and an alignment is between words."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_MARK = "▁"  # where a word begins, in SentencePiece


def word_groups(pieces: list[str]) -> list[list[int]]:
    """Places of the pieces of each word, in order: a word begins where a piece begins with '▁', and the end stands by itself."""
    groups: list[list[int]] = []
    for place, piece in enumerate(pieces):
        if not groups or piece.startswith(_MARK) or place == len(pieces) - 1:
            groups.append([])
        groups[-1].append(place)
    # A mark that is a piece by itself belongs to what follows; it is in the same group already, but for the one before the end.
    return groups


def words_of(pieces: list[str]) -> list[str]:
    """The words that `word_groups` makes of pieces."""
    return ["".join(pieces[place] for place in group).replace(_MARK, " ").strip() or _MARK for group in word_groups(pieces)]


def joined(weights: NDArray[np.float32], source: list[str], target: list[str]) -> NDArray[np.float32]:
    """A matrix of pieces [T, S] as one of words: what a word's pieces got is added up, what they gave is averaged.

    Rows that sum to 1 still do.
    """
    columns = np.stack([weights[:, group].sum(axis=1) for group in word_groups(source)], axis=1)
    return np.stack([columns[group].mean(axis=0) for group in word_groups(target)])
