"""Where words end: a glossary's term is a word of its own, not the beginning of a longer one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.runtime.segmentation import WIDE

# Thai, Lao, Burmese, Khmer: between their words there are no spaces, either.
_UNSPACED = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]")
_HANGUL = re.compile(r"[\u1100-\u11ff\u3130-\u318f\uac00-\ud7ff]")


def may_go_on_before(character: str) -> bool:
    """Whether, in a text with spaces between words, the character may belong to a word that began before it."""
    return unicodedata.category(character)[0] in "LMN" and not WIDE.match(character) and not _UNSPACED.match(character)


def may_go_on_after(character: str) -> bool:
    """The same of a word that ends after it. Korean's particles are written onto words, which they leave as they are."""
    return may_go_on_before(character) and not _HANGUL.match(character)


class WordPieces(NamedTuple):
    """What pieces are to words.

    Attributes:
        go_on: [V] bool, those that go on with the word before them.
        open: [V] bool, those after which the word may go on.
    """

    go_on: NDArray[np.bool_]
    open: NDArray[np.bool_]

    @classmethod
    def of(cls, pieces: Sequence[str]) -> WordPieces:
        """Of a vocabulary, in which '▁' marks a space."""
        return cls(
            np.array([may_go_on_before(piece[0]) for piece in pieces]),
            np.array([may_go_on_after(piece[-1]) for piece in pieces]),
        )
