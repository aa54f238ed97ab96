"""The search on many sentences at once, without the work on those that are done: a stage of some tokens, then only the others go on.

In a batch that is searched in one go, the longest translation decides how long all others are decoded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from pipeline.decoding.beam_search import Beam, BeamSearch
from pipeline.decoding.choosing import Choose, likeliest
from pipeline.decoding.compiled import compiled
from pipeline.decoding.search import Found, Search
from pipeline.decoding.search_model import Shortlisted, search_translations, search_with
from pipeline.decoding.whole_words import WordPieces

if TYPE_CHECKING:
    from pipeline.model.decoder import Encoded
    from pipeline.model.seq2seq import Seq2Seq

Tensor = Any

_STAGE = 3
"""Tokens between two looks at which sentences are done."""

_WORTH_IT = 0.9
"""Share of the sentences at which it pays to go on with them alone."""

_FEW = 4
"""Sentences that are searched in one go."""


class Batch(NamedTuple):
    """Sentences in the middle of their search.

    Attributes:
        source_ids: [B, S] int32.
        prefix_ids, phrase_ids: see `search_translations`.
        shortlist: the output layer for the pieces that may be written, or None.
        encoded: what the model has made of them.
        beam: where the search stands.
    """

    source_ids: Tensor
    prefix_ids: Tensor | None
    phrase_ids: Tensor | None
    shortlist: Shortlisted | None
    encoded: Encoded
    beam: Beam

    def of(self, sentences: Tensor) -> Batch:
        """Some of the sentences, [M] int32."""

        def taken(part: Tensor) -> Tensor:
            return None if part is None else ops.take(part, sentences, axis=0)

        encoded = keras.tree.map_structure(taken, self.encoded)
        inputs = taken(self.source_ids), taken(self.prefix_ids), taken(self.phrase_ids)
        return Batch(*inputs, self.shortlist, encoded, self.beam.of(sentences))


class LiveSearch:
    """Finds the same translations as `search_translations`, sooner.

    Args:
        model: trained; its weights may change between calls.
        search, choose, with_attention, words: see `search_translations`.
    """

    def __init__(
        self,
        model: Seq2Seq,
        search: Search,
        choose: Choose = likeliest,
        with_attention: bool = False,
        words: WordPieces | None = None,
    ) -> None:
        self._model, self._search = model, search
        self._options: dict[str, Any] = {"choose": choose, "with_attention": with_attention, "words": words}
        # JAX compiles each size of a batch anew, which takes longer than the work that is saved.
        self._in_stages = keras.backend.backend() != "jax"
        # Functions of their own: TensorFlow counts how often a method is traced over all objects, and warns.
        self._whole = compiled(lambda *inputs: self._search_all(*inputs))
        self._begun = compiled(lambda *inputs: self._begin(*inputs))
        self._advanced = compiled(lambda *inputs: self._advance(*inputs))
        self._chosen = compiled(lambda batch, sentences: batch.of(sentences))

    def __call__(
        self,
        source_ids: NDArray[np.int32],
        prefix_ids: NDArray[np.int32] | None = None,
        phrase_ids: NDArray[np.int32] | None = None,
        pieces: NDArray[np.int32] | None = None,
    ) -> Found:
        """The translations, as NumPy arrays; arguments as of `search_translations`.

        `pieces`: a shortlist, [N] ids; of a few sentences, and on JAX, all pieces may be written all the same.
        """
        if len(source_ids) <= _FEW or not self._in_stages:
            return _as_arrays(self._whole(source_ids, prefix_ids, phrase_ids))
        return self._search_in_stages(source_ids, prefix_ids, phrase_ids, pieces)

    def _search_in_stages(self, *inputs: Any) -> Found:
        batch = self._begun(*inputs)
        rows = np.arange(len(inputs[0]))  # the places of the batch's sentences among all
        done: list[tuple[NDArray[Any], Found]] = []
        until = 0
        while len(rows):
            until += _STAGE
            batch, found, unfinished = self._advanced(batch, np.int32(until))
            going = np.flatnonzero(np.asarray(unfinished)).astype(np.int32)
            if len(going) > _WORTH_IT * len(rows):
                continue
            done.append((rows, _as_arrays(found)))  # what is not done yet is overwritten later
            rows = rows[going]
            if len(going):
                batch = self._chosen(batch, going)
        return _together(done)

    def _search_all(self, source_ids: Tensor, prefix_ids: Tensor | None, phrase_ids: Tensor | None) -> Found:
        return search_translations(self._model, source_ids, self._search, prefix_ids, phrase_ids, **self._options)

    def _begin(self, source_ids: Tensor, prefix_ids: Tensor | None, phrase_ids: Tensor | None, pieces: Tensor | None) -> Batch:
        encoded = self._model.encode(source_ids)
        shortlist = None if pieces is None else Shortlisted(pieces, *self._model.output_layer(pieces))
        searching = self._searching(source_ids, prefix_ids, phrase_ids, shortlist, encoded)
        return Batch(source_ids, prefix_ids, phrase_ids, shortlist, encoded, searching.begin(encoded.state))

    def _advance(self, batch: Batch, until: Tensor) -> tuple[Batch, Found, Tensor]:
        *inputs, beam = batch
        searching = self._searching(*inputs)
        beam = searching.run(beam, until)
        return batch._replace(beam=beam), searching.found(beam), searching.unfinished(beam)

    def _searching(
        self, source_ids: Tensor, prefix_ids: Tensor | None, phrase_ids: Tensor | None, shortlist: Shortlisted | None, encoded: Encoded
    ) -> BeamSearch:
        rest = prefix_ids, phrase_ids
        return search_with(self._model, encoded, source_ids, self._search, *rest, **self._options, live_only=True, shortlist=shortlist)


def _as_arrays(found: Found) -> Found:
    return Found(*(None if part is None else np.array(part) for part in found))


def _together(done: list[tuple[NDArray[Any], Found]]) -> Found:
    """The results of all stages, each of some rows; of a row's several ones, the last counts."""
    first = done[0][1]
    for rows, found in done[1:]:
        for ours, its in zip(first, found, strict=True):
            if ours is not None:
                ours[rows] = its
    return first
