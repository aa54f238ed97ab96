"""Word alignments read off the attention, in Pharaoh's format, and how far they are from those of people."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.inspect.reading import Reading
from pipeline.inspect.words import joined, word_groups, words_of
from pipeline.runtime.errors import UserError

Link = tuple[int, int]
"""Places of a source word and a target word, from 0."""


@dataclass(frozen=True)
class Gold:
    """The links that people have drawn in a sentence: sure ones, and those that may be there (the sure ones among them)."""

    sure: frozenset[Link]
    possible: frozenset[Link]


def alignment_of(reading: Reading) -> list[Link]:
    """Each target word with the source word it looked at most; words that looked at the end of the sentence have no link.

    Words are what stands between spaces. A placeholder with spaces in it, such as a tag, is one piece and several words: they have the
    links of the piece, one by one where both sides have as many.
    """
    links = strongest_links(joined(reading.attention, reading.source, reading.target)[:-1], len(word_groups(reading.source)) - 1)
    source, target = (_places(words_of(side)[:-1]) for side in (reading.source, reading.target))
    found: set[Link] = set()
    for here, there in ((source[word], target[other]) for word, other in links):
        found.update(zip(here, there, strict=True) if len(here) == len(there) else itertools.product(here, there))
    return sorted(found)


def _places(words: Iterable[str]) -> list[range]:
    """Of each word or group of words its places in the line."""
    ends = [0, *itertools.accumulate(max(1, len(word.split())) for word in words)]
    return [range(start, end) for start, end in itertools.pairwise(ends)]


def strongest_links(weights: NDArray[np.float32], source_words: int) -> list[Link]:
    """Of weights [target words, source words and the end]: the links, in the order of the source."""
    best = weights.argmax(axis=1) if weights.size else []
    return sorted((int(source), target) for target, source in enumerate(best) if source < source_words)


def to_pharaoh(links: Iterable[Link]) -> str:
    """'0-0 1-2 …': source-target."""
    return " ".join(f"{source}-{target}" for source, target in links)


def parse_pharaoh(line: str, where: str = "the line") -> Gold:
    """Reads '0-0 1-2 3p4': with '-' a sure link, with 'p' a possible one.

    Raises:
        UserError: it is no such line.
    """
    sure: set[Link] = set()
    possible: set[Link] = set()
    for item in line.split():
        source, mark, target = item.partition("-") if "-" in item else item.partition("p")
        if not (mark and source.isdecimal() and target.isdecimal()):
            raise UserError(f"{where}: '{item}' is no link. Expected places of words from 0, such as 0-0 1-2, or 1p2 for a possible link.")
        possible.add((int(source), int(target)))
        if mark == "-":
            sure.add((int(source), int(target)))
    return Gold(frozenset(sure), frozenset(possible))


def read_gold(lines: Iterable[str], where: str) -> Iterator[Gold]:
    """The lines of a gold file.

    Raises:
        UserError: see `parse_pharaoh`.
    """
    for number, line in enumerate(lines, start=1):
        yield parse_pharaoh(line, f"{where}:{number}")


def alignment_error_rate(found: Iterable[Iterable[Link]], gold: Iterable[Gold]) -> float:
    """AER = 1 - (|A and S| + |A and P|) / (|A| + |S|) over all sentences (Och & Ney, 2003, eq. 38); 0 is best.

    Args:
        found: the links A of each sentence.
        gold: its sure links S and possible links P.
    """
    agreed = total = 0
    for links, reference in zip(found, gold, strict=True):
        drawn = set(links)
        agreed += len(drawn & reference.sure) + len(drawn & reference.possible)
        total += len(drawn) + len(reference.sure)
    return 1.0 - agreed / total if total else 0.0
