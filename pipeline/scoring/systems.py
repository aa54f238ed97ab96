"""Systems that translated the same test set: their scores beside each other, in whole and in part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipeline.scoring.breakdowns import WITHOUT_SPACES, Part, bleu_by_confidence, bleu_by_group, bleu_by_length, bleu_by_rarity
from pipeline.scoring.metrics import Scores, score_systems
from pipeline.support.languages import base_language


@dataclass(frozen=True)
class TestSet:
    """Sentences to be translated.

    Attributes:
        sources: their texts; empty where only the references are known.
        references: a translation of each.
        tags: a label of each, which may be empty; or none at all.
        source_language, target_language: codes, empty where unknown; the latter decides about BLEU's tokenisation.
    """

    __test__ = False  # pytest takes it for one

    sources: Sequence[str]
    references: Sequence[str]
    tags: Sequence[str] = ()
    source_language: str = ""
    target_language: str = ""


@dataclass(frozen=True)
class Judged:
    """The translations of one system, and how good they are.

    Attributes:
        hypotheses: of each sentence.
        scores: of all of them.
        by_tag: (sentences, BLEU) of each tag, where there are several.
        by_length: the same by the source's length in words, the shortest first.
        by_rarity: the same by how often the source's rarest word was seen in training, the rarest first; empty where that is unknown, or
            its language has no spaces between words.
        by_confidence: the same of each quarter by the model's confidence, the least certain first; empty where that is unknown.
    """

    hypotheses: Sequence[str]
    scores: Scores
    by_tag: dict[str, Part]
    by_length: dict[str, Part]
    by_rarity: dict[str, Part]
    by_confidence: dict[str, Part]

    @property
    def parts(self) -> dict[str, dict[str, Part]]:
        """The breakdowns that there are, by what they go by."""
        found = {
            "tag": self.by_tag,
            "source words": self.by_length,
            "rarest word in training": self.by_rarity,
            "confidence": self.by_confidence,
        }
        return {name: part for name, part in found.items() if part}


def judge(
    test: TestSet,
    systems: Mapping[str, Sequence[str]],
    word_counts: Mapping[str, int] | None = None,
    tokenized: bool = False,
    confidences: Mapping[str, Sequence[float]] | None = None,
    comet: str | None = None,
) -> dict[str, Judged]:
    """Scores systems, each against the first.

    Args:
        test: what was translated.
        systems: name -> its translations.
        word_counts: how often each word of the source language was seen in training (`count_words`), if that is known.
        tokenized, comet: see `score_systems`.
        confidences: name -> the confidence of each translation, of all systems, if they are known.

    Raises:
        UserError: see `score_systems`.
    """
    scores = score_systems(systems, test.references, test.target_language, tokenized=tokenized, comet=comet, sources=test.sources)
    has_words = base_language(test.source_language) not in WITHOUT_SPACES

    def judged(name: str, hypotheses: Sequence[str]) -> Judged:
        texts, language = (test.sources, hypotheses, test.references), test.target_language
        return Judged(
            hypotheses,
            scores[name],
            by_tag=bleu_by_group(hypotheses, test.references, test.tags, language) if len(set(test.tags)) > 1 else {},
            by_length=bleu_by_length(*texts, language) if test.sources else {},
            by_rarity=bleu_by_rarity(*texts, word_counts, language) if test.sources and word_counts and has_words else {},
            by_confidence=bleu_by_confidence(confidences[name], hypotheses, test.references, language) if confidences else {},
        )

    return {name: judged(name, hypotheses) for name, hypotheses in systems.items()}


def score_table(systems: Mapping[str, Judged]) -> list[str]:
    """Scores with intervals, a line a system; below each but the first its differences to it, and their p; below all, the signatures."""
    first = next(iter(systems.values())).scores
    width = max(12, *map(len, systems))
    lines = [f"{'':{width}} {'sentences':>9} {'length':>7}" + "".join(f" {metric:>14}" for metric in first.metrics)]
    for name, judged in systems.items():
        scores = judged.scores
        cells = "".join(f" {f'{score.value:.2f} ±{score.interval:.2f}':>14}" for score in scores.metrics.values())
        lines.append(f"{name:{width}} {scores.sentences:>9,} {scores.length_ratio:>7.3f}{cells}")
        if scores.bleu.p_value is not None:
            compared = zip(scores.metrics.values(), first.metrics.values(), strict=True)
            cells = "".join(f" {f'{one.value - other.value:+.2f} p={one.p_value:.3f}':>14}" for one, other in compared)
            lines.append(f"{'':{width}} {'':9} {'':7}{cells}")
    return [*lines, "", *(f"{metric:9} {score.signature}" for metric, score in first.metrics.items())]


def part_tables(systems: Mapping[str, Judged]) -> list[str]:
    """BLEU of some of the sentences, a table for each breakdown, a blank line before each."""
    lines: list[str] = []
    for name in next(iter(systems.values())).parts:
        lines += ["", *_part_table(name, {system: judged.parts[name] for system, judged in systems.items()})]
    return lines


def _part_table(title: str, systems: Mapping[str, Mapping[str, Part]]) -> list[str]:
    """A column a part, a line a system."""
    first = next(iter(systems.values()))
    rows = [[title, *first], ["sentences", *(f"{sentences:,}" for sentences, _ in first.values())]]
    rows += [[f"BLEU {name}".rstrip(), *(f"{bleu:.2f}" for _, bleu in parts.values())] for name, parts in systems.items()]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]


def sample_indices(sentences: int, samples: int) -> list[int]:
    """Indices of sentences to show: spread evenly over all, the same every time, chosen by nothing else."""
    samples = min(samples, sentences)
    return [(2 * number + 1) * sentences // (2 * samples) for number in range(samples)]
