"""What is done to a pair before it may be learnt from: rules in a fixed order, each with a count and three examples.

This file imports nothing heavy: worker processes live on it.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pipeline.configuration.schema_data import Cleaning
from pipeline.data.splits import hash64, split_key

EXAMPLES = 3
EDITS = ("normalize", "control_characters")
DROPS = ("empty", "max_characters", "max_ratio", "copies", "duplicates")
RULES = EDITS + DROPS

# Cc and every kind of space, runs of them. Joiners (U+200C, U+200D) stay: Persian, Hindi and emoji need them.
_SPACES = re.compile(r"[\s\x00-\x1f\x7f-\x9f]+")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")  # soft hyphen, zero-width space, word joiner, byte order mark
_SURROGATES = re.compile("[\ud800-\udfff]")  # half a character, as broken JSON has; no file can hold it


@dataclass
class Tally:
    """How many pairs each rule changed or dropped, and the first examples of them, as they were before."""

    counts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    def add(self, rule: str, source: str, target: str) -> None:
        """One more pair for `rule`."""
        self.counts[rule] = self.counts.get(rule, 0) + 1
        examples = self.examples.setdefault(rule, [])
        if len(examples) < EXAMPLES:
            examples.append((source, target))

    def merge(self, later: Tally) -> None:
        """Adds what a later part of the corpus has."""
        for rule, count in later.counts.items():
            self.counts[rule] = self.counts.get(rule, 0) + count
            examples = self.examples.setdefault(rule, [])
            examples += later.examples.get(rule, [])[: EXAMPLES - len(examples)]


class CleanBatch(NamedTuple):
    """What is left of some pairs of one source, as columns of equal length."""

    number: int
    """Which source, counted from 0 in the config's order."""
    read: int
    """Pairs before cleaning."""
    sources: list[str]
    targets: list[str]
    tags: list[str]
    given: bytes
    """A byte a pair: 0 for none, else 1 + the index of the given split in SPLITS."""
    identities: array[int]
    """64-bit hashes; equal for what the duplicates rule calls equal."""
    keys: array[int]
    """64-bit hashes of the normalised source, by which pairs are split."""
    tally: Tally


GIVEN = {None: 0, "train": 1, "validation": 2, "test": 3}


def clean_batch(number: int, columns: Sequence[Sequence[Any]], rules: Cleaning) -> CleanBatch:
    """Cleans pairs of source `number`. All rules but duplicates, which takes the whole corpus, are applied here.

    Given validation and test splits are benchmarks: their pairs are tidied as the others are, but only an empty side
    drops one, so that scores on them can be compared with others'.

    Args:
        number: which source, counted from 0 in the config's order.
        columns: the fields of `Pair`, a column each; columns travel to another process much faster than pairs.
        rules: the config's.
    """
    batch = CleanBatch(number, len(columns[0]), [], [], [], b"", array("Q"), array("Q"), Tally())
    given = bytearray()
    for source, target, tag, split in zip(*columns, strict=True):
        source, target = tidy(source, target, rules, batch.tally)
        held_out = split in ("validation", "test")
        rule = reason_to_drop(source, target, rules, only_empty=held_out)
        if rule is not None:
            batch.tally.add(rule, source, target)
            continue
        batch.sources.append(source)
        batch.targets.append(target)
        batch.tags.append(tag)
        batch.identities.append(hash64(source if rules.duplicates == "source" else f"{source}\n\x00\n{target}"))
        batch.keys.append(hash64(split_key(source)))
        given.append(GIVEN[split])
    return batch._replace(given=bytes(given))


def tidy(source: str, target: str, rules: Cleaning, tally: Tally) -> tuple[str, str]:
    """The pair after the rules that change text; `tally` learns of pairs they changed."""
    if not (source.isascii() and target.isascii()):
        source, target = _SURROGATES.sub("\ufffd", source), _SURROGATES.sub("\ufffd", target)
        if rules.normalize is not None:
            form = rules.normalize
            source, target = _edit("normalize", lambda text: unicodedata.normalize(form, text), source, target, tally)
    if rules.control_characters:
        source, target = _edit("control_characters", _without_control_characters, source, target, tally)
    return source, target


def _edit(rule: str, edit: Callable[[str], str], source: str, target: str, tally: Tally) -> tuple[str, str]:
    edited = edit(source), edit(target)
    if edited != (source, target):
        tally.add(rule, source, target)
    return edited


def _without_control_characters(text: str) -> str:
    # Nearly every text passes this test, which is ten times as fast as the expressions below.
    if text.isprintable() and "  " not in text:
        return text.strip(" ")
    if not text.isascii():
        text = _INVISIBLE.sub("", text)
    return _SPACES.sub(" ", text).strip(" ")


def reason_to_drop(source: str, target: str, rules: Cleaning, only_empty: bool = False) -> str | None:
    """The first rule that drops the pair; None where it stays."""
    if rules.empty and not (source.strip() and target.strip()):
        return "empty"
    if only_empty:
        return None
    shorter, longer = sorted((len(source), len(target)))
    if rules.max_characters is not None and longer > rules.max_characters:
        return "max_characters"
    if rules.max_ratio is not None and longer + 10 > rules.max_ratio * (shorter + 10):
        return "max_ratio"
    if rules.copies and source == target:
        return "copies"
    return None
