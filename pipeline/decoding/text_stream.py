"""Text in, text out: what lies between a reader's lines and the sentences that the translator takes."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pipeline.configuration import Config
from pipeline.configuration.schema_data import Cleaning
from pipeline.data.cleaning import Tally, tidy
from pipeline.decoding.glossary import Glossary
from pipeline.runtime.errors import UserError
from pipeline.runtime.segmentation import RUN_OF_SPACES, CountTokens, join_translations, split_line
from pipeline.runtime.slots import NO_SLOTS, Slots
from pipeline.support.quiet import import_keras
from pipeline.support.run_directory import RunDirectory

_LINE_BREAKS = re.compile(r"[\n\r\v\f\x85\u2028\u2029]+")
# Control characters (NUL among them) and '▁', SentencePiece's own mark for a space, which the tokenizers of the exported files and
# of this library take differently.
_NEVER_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f▁]")


class Translated(Protocol):
    """A translation, as far as its text is concerned."""

    @property
    def score(self) -> float:
        """What it was chosen by; see `pipeline.decoding.search.Search`."""
        ...

    @property
    def log_prob(self) -> float:
        """Natural log of its probability."""
        ...

    @property
    def tokens(self) -> int:
        """Of the translation, EOS counted."""
        ...

    @property
    def source_tokens(self) -> int:
        """Of the source, EOS counted."""
        ...

    @property
    def left_out(self) -> tuple[int, ...]:
        """Numbers of the demanded terms that it does not contain."""
        ...

    @property
    def coverage(self) -> float | None:
        """Mean attention of the source's tokens, at most 1 of each; None where that was not kept."""
        ...

    @property
    def text(self) -> str:
        """The translation."""
        ...

    @property
    def complete(self) -> bool:
        """Whether it ended by itself, within the limit of tokens."""
        ...


class SentenceTranslator(Protocol):
    """What `pipeline.decoding.translator.Translator` is to us; tests have simpler ones."""

    def alternatives(
        self, lines: list[str], begun: list[str] | None, terms: list[list[str]] | None = None
    ) -> Sequence[Sequence[Translated]]:
        """Translates sentences, none of them empty or too long; of each one or several translations, the best first.

        A translation begins with what stands in `begun`, and contains all of what stands in `terms`.
        """
        ...


@dataclass(frozen=True)
class Line:
    """A translation of a line.

    Attributes:
        text: without line breaks.
        score: sum of the scores of its segments.
        confidence: the geometric mean of the probabilities of its tokens, 0 to 1; 1 for a blank line.
        length_ratio: tokens of the translation for each of the source; 1 for a blank line.
        coverage: mean over the source's tokens of the attention each has had, at most 1 of each; None where that was not kept.
    """

    text: str
    score: float
    confidence: float = 1.0
    length_ratio: float = 1.0
    coverage: float | None = None


