"""The table of embeddings: which pieces lie near each other, and a map of the frequent ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.data.subwords import EOS, Subwords
from pipeline.inspect.reading import Reader
from pipeline.runtime.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence

_LETTERS = 3
"""Of a piece that stands on the map, at least: shorter ones are endings and particles of many meanings."""


class Embeddings:
    """The embeddings of one side of a model, by direction: what counts in them is where they point.

    Args:
        reader: of a run.
        side: 'source' or 'target'; with shared embeddings they differ in their pieces alone, or in nothing.
    """

    def __init__(self, reader: Reader, side: str = "target") -> None:
        self.subwords: Subwords = getattr(reader.tokenizer, side)
        table = getattr(reader.model, f"{side}_embedding").embeddings
        vectors = np.asarray(table, dtype=np.float32)
        self._directions = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        self._pieces = self.subwords.pieces(range(self.subwords.size))
        self._first = EOS + 1 + reader.tokenizer.slots.size

    def neighbours(self, word: str, count: int = 8) -> list[tuple[str, float]]:
        """The pieces that lie nearest to a word, with the cosine of the angle to each.

        Raises:
            UserError: the word is not one piece of the vocabulary.
        """
        [ids] = self.subwords.encode([word])
        if len(ids) != 1 or ids[0] < self._first:
            cut = " ".join(self.subwords.pieces(ids))
            raise UserError(f"'{word}' is no piece of the vocabulary (it is read as {cut or 'nothing'}): give a more frequent word.")
        cosines = self._directions @ self._directions[ids[0]]
        order = [int(place) for place in np.argsort(-cosines) if place >= self._first and place != ids[0]]
        return [(self._pieces[place], float(cosines[place])) for place in order[:count]]

    def frequent(self, count: int) -> list[int]:
        """Ids of the most frequent pieces that begin a word, most of which are one; SentencePiece has the frequent ones first."""
        words = [
            place
            for place in range(self._first, len(self._pieces))
            if self._pieces[place].startswith("▁") and len(self._pieces[place]) > _LETTERS and self._pieces[place][1:].isalpha()
        ]
        return words[:count]

    def map(self, ids: Sequence[int], seed: int = 1) -> NDArray[np.float32]:
        """Places [N, 2] on which pieces lie near each other that do so among the embeddings (t-SNE: van der Maaten & Hinton, 2008).

        Raises:
            UserError: scikit-learn is not installed, or there are fewer than four pieces.
        """
        try:
            from sklearn.manifold import TSNE
        except ImportError:
            raise UserError("a map of the embeddings needs a package more: pip install scikit-learn") from None
        if len(ids) < 4:
            raise UserError(f"a map needs four pieces or more; there are {len(ids)} of the words asked for.")
        perplexity = min(12.0, (len(ids) - 1) / 3)
        places = TSNE(perplexity=perplexity, metric="cosine", init="pca", random_state=seed).fit_transform(self._directions[list(ids)])
        return np.asarray(places, dtype=np.float32)

    def names(self, ids: Sequence[int]) -> list[str]:
        """Pieces as words."""
        return [self._pieces[place].lstrip("▁") for place in ids]
