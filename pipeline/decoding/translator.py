"""Sentences in, sentences out: the tokenizer, the model and the search put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.configuration import Config
from pipeline.data.batches import pad
from pipeline.data.subwords import BOS, EOS, PAD, Tokenizer
from pipeline.decoding.beam_search import Search
from pipeline.decoding.compiled import compiled
from pipeline.decoding.ensemble import Ensemble, load_others
from pipeline.decoding.search_model import search_translations
from pipeline.decoding.weights import load_model
from pipeline.support.run_directory import RunDirectory

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq


@dataclass(frozen=True)
class Translation:
    """A translated sentence.

    Attributes:
        text: the translation.
        score: natural log of its probability, divided by the length penalty (see `Search.penalty`).
        ids: its tokens, without EOS.
        complete: whether it ended by itself, within the limit of tokens.
    """

    text: str
    score: float
    ids: list[int]
    complete: bool


class Translator:
    """Translates sentences with a model and its tokenizer.

    Args:
        model: trained; its weights may change between calls. An `Ensemble` is one, too.
        tokenizer: the one it was trained with.
        search: the settings of the search.
        batch_sentences: sentences decoded at once, at most.
        pad_multiple: source lengths are padded to a multiple of this.
    """

    def __init__(self, model: Seq2Seq, tokenizer: Tokenizer, search: Search, batch_sentences: int = 64, pad_multiple: int = 1) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.search = search
        self._batch_sentences = batch_sentences
        self._pad_multiple = pad_multiple
        self._search = compiled(lambda source_ids: search_translations(model, source_ids, search))

    @classmethod
    def load(cls, run: RunDirectory, config: Config, *others: RunDirectory) -> Translator:
        """The translator of a trained run, in float32.

        Args:
            run: the run.
            config: its settings, those of the search among them.
            others: runs that translate together with it, as an ensemble.

        Raises:
            UserError: a run is not trained, or its weights do not fit its config or tokenizer (see `load_model`), or the runs do not
                go together (see `load_others`).
        """
        tokenizer = Tokenizer.load(run.tokenizer)
        members = [load_model(run, config, tokenizer), *load_others(others, config, tokenizer)]
        model = Ensemble(members) if others else members[0]
        return cls(model, tokenizer, search_of(config), config.decoding.batch_sentences, config.training.pad_multiple)

    def translate(self, lines: Sequence[str]) -> list[Translation]:
        """Translates sentences, one result each, in order; an empty one gives an empty one.

        Sentences of about equal length are decoded together, whatever order they come in.
        """
        encoded = self.tokenizer.source.encode(lines)
        results: dict[int, Translation] = {index: Translation("", 0.0, [], complete=True) for index, ids in enumerate(encoded) if not ids}
        order = sorted((index for index, ids in enumerate(encoded) if ids), key=lambda index: len(encoded[index]))
        for start in range(0, len(order), self._batch_sentences):
            chosen = order[start : start + self._batch_sentences]
            found, scores = self.translate_ids(pad([encoded[index] for index in chosen], self._pad_multiple))
            for index, row, score in zip(chosen, found.tolist(), scores.tolist(), strict=True):
                ids = [token for token in row if token not in (PAD, EOS)]
                text = self.tokenizer.target.decode([ids])[0]
                results[index] = Translation(text, score, ids, complete=EOS in row)
        return [results[index] for index in range(len(lines))]

    def translate_ids(self, source_ids: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """The search on ids.

        Args:
            source_ids: [B, S], EOS after each sentence, then padding.

        Returns:
            ids [B, L] with EOS where the hypothesis ended, then padding; scores [B].
        """
        ids, scores = self._search(source_ids)
        return np.asarray(ids), np.asarray(scores)


def search_of(config: Config) -> Search:
    """The settings of the search that a config describes."""
    return Search(config.decoding.beam_size, config.decoding.max_tokens, config.decoding.length_penalty, BOS, EOS)