class TextTranslator:
    """Translates lines of any length, blank ones too, in the order they come.

    A line is cleaned as the training text was; one of more than `limit` pieces is translated in segments (`segmentation`).
    """

    def __init__(
        self,
        translator: SentenceTranslator,
        count_tokens: CountTokens,
        limit: int,
        slots: Slots = NO_SLOTS,
        cleaning: Cleaning | None = None,
        glossary: Glossary | None = None,
        drawn: bool = False,
    ) -> None:
        """Puts the parts together; `load` does it for a run.

        Args:
            translator: translates sentences of at most `limit` pieces.
            count_tokens: source pieces of a text.
            limit: longest sentence in pieces, at least 1.
            slots: of placeholders, which must not be cut.
            cleaning: how the training text was cleaned; default: the config's defaults.
            glossary: what some terms must become.
            drawn: translations are drawn by lot, so that equal lines may have different ones.
        """
        self.translator = translator
        self.count_tokens = count_tokens
        self.limit = limit
        self.slots = slots
        self.cleaning = cleaning or Cleaning()
        self.glossary = glossary
        self.drawn = drawn

    @classmethod
    def load(cls, run: RunDirectory, config: Config, *others: RunDirectory, glossary: Path | None = None) -> TextTranslator:
        """The translator of a trained run, or of it and `others` together; see `Translator.load`.

        Args:
            run, config, others: see there.
            glossary: the file of one; see `Glossary.load`.

        Raises:
            UserError: a run has no tokenizer or no weights yet, or they do not go together; or the glossary cannot be read, or asks for
                what the model cannot write, or goes with a search and not with a lot.
        """
        if glossary is not None and config.decoding.sampling is not None:
            raise UserError("a glossary and decoding.sampling exclude each other: what must stand there is searched for, not drawn by lot.")
        terms = None if glossary is None else Glossary.load(glossary, lambda term: clean_line(term, config.data.cleaning))
        import_keras()
        from pipeline.data.subwords import UNK
        from pipeline.decoding.phrases import LONGEST
        from pipeline.decoding.translator import Translator

        attends = all(one.model.attention.kind != "none" for one in (config, *(other.load_config() for other in others)))
        translator = Translator.load(run, config, *others, with_attention=attends, precision=config.decoding.products)
        if terms is not None:
            slots = translator.tokenizer.slots
            terms.check(lambda term: slots.mask(term).kept.values(), translator.tokenizer.target.encode_words, UNK, LONGEST)
        tokenizer, drawn = translator.tokenizer, config.decoding.sampling is not None
        return cls(translator, tokenizer.count, config.model.max_tokens, tokenizer.slots, config.data.cleaning, terms, drawn)

    def translate(
        self,
        lines: Sequence[str],
        on_long_line: Callable[[int, int, int], None] | None = None,
        on_cut_line: Callable[[int], None] | None = None,
    ) -> list[str]:
        """Translates lines; as many come back, in order, and an empty or blank one is empty. See `alternatives`."""
        return [found[0].text for found in self.alternatives(lines, None, on_long_line, on_cut_line)]

    def alternatives(
        self,
        lines: Sequence[str],
        begun: Sequence[str] | None = None,
        on_long_line: Callable[[int, int, int], None] | None = None,
        on_cut_line: Callable[[int], None] | None = None,
        on_left_out: Callable[[int, str], None] | None = None,
    ) -> list[list[Line]]:
        """The best translations of each line, as many as the search is set to give; of an empty or blank one, one that is empty.

        Of a line in several segments, the n-th translation is made of the n-th ones of its segments.

        Args:
            lines: text, without line ends.
            begun: how the translation of each line begins; empty where that is open.
            on_long_line: called with (index into `lines`, its pieces, number of segments) for a line translated in segments.
            on_cut_line: called with the index of a line whose best translation reached the limit of tokens before its end.
            on_left_out: called with the index of a line and a term of the glossary for which its best translation had no room.
        """
        segments_of = [self._segments(index, line, on_long_line) for index, line in enumerate(lines)]
        # A beginning belongs to the first segment that is more than space.
        asked: list[list[tuple[str, str, int]]] = []
        for index, segments in enumerate(segments_of):
            beginning = clean_line(begun[index], self.cleaning).replace("\n", " ") if begun else ""
            asked.append([])
            for segment in segments:
                sentence = RUN_OF_SPACES.sub(" ", segment).strip()
                asked[-1].append((sentence, beginning, index if self.drawn else 0))
                beginning = "" if sentence else beginning

        # A log repeats its lines: translate them once.
        distinct = list(dict.fromkeys(request for requests in asked for request in requests if request[0]))
        sentences, beginnings = [sentence for sentence, *_ in distinct], [beginning for _, beginning, _ in distinct]
        options, terms = {}, {}
        if self.glossary is not None:
            terms = {request: self.glossary.demanded(request[0], self.slots.placeholders(request[0])) for request in distinct}
            options["terms"] = list(terms.values())
        answers = self.translator.alternatives(sentences, beginnings if any(beginnings) else None, **options) if distinct else []
        found = dict(zip(distinct, answers, strict=True))

        results = []
        for index, (segments, requests) in enumerate(zip(segments_of, asked, strict=True)):
            parts = [found.get(request, ()) for request in requests]
            results.append(_joined(segments, parts))
            if on_cut_line is not None and not all(part[0].complete for part in parts if part):
                on_cut_line(index)
            if on_left_out is not None and terms:
                for request, part in zip(requests, parts, strict=True):
                    for number in part[0].left_out if part else ():
                        on_left_out(index, terms[request][number])
        return results

    def _segments(self, index: int, line: str, on_long_line: Callable[[int, int, int], None] | None) -> list[str]:
        text = clean_line(line, self.cleaning)
        terms = () if self.glossary is None else self.glossary.patterns_in(text)
        segments = split_line(text, self.limit, self.count_tokens, itertools.chain(self.slots.compiled, terms))
        if len(segments) > 1 and on_long_line is not None:
            on_long_line(index, self.count_tokens(text), len(segments))
        return segments


def _joined(segments: Sequence[str], parts: Sequence[Sequence[Translated]]) -> list[Line]:
    """The translations of a line from those of its segments; a segment that is nothing but space has none."""
    lines = []
    for number in range(max((len(part) for part in parts), default=1) or 1):
        chosen = [part[min(number, len(part) - 1)] if part else None for part in parts]
        texts = ["" if one is None else " ".join(one.text.splitlines()) for one in chosen]
        lines.append(_line(join_translations(segments, texts), [one for one in chosen if one is not None]))
    return lines


def _line(text: str, parts: Sequence[Translated]) -> Line:
    """A line of these parts: what is a mean over tokens is one over those of all parts."""
    if not parts:
        return Line(text, 0.0)
    tokens, source_tokens = sum(part.tokens for part in parts), sum(part.source_tokens for part in parts)
    coverages = [part.coverage * part.source_tokens for part in parts if part.coverage is not None]
    return Line(
        text,
        score=sum(part.score for part in parts),
        confidence=math.exp(sum(part.log_prob for part in parts) / max(tokens, 1)),
        length_ratio=tokens / max(source_tokens, 1),
        coverage=sum(coverages) / max(source_tokens, 1) if coverages else None,
    )


def clean_line(line: str, cleaning: Cleaning) -> str:
    """A line as the model knows text: edited as the training text was, free of control characters whatever those rules say.

    Line breaks of all kinds become '\\n', a place to cut; a blank line becomes empty.
    """
    parts = (tidy(_NEVER_TEXT.sub(" ", part), "", cleaning, Tally())[0].strip() for part in _LINE_BREAKS.split(line))
    return "\n".join(part for part in parts if part)
