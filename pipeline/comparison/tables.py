"""The results side by side: as Markdown to read, as JSON to compute with.

Schema of comparison.json, version 1:
    schema_version, name, base
    variations: [{
        name, changes                           its own ones, "section.key" -> value
        run                                     its folder, beside this file
        failure                                 what went wrong, in words, else null
        result: null where it is not done, else {
            parameters, updates, minutes, tokens_per_second, validation_bleu    see results.Result
            splits: {split: as in evaluation.json}
            difference: {split: BLEU less that of the first variation}          null where that one is not done, or has other sentences }}]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from pipeline.comparison.plan import Plan
from pipeline.comparison.results import Result

SCHEMA_VERSION = 1
NOTHING = "–"


def as_json(plan: Plan, results: dict[str, Result], failures: dict[str, str]) -> dict[str, Any]:
    """What comparison.json holds; `results` and `failures` are by name of the variation."""
    first = results.get(plan.variations[0].name)

    def described(name: str) -> dict[str, Any] | None:
        result = results.get(name)
        if result is None:
            return None
        return asdict(result) | {"difference": {split: _difference(result, first, split) for split in result.splits}}

    return {
        "schema_version": SCHEMA_VERSION,
        "name": plan.folder.name,
        "base": str(plan.base),
        "variations": [
            {
                "name": variation.name,
                "changes": variation.changes,
                "run": variation.run.root.name,
                "failure": failures.get(variation.name),
                "result": described(variation.name),
            }
            for variation in plan.variations
        ],
    }


def as_markdown(plan: Plan, results: dict[str, Result], failures: dict[str, str]) -> str:
    """The tables of a comparison: the variations, and their BLEU by the source's length."""
    splits = list(dict.fromkeys(split for result in results.values() for split in result.splits))
    signatures = dict.fromkeys(
        f"{title}: `{row[key]}`"
        for result in results.values()
        for row in result.splits.values()
        for title, key in (("BLEU", "bleu_signature"), ("tok", "tokenized_bleu_signature"))
        if key in row
    )
    parts = [[f"# {plan.folder.name}"], _main_table(plan, results, failures, splits), [f"- {line}" for line in signatures]]
    for split in splits:
        parts += [[f"BLEU on {split} by the source's length in words (sentences):"], _length_table(plan, results, split)]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _main_table(plan: Plan, results: dict[str, Result], failures: dict[str, str], splits: Sequence[str]) -> list[str]:
    first = results.get(plan.variations[0].name)
    tokenized = [split for split in splits if any("tokenized_bleu" in result.splits.get(split, {}) for result in results.values())]
    heading = ["variation", "parameters", "updates", "minutes", "tokens/s", "validation BLEU (greedy)"]
    for split in splits:
        heading += [f"{split} BLEU", *([f"{split} BLEU tok"] if split in tokenized else []), "difference"]
    rows = [heading]
    for variation in plan.variations:
        result = results.get(variation.name)
        if result is None:
            state = "failed" if variation.name in failures else "not done"
            rows.append([variation.name, state, *[NOTHING] * (len(heading) - 2)])
            continue
        row = [variation.name, f"{result.parameters:,}", f"{result.updates:,}", f"{result.minutes:.1f}", f"{result.tokens_per_second:,.0f}"]
        row.append(f"{result.validation_bleu:.2f}")
        for split in splits:
            scores = result.splits.get(split, {})
            row.append(_number(scores.get("bleu"), ".2f"))
            if split in tokenized:
                row.append(_number(scores.get("tokenized_bleu"), ".2f"))
            row.append("" if result is first else _number(_difference(result, first, split), "+.2f"))
        rows.append(row)
    return _markdown(rows)


def _length_table(plan: Plan, results: dict[str, Result], split: str) -> list[str]:
    done = [variation.name for variation in plan.variations if split in getattr(results.get(variation.name), "splits", {})]
    found = {name: results[name].splits[split]["bleu_by_length"] for name in done}
    # The data may be a variation as well; then the number of sentences is that of the first one.
    sentences = {bucket: row["sentences"] for lengths in reversed(found.values()) for bucket, row in lengths.items()}
    buckets = sorted(sentences, key=lambda bucket: int(bucket.rstrip("+").split("-")[0]))
    rows = [["variation", *(f"{bucket} ({sentences[bucket]:,})" for bucket in buckets)]]
    for variation in plan.variations:
        if variation.name in found:
            lengths = found[variation.name]
            rows.append([variation.name, *(_number(lengths.get(bucket, {}).get("bleu"), ".2f") for bucket in buckets)])
    return _markdown(rows)


def _difference(result: Result, first: Result | None, split: str) -> float | None:
    """BLEU less that of the first; None where one of the two is not there, or they have other sentences, as where the data vary."""
    if first is None or split not in result.splits or split not in first.splits or not _same_sentences(result, first, split):
        return None
    return round(result.splits[split]["bleu"] - first.splits[split]["bleu"], 4)


def _same_sentences(result: Result, other: Result, split: str) -> bool:
    """As far as their number tells, at each length."""
    ours, theirs = ({bucket: row["sentences"] for bucket, row in one.splits[split]["bleu_by_length"].items()} for one in (result, other))
    return ours == theirs


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def _markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table that is one to the eye as well: names to the left, numbers to the right."""
    widths = [max(3, *(len(row[column]) for row in rows)) for column in range(len(rows[0]))]
    ruler = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]

    def line(row: Sequence[str]) -> str:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        return f"| {' | '.join(cells)} |"

    return [line(row) for row in (rows[0], ruler, *rows[1:])]
