"""BLEU of some of the sentences: by a label, by the source's length, by how rare its words are in what was learnt from."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from pipeline.scoring.metrics import corpus_bleu

Group = TypeVar("Group", int, str)
Part = tuple[int, float]
"""Sentences, and their BLEU."""

SOURCE_WORDS = (10, 15, 20, 30)
"""Source lengths, in words, at which a bucket of `bleu_by_length` ends."""

OCCURRENCES = (0, 5, 20, 100)
"""How often a source's rarest word was seen in training, where a bucket of `bleu_by_rarity` ends."""

_WORD = re.compile(r"[^\W\d_]+")


def bleu_by_group(hypotheses: Sequence[str], references: Sequence[str], groups: Sequence[Group], language: str = "") -> dict[Group, Part]:
    """(Sentences, BLEU) of each group, in the order of the groups' values.

    Args:
        hypotheses, references, language: see `pipeline.scoring.metrics.score`.
        groups: which group each sentence belongs to.
    """
    rows: dict[Group, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return {
        group: (len(chosen), corpus_bleu([hypotheses[row] for row in chosen], [references[row] for row in chosen], language))
        for group, chosen in sorted(rows.items())
    }


def bleu_by_length(sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str], language: str = "") -> dict[str, Part]:
    """(Sentences, BLEU) by the source's length in words (between spaces): "1-10", "11-15", "16-20", "21-30", "31+", if there are any.

    A blank source counts among the shortest.
    """
    names = _names(SOURCE_WORDS, first=1)
    buckets = [bisect_left(SOURCE_WORDS, len(source.split())) for source in sources]
    return {names[bucket]: found for bucket, found in bleu_by_group(hypotheses, references, buckets, language).items()}


def bleu_by_rarity(
    sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str], counts: Mapping[str, int], language: str = ""
) -> dict[str, Part]:
    """(Sentences, BLEU) by how often the rarest word of the source stood in training: "0", "1-5", "6-20", "21-100", "101+", if any.

    Args:
        sources, hypotheses, references, language: see `pipeline.scoring.metrics.score`. A source without words counts among the commonest.
        counts: see `count_words`.
    """
    names = _names(OCCURRENCES, first=0)
    rarest = [min((counts.get(word, 0) for word in words(source)), default=OCCURRENCES[-1] + 1) for source in sources]
    buckets = [bisect_left(OCCURRENCES, count) for count in rarest]
    return {names[bucket]: found for bucket, found in bleu_by_group(hypotheses, references, buckets, language).items()}


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word stands in texts."""
    return Counter(word for text in texts for word in words(text))


def words(text: str) -> list[str]:
    """The words of a text, in lower case: runs of letters."""
    return _WORD.findall(text.lower())


def _names(ends: Sequence[int], first: int) -> list[str]:
    """Of the buckets that end there, and of the one for all above."""
    starts = (first, *(end + 1 for end in ends))
    return [f"{start}-{end}" if start < end else f"{end}" for start, end in zip(starts, ends, strict=False)] + [f"{starts[-1]}+"]
