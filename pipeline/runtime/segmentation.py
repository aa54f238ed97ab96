"""Cutting a line that is too long for the model into pieces that are not, and joining their translations.

Pure functions on strings; how long a text is, is asked of the caller's `count_tokens`.
"""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence

CountTokens = Callable[[str], int]
"""Number of pieces of a text."""

# A cut falls at the end of a match, so that white space belongs to the segment before it.
# A match begins only where a run of stops does, and never gives back what it took: a line of nothing but stops takes no time for it.
_SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'»”’)\]]*+\s+|[。！？｡]+[”’」』）]*\s*|[\n\r\v\f\x85\u2028\u2029]+\s*")
_CLAUSE_END = re.compile(r"[,;:]\s+|\s[–—-]\s+|[，、；：]\s*")
_SPACE = re.compile(r"\s+")
WIDE = re.compile(r"[\u2e80-\u30ff\u3400-\u9fff\uf900-\ufaff\uff00-\uff65]|[\U00020000-\U0003ffff]")
"""Han, kana and their punctuation: written without spaces between sentences."""

RUN_OF_SPACES = re.compile(r"[ \n]+")
"""In a segment, of which the model is given one space instead."""


def split_line(line: str, limit: int, count_tokens: CountTokens, placeholders: Iterable[re.Pattern[str]] = ()) -> list[str]:
    """Cuts `line` into segments of at most `limit` tokens; joined, they give `line` back.

    Cuts fall at the ends of sentences, as many to a segment as fit. A sentence that is too long by itself is cut at the ends of
    clauses, failing that between words, failing that (a long word, or a language without spaces) between characters; inside a
    match of `placeholders` only where it is too long by itself.

    Args:
        line: the text.
        limit: most tokens of a segment, at least 1. Only a single character may have more.
        count_tokens: length of a text in tokens.
        placeholders: what must not be cut; looked at for a line that is too long, and no other.

    Returns:
        The segments in order, none of them empty; a blank or short line is one segment, an empty one none.
    """
    if not line:
        return []
    if count_tokens(line) <= limit:
        return [line]
    inside = {p for pattern in placeholders for match in pattern.finditer(line) for p in range(match.start() + 1, match.end())}
    levels = (_sentence_ends, _ends_of(_CLAUSE_END), _ends_of(_SPACE), _character_ends)

    def split(start: int, end: int, level: int) -> Iterator[str]:
        text = line[start:end]
        if count_tokens(text) <= limit or end - start == 1:
            yield text
            return
        if level < len(levels):
            ends = [start + position for position in levels[level](text) if start + position not in inside]
        else:
            ends = list(range(start + 1, end))  # a placeholder longer than the limit, or a character with very many accents
        for first, last in _packed([start, *(position for position in ends if start < position < end), end]):
            yield from split(first, last, level + 1)

    def _packed(bounds: list[int]) -> Iterator[tuple[int, int]]:
        """Joins neighbouring parts while they fit; doubles, then halves the step, so that few texts have to be counted."""
        index, last = 0, len(bounds) - 1
        while index < last:
            fits, step = 1, 1
            while index + fits + step <= last and count_tokens(line[bounds[index] : bounds[index + fits + step]]) <= limit:
                fits += step
                step *= 2
            while step > 1:
                step //= 2
                if index + fits + step <= last and count_tokens(line[bounds[index] : bounds[index + fits + step]]) <= limit:
                    fits += step
            yield bounds[index], bounds[index + fits]
            index += fits

    return list(split(0, len(line), 0))


def join_translations(segments: Sequence[str], translations: Sequence[str]) -> str:
    """One line of the translations of `segments`, as `split_line` gave them.

    A space goes between two of them where the source had one, or where the source is written without (Chinese, Japanese); none goes
    beside Chinese or Japanese text, nor where a word was cut in two.
    """
    line = ""
    for segment, translation in zip(["", *segments], translations, strict=False):
        # `segment` is the one before this translation
        if line and translation:
            spaced = segment[-1:].isspace() or bool(WIDE.match(segment[-1:]))
            if spaced and not WIDE.match(line[-1]) and not WIDE.match(translation[0]):
                line += " "
        line += translation
    return line


def _sentence_ends(text: str) -> Iterable[int]:
    for match in _SENTENCE_END.finditer(text):
        # "approx. five", "e.g. this": a sentence does not begin with a small letter.
        if not text[match.end() : match.end() + 1].islower():
            yield match.end()


def _ends_of(pattern: re.Pattern[str]) -> Callable[[str], Iterable[int]]:
    return lambda text: [match.end() for match in pattern.finditer(text)]


def _character_ends(text: str) -> Iterable[int]:
    """Between characters as a reader sees them: an accent, a joiner or a skin tone stays with what it changes."""
    for position, (before, after) in enumerate(itertools.pairwise(text), start=1):
        joined = before == "\u200d" or after == "\u200d" or "\U0001f3fb" <= after <= "\U0001f3ff"
        if not joined and not unicodedata.category(after).startswith("M"):
            yield position
