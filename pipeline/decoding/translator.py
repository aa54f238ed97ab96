"""Sentences in, sentences out: the tokenizer, the model and the search put together."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.configuration import Config
from pipeline.data.batches import pad
from pipeline.data.subwords import BOS, EOS, PAD, UNK, Tokenizer
from pipeline.decoding.choosing import Choose, Drawn, likeliest
from pipeline.decoding.ensemble import Ensemble, load_others
from pipeline.decoding.live_search import LiveSearch
from pipeline.decoding.phrases import padded_phrases, stands_in
from pipeline.decoding.search import NEVER, Found, Search
from pipeline.decoding.shortlist import Shortlist
from pipeline.decoding.translation import NOTHING, Translation
from pipeline.decoding.weights import load_model
from pipeline.decoding.whole_words import WordPieces
from pipeline.runtime.errors import UserError
from pipeline.support.cores import side_by_side
from pipeline.support.run_directory import RunDirectory

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq


# Source pieces of a batch, EOS and padding counted: what attention and state take is in proportion.
_MOST_TOKENS = 4096

# Sentences without slots that are searched apart, at least: fewer are sooner translated than another graph is made for them.
_APART = 64

# The beam of a sentence that must contain phrases, at most.
_WIDEST = 32


class Translator:
    """Translates sentences with a model and its tokenizer.

    Args:
        model: trained; its weights may change between calls. An `Ensemble` is one, too.
        tokenizer: the one it was trained with.
        search: the settings of the search.
        batch_sentences: sentences decoded at once, at most.
        pad_multiple: source lengths are padded to a multiple of this.
        choose: the likeliest translations, or by lot (`Drawn`).
        with_attention: say how much of the source was looked at.
        shortlist: chooses the pieces that may be written of many sentences at once; default: all may.
    """

    def __init__(
        self,
        model: Seq2Seq,
        tokenizer: Tokenizer,
        search: Search,
        batch_sentences: int = 128,
        pad_multiple: int = 1,
        choose: Choose = likeliest,
        with_attention: bool = False,
        shortlist: Shortlist | None = None,
    ) -> None:
        self.shortlist = shortlist
        self.model = model
        self.tokenizer = tokenizer
        self.search = search
        self._batch_sentences = batch_sentences
        self._pad_multiple = pad_multiple
        self._options: dict[str, Any] = {"choose": choose, "with_attention": with_attention}
        self._searches: dict[tuple[int, bool, bool], LiveSearch] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls, run: RunDirectory, config: Config, *others: RunDirectory, with_attention: bool = False, precision: str = "float32"
    ) -> Translator:
        """The translator of a trained run.

        Args:
            run: the run.
            config: its settings, those of the search among them.
            others: runs that translate together with it, as an ensemble.
            with_attention: see the class.
            precision: of the matrix products, see `load_model`; `decoding.precision` is for the commands.

        Raises:
            UserError: a run is not trained, or its weights do not fit its config or tokenizer (see `load_model`), or the runs do not
                go together (see `load_others`).
        """
        tokenizer = Tokenizer.load(run.tokenizer, config.decoding.unknown)
        members = [load_model(run, config, tokenizer, precision), *load_others(others, config, tokenizer, precision)]
        model = Ensemble(members) if others else members[0]
        shortlist = None
        if (size := config.decoding.shortlist) is not None:
            if others:
                raise UserError("decoding.shortlist is for one model: set it to null, or leave --ensemble out.")
            shortlist = Shortlist.load(run, tokenizer, size)
        batch, multiple = config.decoding.batch_sentences, config.training.pad_multiple
        return cls(model, tokenizer, search_of(config, tokenizer), batch, multiple, choice_of(config), with_attention, shortlist)

    def translate(self, lines: Sequence[str], begun: Sequence[str] | None = None) -> list[Translation]:
        """Translates sentences, one result each, in order; an empty one gives an empty one. See `alternatives`."""
        return [found[0] for found in self.alternatives(lines, begun)]

    def alternatives(
        self, lines: Sequence[str], begun: Sequence[str] | None = None, terms: Sequence[Sequence[str]] | None = None
    ) -> list[list[Translation]]:
        """Translates sentences, up to `Search.best` results each, the best first; an empty one gives an empty one.

        Sentences of about equal length are decoded together, whatever order they come in.

        Args:
            lines: the sentences.
            begun: how the translation of each begins, empty where that is open; it is gone on from there, in whole pieces.
            terms: what the translation of each must contain, as far as there is room for it; see `Translation.left_out`.

        Raises:
            UserError: a beginning has characters that the model cannot write.
        """
        encoded, kept = self.tokenizer.encode_source(lines)
        prefixes = None if begun is None else self.tokenizer.encode_target(begun, kept)
        if begun is not None and prefixes is not None:
            for beginning, ids in zip(begun, prefixes, strict=True):
                if UNK in ids:
                    if foreign := next(iter(self.tokenizer.slots.mask(beginning).kept.values()), None):
                        raise UserError(
                            f"'{beginning}' cannot begin a translation: '{foreign}' does not stand in its source, or not so often."
                        )
                    raise UserError(f"'{beginning}' cannot begin a translation: it has characters that the model has never seen.")
        phrases = None if terms is None else [self.tokenizer.target.encode_words(some) for some in terms]
        results: dict[int, list[Translation]] = {index: [NOTHING] for index, ids in enumerate(encoded) if not ids}
        widths = [self.search.beam_size if phrases is None else self._width(phrases[index]) for index in range(len(encoded))]

        def search(chosen: list[int]) -> Found:
            return self.search_ids(
                pad([encoded[index] for index in chosen], self._pad_multiple),
                None if prefixes is None else [prefixes[index] for index in chosen],
                None if phrases is None else [phrases[index] for index in chosen],
                widths[chosen[0]],
                slotless[chosen[0]],
            )

        demanding = [False] * len(encoded) if phrases is None else list(map(bool, phrases))
        slotless = [not self._slots(ids) for ids in encoded]
        if not self._worth_apart(sum(slotless)):
            slotless = [False] * len(encoded)
        kinds = list(zip(demanding, slotless, widths, strict=True))
        batches = list(self._batches(encoded, kinds))
        # Translations by lot depend on the order in which the lots are drawn.
        for chosen, found in zip(batches, (side_by_side if self._options["choose"] is likeliest else map)(search, batches), strict=True):
            for row, index in enumerate(chosen):
                demanded = [] if phrases is None else phrases[index]
                results[index] = self._translations(found, row, len(encoded[index]) + 1, kept[index], demanded)
        return [results[index] for index in range(len(lines))]

    def search_ids(
        self,
        source_ids: NDArray[np.int32],
        begun: Sequence[Sequence[int]] | None = None,
        phrases: Sequence[Sequence[Sequence[int]]] | None = None,
        beam_size: int | None = None,
        slotless: bool = False,
    ) -> Found:
        """The search on ids, as NumPy arrays.

        Args:
            source_ids: [B, S], EOS after each sentence, then padding.
            begun: of each the ids that its translation begins with.
            phrases: of each the phrases of at most `LONGEST` ids that its translation must contain.
            beam_size: another than that of the search.
            slotless: there are no slots in the sources, and a graph for such is worth its making.
        """
        prefix_ids = None
        if begun is not None:
            prefix_ids = pad(begun, self._pad_multiple)
            prefix_ids[prefix_ids == EOS] = PAD
        phrase_ids = None
        if phrases is not None and any(phrases):
            slots = np.array(list(map(self._slots, source_ids.tolist())))
            given = np.zeros_like(slots) if prefix_ids is None else np.count_nonzero(prefix_ids, axis=1)
            # Besides: EOS, and a token for the model.
            phrase_ids = padded_phrases(phrases, self.search.max_tokens - 2 - slots - given)
        searching = self._searching(beam_size or self.search.beam_size, phrase_ids is not None, slotless)
        pieces = None
        if self.shortlist is not None and slotless and prefix_ids is None and phrase_ids is None:
            pieces = self.shortlist.of(source_ids)
        return searching(source_ids, prefix_ids, phrase_ids, pieces)

    def _worth_apart(self, slotless: int) -> bool:
        """Whether so many sentences without slots are searched apart: many, or where that takes no graph that would not be made else."""
        begun = any(apart for _, _, apart in self._searches)
        return slotless >= _APART or begun or not self.search.slots or self.shortlist is not None

    def _slots(self, source_ids: Sequence[int]) -> int:
        """How many of these are slots, as far as the search keeps them."""
        return sum(EOS < token <= EOS + self.search.slots for token in source_ids)

    def _searching(self, beam_size: int, with_phrases: bool, slotless: bool) -> LiveSearch:
        """The compiled search with so many hypotheses, for sources with slots or without.

        With phrases there is no length penalty: divided by the length, a translation would win that has said it all in the model's own
        words, and adds the phrase after the full stop. Nor may a rule against repetitions forbid what is demanded.
        """
        with self._lock:  # else two batches at once would compile it twice
            if (beam_size, with_phrases, slotless) not in self._searches:
                alpha = 0.0 if with_phrases else self.search.length_penalty
                repeat = 0 if with_phrases else self.search.no_repeat_ngram
                search = dataclasses.replace(
                    self.search, beam_size=beam_size, length_penalty=alpha, no_repeat_ngram=repeat, slotless=slotless
                )
                words = WordPieces.of(self.tokenizer.target.pieces(range(self.tokenizer.target.size))) if with_phrases else None
                self._searches[beam_size, with_phrases, slotless] = LiveSearch(self.model, search, **self._options, words=words)
            return self._searches[beam_size, with_phrases, slotless]

    def _batches(self, encoded: list[list[int]], kinds: Sequence[tuple[bool, bool, int]]) -> Iterator[list[int]]:
        """The sentences in batches, of one kind and about one length each; those without ids in none.

        The longest come first: at the end there are only short ones left for one core to wait for.

        Args:
            encoded: ids of each.
            kinds: of each, whether it has phrases, whether it is without slots, and the width of its beam.
        """
        order = sorted((index for index, ids in enumerate(encoded) if ids), key=lambda index: (kinds[index], -len(encoded[index])))
        while order:
            kind, longest = kinds[order[0]], len(encoded[order[0]]) + 1
            share = kind[-1] / self.search.beam_size  # a wider beam takes the room of more sentences
            size = max(1, int(min(self._batch_sentences, _MOST_TOKENS / longest) / share))
            chosen = [index for index in order[:size] if kinds[index] == kind]
            yield chosen
            order = order[len(chosen) :]

    def _width(self, phrases: Sequence[Sequence[int]]) -> int:
        """The beam for a sentence with these phrases: each number of met tokens wants a few hypotheses of its own; of few widths."""
        tokens = sum(map(len, phrases))
        return max(self.search.beam_size, min(_WIDEST, -(-(4 + 2 * tokens) // 8) * 8)) if tokens else self.search.beam_size

    def _translations(
        self, found: Found, sentence: int, source_tokens: int, kept: dict[str, str], phrases: Sequence[Sequence[int]]
    ) -> list[Translation]:
        """Those of one sentence of a batch; `kept`: what stands in its slots; `phrases`: what they should contain."""
        results: list[Translation] = []
        for number, row in enumerate(found.ids[sentence].tolist()):
            score = float(found.scores[sentence, number])
            if score < NEVER / 2 and results:
                break
            ids = [token for token in row if token not in (PAD, EOS)]
            complete = EOS in row
            coverage = None
            if found.attention is not None:
                coverage = float(np.minimum(found.attention[sentence, number, :source_tokens], 1.0).mean())
            results.append(
                Translation(
                    text=self.tokenizer.decode_target([ids], [kept])[0],
                    score=score,
                    ids=ids,
                    complete=complete,
                    log_prob=float(found.log_probs[sentence, number]),
                    tokens=len(ids) + complete,
                    source_tokens=source_tokens,
                    coverage=coverage,
                    left_out=tuple(place for place, phrase in enumerate(phrases) if not stands_in(phrase, ids)),
                )
            )
        return results


def search_of(config: Config, tokenizer: Tokenizer) -> Search:
    """The settings of the search that a config describes, with a tokenizer's slots."""
    decoding = config.decoding
    return Search(
        beam_size=decoding.beams,
        max_tokens=decoding.max_tokens,
        length_penalty=decoding.length_penalty,
        coverage_penalty=decoding.coverage_penalty,
        best=decoding.best,
        min_length_ratio=decoding.min_length_ratio,
        max_length_ratio=decoding.max_length_ratio,
        no_repeat_ngram=decoding.no_repeat_ngram,
        patience=decoding.patience,
        slots=tokenizer.slots.size if decoding.keep_placeholders else 0,
        bos=BOS,
        eos=EOS,
    )


def choice_of(config: Config) -> Choose:
    """The likeliest translations, or by lot, as a config has it."""
    lot = config.decoding.sampling
    return likeliest if lot is None else Drawn(lot.temperature, lot.top_k, lot.top_p, keras.random.SeedGenerator(lot.seed))
