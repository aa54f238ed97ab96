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
from pipeline.data.subwords import EOS, Tokenizer
from pipeline.runtime.errors import UserError
from pipeline.support.console import say
from pipeline.support.files import replacing
from pipeline.support.run_directory import RunDirectory

_TRANSLATIONS = 50
"""Of each source piece, at most."""

_FREQUENT = 0.25
"""Share of a shortlist that the most frequent pieces have, whatever the sentences."""


class Shortlist:
    """Chooses N of the target's pieces for some sentences: the most frequent, and the likeliest translations of the sentences' own.

    Args:
        size: N.
        by_frequency: all pieces that a translation may have, the most frequent first.
        translations: see `pipeline.data.lexicon.translations_of_pieces`.
    """

    def __init__(self, size: int, by_frequency: NDArray[np.int32], translations: NDArray[np.int32]) -> None:
        self.size, self._by_frequency, self._translations = size, by_frequency, translations
        self._allowed = np.zeros(max(by_frequency.max(), translations.max()) + 1, bool)
        self._allowed[by_frequency] = True

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
            known = {"counts": counts, "translations": translations_of_pieces(pairs, tokenizer.source.size, len(counts), _TRANSLATIONS)}
            with replacing(run.lexicon) as temporary, temporary.open("wb") as file:
                np.savez_compressed(file, fingerprint=np.array(tokenizer.fingerprint), **known)
        order = np.argsort(-known["counts"], kind="stable").astype(np.int32)
        slots = (order > EOS) & (order <= EOS + tokenizer.slots.size)
        return cls(size, order[~slots], known["translations"])

    def of(self, source_ids: NDArray[np.int32]) -> NDArray[np.int32]:
        """The pieces for sources [B, S], ascending: [N] int32, the control pieces among them."""
        likely = self._translations[np.unique(source_ids)].T.ravel()  # the likeliest of each first
        frequent = round(_FREQUENT * self.size)
        parts: list[NDArray[Any]] = [
            np.arange(EOS + 1),
            self._by_frequency[:frequent],
            likely[self._allowed[likely]],
            self._by_frequency[frequent:],
        ]
        pieces, first = np.unique(np.concatenate(parts), return_index=True)
        return np.sort(pieces[np.argsort(first)[: self.size]]).astype(np.int32)


def _stored(run: RunDirectory, tokenizer: Tokenizer) -> dict[str, Any] | None:
    """What is known of the run's pieces, if it is of this tokenizer."""
    try:
        with run.lexicon.open("rb") as content, np.load(content) as file:
            return {name: file[name] for name in file.files} if str(file["fingerprint"]) == tokenizer.fingerprint else None
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
