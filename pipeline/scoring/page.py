"""One page, complete in itself, that shows how good translations are: scores, charts, and sentences with their mistakes marked."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from pipeline import __version__
from pipeline.scoring.charts import grouped_bars
from pipeline.scoring.metrics import sentence_scores
from pipeline.scoring.systems import Judged, TestSet, sample_indices
from pipeline.support.pages import rendered

SHOWN = 15
"""Sentences of a kind."""

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


@dataclass(frozen=True)
class Shown:
    """A sentence on the page.

    Attributes:
        number: of the sentence, from 1.
        source, reference: texts; in the reference, what no system has is marked.
        translations: (system, its text with what the reference has not marked, its chrF++).
    """

    number: int
    source: str
    reference: Markup
    translations: list[tuple[str, Markup, float]]


def evaluation_page(title: str, test: TestSet, systems: Mapping[str, Judged], facts: Mapping[str, str] | None = None) -> str:
    """The page as HTML.

    Args:
        title: its heading.
        test: what was translated.
        systems: name -> its translations, scored; others are compared with the first.
        facts: what else there is to know of the first, such as its settings.
    """
    first = next(iter(systems.values()))
    return rendered(
        "pipeline.scoring",
        "page.html.j2",
        title=title,
        version=__version__,
        test=test,
        systems=systems,
        first=first,
        facts=facts or {},
        charts=[_chart(systems, name) for name in first.parts],
        examples=_examples(test, systems),
    )


def _chart(systems: Mapping[str, Judged], part: str) -> tuple[str, Markup]:
    groups = next(iter(systems.values())).parts[part]
    names = [f"{name or 'none'}\n({sentences:,})" for name, (sentences, _) in groups.items()]
    bars = {name: [bleu for _, bleu in judged.parts[part].values()] for name, judged in systems.items()}
    return f"BLEU by {part}", Markup(grouped_bars(names, bars, f"{part} (sentences)", "BLEU"))


def _examples(test: TestSet, systems: Mapping[str, Judged]) -> list[tuple[str, list[Shown]]]:
    """Headings with the sentences below them: the most improved and harmed of each further system, or the worst of a single one."""
    found = {name: sentence_scores(judged.hypotheses, test.references) for name, judged in systems.items()}
    baseline, *others = systems
    examples = []
    for name in others:
        changes = [(new - old, number) for number, (new, old) in enumerate(zip(found[name], found[baseline], strict=True)) if new != old]
        pair = (baseline, name)
        for heading, ordered in (("improved", sorted(changes, key=lambda change: -change[0])), ("harmed", sorted(changes))):
            chosen = [number for change, number in ordered[:SHOWN] if (change > 0) == (heading == "improved")]
            examples.append((f"Most {heading} by {name}", [_shown(test, systems, found, number, pair) for number in chosen]))
    if not others:
        scores = found[baseline]
        worst = sorted(range(len(scores)), key=lambda number: scores[number])[:SHOWN]
        spread = sample_indices(len(scores), SHOWN)
        examples = [
            ("Some, spread evenly", [_shown(test, systems, found, number, (baseline,)) for number in spread]),
            ("The worst", [_shown(test, systems, found, number, (baseline,)) for number in worst]),
        ]
    return [(heading, shown) for heading, shown in examples if shown]


def _shown(test: TestSet, systems: Mapping[str, Judged], found: Mapping[str, Sequence[float]], number: int, names: Sequence[str]) -> Shown:
    reference = test.references[number]
    hypotheses = [systems[name].hypotheses[number] for name in names]
    missing = set.intersection(*(_differences(reference, hypothesis) for hypothesis in hypotheses))
    return Shown(
        number + 1,
        test.sources[number] if test.sources else "",
        _marked(reference, missing),
        [
            (name, _marked(hypothesis, _differences(hypothesis, reference)), found[name][number])
            for name, hypothesis in zip(names, hypotheses, strict=True)
        ],
    )


def _differences(text: str, other: str) -> set[int]:
    """Places of the words of `text` that have no counterpart, in this order, in `other`."""
    words, others = _WORDS.findall(text), _WORDS.findall(other)
    blocks = difflib.SequenceMatcher(None, words, others, autojunk=False).get_matching_blocks()
    same = {place for block in blocks for place in range(block.a, block.a + block.size)}
    return {place for place, word in enumerate(words) if place not in same and not word.isspace()}


def _marked(text: str, places: set[int]) -> Markup:
    parts: list[Any] = [
        Markup("<mark>{}</mark>").format(word) if place in places else escape(word) for place, word in enumerate(_WORDS.findall(text))
    ]
    return Markup("").join(parts)
