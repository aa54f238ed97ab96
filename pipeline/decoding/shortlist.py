"""A part of the vocabulary for a batch of sentences: most of the work of a search is the output layer, and most of that is for pieces that
are no translation of anything in these sentences (Jean et al., 2015, section 3.3; L'Hostis et al., 2016).
"""

from __future__ import annotations

import zipfile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.data.batches import encode_split
from pipeline.data.corpus import load_split
from pipeline.data.lexicon import frequencies, translations_of_pieces
from pipeline.data.subwords import EOS, PAD, Tokenizer
from pipeline.runtime.errors import UserError
from pipeline.support.console import say
from pipeline.support.files import replacing
from pipeline.support.run_directory import RunDirectory

_TRANSLATIONS = 50
"""Of each source piece, at most."""


class Shortlist:
    """Chooses N of the target's pieces for some sentences: those that their translations are expected to have most often.

    A piece is expected as often as the pieces of the sources are translated by it: sum_s t(piece | s). Where nothing is expected, what is
    frequent comes first.

    Args:
        size: N.
        by_frequency: all pieces that a translation may have, the most frequent first.
        translations, probabilities: see `pipeline.data.lexicon.translations_of_pieces`.
    """

    def __init__(
        self, size: int, by_frequency: NDArray[np.int32], translations: NDArray[np.int32], probabilities: NDArray[np.float32]
    ) -> None:
        self.size, self._by_frequency = size, by_frequency
        self._translations, self._probabilities = translations, probabilities

    @classmethod
    def load(cls, run: RunDirectory, tokenizer: Tokenizer, size: int) -> Shortlist:
        """Of a run, whose lexicon is made from its training split where it is not there yet.

        Raises:
            UserError: the training split is not there, or `size` is not smaller than the vocabulary.
        """
        if size >= tokenizer.target.size:
            raise UserError(
                f"decoding.shortlist: {size:,} pieces are no part of a vocabulary of {tokenizer.target.size:,}. Choose fewer, or null."
            )
        known = _stored(run, tokenizer)
        if known is None:
            if not run.split("train").exists():
                raise UserError(f"{run.split('train')}: is not there; decoding.shortlist needs it once. Put it back, or set it to null.")
            say("learning which pieces translate which, for decoding.shortlist (once) ...")
            pairs = encode_split(load_split(run, "train"), tokenizer)
            counts = frequencies(pairs, tokenizer.target.size)
            translations, probabilities = translations_of_pieces(pairs, tokenizer.source.size, len(counts), _TRANSLATIONS)
            known = {"counts": counts, "translations": translations, "probabilities": probabilities}
            with replacing(run.lexicon) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, fingerprint=np.array(tokenizer.fingerprint), **known)
        order = np.argsort(-known["counts"], kind="stable").astype(np.int32)
        slots = (order > EOS) & (order <= EOS + tokenizer.slots.size)
        return cls(size, order[~slots], known["translations"], known["probabilities"])

    def of(self, source_ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """The pieces for sources [B, S], ascending: [N] int32, the control pieces among them."""
        tokens = source_ids[source_ids != PAD]
        pieces, shares = self._translations[tokens].ravel(), self._probabilities[tokens].ravel()
        expected = np.bincount(pieces, shares, minlength=self._by_frequency.max() + 1)
        expected[: EOS + 1] = np.inf
        order = np.argsort(-expected[self._by_frequency], kind="stable")
        return np.sort(self._by_frequency[order[: self.size]])


def _stored(run: RunDirectory, tokenizer: Tokenizer) -> dict[str, Any] | None:
    """What is known of the run's pieces, if it is of this tokenizer."""
    try:
        with run.lexicon.open("rb") as content, np.load(content) as file:
            same = str(file["fingerprint"]) == tokenizer.fingerprint
            return {name: file[name] for name in ("counts", "translations", "probabilities")} if same else None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
