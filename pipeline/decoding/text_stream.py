"""Text in, text out: what lies between a reader's lines and the sentences that the translator takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from pipeline.configuration import Config
from pipeline.configuration.schema_data import Cleaning
from pipeline.data.cleaning import Tally, tidy
from pipeline.decoding.segmentation import CountTokens, join_translations, split_line
from pipeline.support.quiet import import_keras
from pipeline.support.run_directory import RunDirectory

_LINE_BREAKS = re.compile(r"[\n\r\v\f\x85\u2028\u2029]+")
# Control characters (NUL among them) and '▁', SentencePiece's own mark for a space, which the tokenizers of the exported files and
# of this library take differently.
_NEVER_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f▁]")
_RUN_OF_SPACES = re.compile(r"[ \n]+")


class Translated(Protocol):
    """A translation, as far as its text is concerned."""

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

    def translate(self, lines: list[str]) -> Sequence[Translated]:
        """Translates sentences, none of them empty or too long; one result each, in order."""
        ...


class TextTranslator:
    """Translates lines of any length, blank ones too, in the order they come.

    A line is cleaned as the training text was; one of more than `limit` pieces is translated in segments (`segmentation`).
    """

    def __init__(
        self,
        translator: SentenceTranslator,
        count_tokens: CountTokens,
        limit: int,
        placeholders: Iterable[str] = (),
        cleaning: Cleaning | None = None,
    ) -> None:
        """Puts the parts together; `load` does it for a run.

        Args:
            translator: translates sentences of at most `limit` pieces.
            count_tokens: source pieces of a text.
            limit: longest sentence in pieces, at least 1.
            placeholders: regular expressions of what must not be cut.
            cleaning: how the training text was cleaned; default: the config's defaults.
        """
        self.translator = translator
        self.count_tokens = count_tokens
        self.limit = limit
        self.placeholders = [re.compile(pattern) for pattern in placeholders]
        self.cleaning = cleaning or Cleaning()

    @classmethod
    def load(cls, run: RunDirectory, config: Config, *others: RunDirectory) -> TextTranslator:
        """The translator of a trained run, or of it and `others` together; see `Translator.load`.

        Raises:
            UserError: a run has no tokenizer or no weights yet, or they do not go together.
        """
        import_keras()
        from pipeline.decoding.translator import Translator

        translator = Translator.load(run, config, *others)
        count_tokens = translator.tokenizer.source.count
        return cls(translator, count_tokens, config.model.max_tokens, config.tokenizer.placeholders, config.data.cleaning)

    def translate(
        self,
        lines: Sequence[str],
        on_long_line: Callable[[int, int, int], None] | None = None,
        on_cut_line: Callable[[int], None] | None = None,
    ) -> list[str]:
        """Translates lines; as many come back, in order, and an empty or blank one is empty.

        Args:
            lines: text, without line ends.
            on_long_line: called with (index into `lines`, its pieces, number of segments) for a line translated in segments.
            on_cut_line: called with the index of a line whose translation reached the limit of tokens before its end.

        Returns:
            The translations, each on one line.
        """
        segments_of: list[list[str]] = []
        for index, line in enumerate(lines):
            text = clean_line(line, self.cleaning)
            segments = split_line(text, self.limit, self.count_tokens, self.placeholders) if text else []
            if len(segments) > 1 and on_long_line is not None:
                on_long_line(index, self.count_tokens(text), len(segments))
            segments_of.append(segments)

        sentences = [_RUN_OF_SPACES.sub(" ", segment).strip() for segments in segments_of for segment in segments]
        distinct = list(dict.fromkeys(sentence for sentence in sentences if sentence))  # a log repeats its lines: translate them once
        results = dict(zip(distinct, self.translator.translate(distinct) if distinct else [], strict=True))
        translation_of = {sentence: " ".join(result.text.splitlines()) for sentence, result in results.items()} | {"": ""}
        cut = {sentence for sentence, result in results.items() if not result.complete}

        pending = iter(sentences)
        translations = []
        for index, segments in enumerate(segments_of):
            parts = [next(pending) for _ in segments]
            translations.append(join_translations(segments, [translation_of[part] for part in parts]))
            if on_cut_line is not None and not cut.isdisjoint(parts):
                on_cut_line(index)
        return translations


def clean_line(line: str, cleaning: Cleaning) -> str:
    """A line as the model knows text: edited as the training text was, free of control characters whatever those rules say.

    Line breaks of all kinds become '\\n', a place to cut; a blank line becomes empty.
    """
    parts = (tidy(_NEVER_TEXT.sub(" ", part), "", cleaning, Tally())[0].strip() for part in _LINE_BREAKS.split(line))
    return "\n".join(part for part in parts if part)
