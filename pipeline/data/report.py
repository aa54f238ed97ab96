"""The report of `prepare`: what was read, what each rule changed or dropped, what went into which split.

Schema of data/report.json, version 1:
    schema_version, source_language, target_language
    sources: [{kind, name, tag, weight, read, kept}]                pairs, in the config's order
    rules: {rule: {effect, enabled, pairs, examples: [{source, target}]}}
        effect "changed": normalize, control_characters (examples are as they were before);
        effect "dropped": empty, max_characters, max_ratio, copies, duplicates, and held_out (pairs without a given split
        whose source is in a given validation or test split)
    splits: {split: {pairs, source_characters, target_characters}}  characters: {mean, median, p95, max}; null if empty
    overlaps: [{split, with, pairs, examples}]                      pairs of a given split whose source is in another
        as well, up to case, spaces, numbers and final punctuation
    warnings: [text]
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.configuration.schema_data import Data
from pipeline.data.cleaning import EDITS, RULES, Tally
from pipeline.data.sources import describe
from pipeline.runtime.errors import UserError

SCHEMA_VERSION = 1
_LONGEST = 4096
_SHOWN = 200


@dataclass
class CorpusCounts:
    """Pairs read and kept of each source, and what rules did."""

    read: list[int]
    kept: list[int]
    tally: Tally

    def kept_from(self, numbers: np.ndarray) -> None:
        """Pairs of these sources (by number) are kept."""
        for number, count in enumerate(np.bincount(numbers, minlength=len(self.kept))):
            self.kept[number] += int(count)


class Lengths:
    """Statistics of lengths in characters, in constant memory: a histogram."""

    def __init__(self) -> None:
        self._histogram = np.zeros(_LONGEST + 1, np.int64)
        self._sum = self._max = 0

    def add(self, lengths: np.ndarray) -> None:
        """Adds lengths [N]."""
        self._histogram += np.bincount(np.minimum(lengths, _LONGEST), minlength=_LONGEST + 1)
        self._sum += int(lengths.sum(dtype=np.int64))
        self._max = max(self._max, int(lengths.max(initial=0)))

    def summary(self) -> dict[str, float] | None:
        """Mean, median, 95th percentile and maximum; None if there were none."""
        reached = np.cumsum(self._histogram)
        count = int(reached[-1])
        if count == 0:
            return None
        median, p95 = (int(np.searchsorted(reached, share * count)) for share in (0.5, 0.95))
        return {"mean": round(self._sum / count, 1), "median": median, "p95": p95, "max": self._max}


def check_not_empty(data: Data, counts: CorpusCounts) -> None:
    """Refuses a corpus of which cleaning left nothing.

    Raises:
        UserError: it names the rules and how many pairs each took.
    """
    read, taken = sum(counts.read), {rule: count for rule, count in counts.tally.counts.items() if rule not in EDITS}
    names = ", ".join(describe(source) for source in data.sources)
    if read == 0:
        raise UserError(f"data.sources: there are no sentence pairs in {names}.")
    if sum(taken.values()) == read:
        said = ", ".join(f"{rule} took {count:,}" for rule, count in sorted(taken.items(), key=lambda item: -item[1]))
        worst = max(taken, key=lambda rule: taken[rule])
        source, target = counts.tally.examples[worst][0]
        raise UserError(
            f"data.cleaning: nothing is left of the {read:,} pairs of {names}: {said}. The first that '{worst}' took: "
            f"{source[:60]!r} / {target[:60]!r}. Look at the data, or change the rule (data.cleaning.{worst})."
        )


def make_report(data: Data, counts: CorpusCounts, pairs: dict[str, int], lengths: dict[str, tuple[Lengths, Lengths]]) -> dict[str, Any]:
    """The report as it is stored.

    Raises:
        UserError: the training split came out empty.
    """
    if pairs["train"] == 0:
        dropped = counts.tally.counts.get("held_out", 0)
        lost = f", and {dropped:,} were dropped because their source is in one of these" if dropped else ""
        raise UserError(
            f"data: no pair is left to train on; {pairs['validation']:,} went to validation and {pairs['test']:,} to test{lost}. "
            f"Give the sources more pairs, set their 'split', or lower data.validation and data.test."
        )
    tally = counts.tally
    rules = {}
    for rule in (*RULES, "held_out"):
        rules[rule] = {
            "effect": "changed" if rule in EDITS else "dropped",
            "enabled": rule == "held_out" or getattr(data.cleaning, rule) not in (None, False),
            "pairs": tally.counts.get(rule, 0),
            "examples": _examples(tally, rule),
        }
    overlaps = [
        {
            "split": split,
            "with": other,
            "pairs": tally.counts.get(f"{split} in {other}", 0),
            "examples": _examples(tally, f"{split} in {other}"),
        }
        for split, other in (("validation", "train"), ("test", "train"), ("test", "validation"))
        if f"{split} in {other}" in tally.counts
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "source_language": data.source_language,
        "target_language": data.target_language,
        "sources": [
            {"kind": source.kind, "name": describe(source), "tag": source.tag, "weight": source.weight, "read": read, "kept": kept}
            for source, read, kept in zip(data.sources, counts.read, counts.kept, strict=True)
        ],
        "rules": rules,
        "splits": {
            name: {"pairs": count, "source_characters": lengths[name][0].summary(), "target_characters": lengths[name][1].summary()}
            for name, count in pairs.items()
        },
        "overlaps": overlaps,
        "warnings": _warnings(data, pairs, overlaps, tally),
    }


def _examples(tally: Tally, name: str) -> list[dict[str, str]]:
    def cut(text: str) -> str:
        text = text.encode("utf-8", "replace").decode()
        return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."

    return [{"source": cut(source), "target": cut(target)} for source, target in tally.examples.get(name, [])]


def _warnings(data: Data, pairs: dict[str, int], overlaps: list[dict[str, Any]], tally: Tally) -> list[str]:
    warnings = []
    for name, use in (("validation", "to choose the best weights by"), ("test", "to evaluate on")):
        if pairs[name] == 0:
            share = getattr(data, name)
            warnings.append(
                f"the {name} split is empty: nothing {use}. Give it some (of a source of files 'split: {name}', of a data set "
                f"of the hub 'splits'), or let pairs without a given split be "
                f"held out by hash: data.{name} (now {share}) is the share of these."
            )
    for overlap in overlaps:
        warnings.append(
            f"the source of {_pairs(overlap['pairs'])} of the given {overlap['split']} split is in {overlap['with']} too "
            f"(up to case, numbers, final punctuation): scores on them say less."
        )
    if held_out := tally.counts.get("held_out", 0):
        warnings.append(f"dropped {_pairs(held_out)} without a given split, whose source is in a given validation or test split.")
    return warnings


def report_lines(report: dict[str, Any]) -> list[str]:
    """The report as a table for a person."""
    lines = [f"{'source':44} {'read':>12} {'kept':>12}"]
    lines += [
        f"{_short(source['name'] + (' [' + source['tag'] + ']' if source['tag'] else ''))} {source['read']:>12,} {source['kept']:>12,}"
        for source in report["sources"]
    ]
    lines += ["", f"{'rule':20} {'':8} {'pairs':>9}   first example"]
    for name, rule in report["rules"].items():
        if rule["enabled"] and (rule["pairs"] or name != "held_out"):
            example = f"{rule['examples'][0]['source']!r} / {rule['examples'][0]['target']!r}" if rule["examples"] else ""
            lines.append(
                f"{name:20} {rule['effect']:8} {rule['pairs']:>9,}   {example if len(example) <= 80 else example[:77] + '...'}".rstrip()
            )
    lines += ["", f"{'split':12} {'pairs':>12}   characters, mean/median/95 %/max: source, target"]
    for name, split in report["splits"].items():
        sides = [split["source_characters"], split["target_characters"]]
        shown = "   ".join("/".join(f"{side[key]:g}" for key in ("mean", "median", "p95", "max")) for side in sides if side)
        lines.append(f"{name:12} {split['pairs']:>12,}   {shown}".rstrip())
    return [*lines, *(f"warning: {warning}" for warning in report["warnings"])]


def _short(name: str) -> str:
    """The name in 44 columns; of long paths only their ends."""
    if len(name) > 44:
        name = " + ".join(part.rsplit("/", 1)[-1] for part in name.split(" + "))
    return f"{name:44}" if len(name) <= 44 else "..." + name[-41:]


def _pairs(count: int) -> str:
    return f"{count:,} pair{'s' * (count != 1)}"
