"""BLEU of some of the sentences: by a label, by the source's length, by how rare its words are, by how certain the model was."""

from __future__ import annotations

import functools
import math
import re
import sys
import unicodedata
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pipeline.scoring.metrics import corpus_bleu

Group = TypeVar("Group", int, str)
Part = tuple[int, float]
"""Sentences, and their BLEU."""

SOURCE_WORDS = (10, 15, 20, 30)
"""Source lengths, in words, at which a bucket of `bleu_by_length` ends."""

OCCURRENCES = (0, 5, 20, 100)
"""How often a source's rarest word was seen in training, where a bucket of `bleu_by_rarity` ends."""

WITHOUT_SPACES = {"zh", "yue", "wuu", "ja", "th", "lo", "km", "my"}
"""Languages that put none between words: in them `words` finds whole clauses."""


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


def bleu_by_confidence(
    confidences: Sequence[float], hypotheses: Sequence[str], references: Sequence[str], language: str = ""
) -> dict[str, Part]:
    """(Sentences, BLEU) of each quarter of the sentences, the least certain first, with the confidences that it spans: "1: 0.12-0.40".

    Args:
        confidences: of each translation.
        hypotheses, references, language: see `pipeline.scoring.metrics.score`.
    """
    order = sorted(range(len(confidences)), key=lambda number: confidences[number])
    found: dict[str, Part] = {}
    for quarter in range(4):
        chosen = order[quarter * len(order) // 4 : (quarter + 1) * len(order) // 4]
        if chosen:
            bleu = corpus_bleu([hypotheses[row] for row in chosen], [references[row] for row in chosen], language)
            found[f"{quarter + 1}: {confidences[chosen[0]]:.2f}-{confidences[chosen[-1]]:.2f}"] = len(chosen), bleu
    return found


def rank_correlation(values: Sequence[float], others: Sequence[float]) -> float:
    """Spearman's: 1 where both put things in the same order, 0 where they have nothing to do with each other; 0 of nothing."""
    ranks = [_ranks(np.asarray(part, dtype=np.float64)) for part in (values, others)]
    deviations = [part - part.mean() for part in ranks] if len(values) else ranks
    scale = math.sqrt(float(np.sum(deviations[0] ** 2) * np.sum(deviations[1] ** 2)))
    return float(np.sum(deviations[0] * deviations[1])) / scale if scale else 0.0


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The place of each among all, in order; equal ones share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2.0)[inverse], dtype=np.float64)


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word stands in texts."""
    return Counter(word for text in texts for word in words(text))


def words(text: str) -> list[str]:
    """The words of a text, in lower case: runs of letters and of the marks on them, such as the vowels of Hindi."""
    return _word().findall(text.lower())


@functools.cache
def _word() -> re.Pattern[str]:
    marks = "".join(character for character in map(chr, range(sys.maxunicode)) if unicodedata.category(character).startswith("M"))
    return re.compile(rf"[^\W\d_](?:[^\W\d_]|[{marks}])*")


def _names(ends: Sequence[int], first: int) -> list[str]:
    """Of the buckets that end there, and of the one for all above."""
    starts = (first, *(end + 1 for end in ends))
    return [f"{start}-{end}" if start < end else f"{end}" for start, end in zip(starts, ends, strict=False)] + [f"{starts[-1]}+"]
