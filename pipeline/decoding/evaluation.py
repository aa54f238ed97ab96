"""A split or a pair of texts, translated and scored: what goes into evaluation.json and beside it.

Schema of evaluation.json, version 2:
    schema_version, source_language, target_language
    splits: {split: {
        sentences, bleu, bleu_signature, chrf, chrf_signature, ter, ter_signature, length_ratio     see scoring.Scores
        tokenized_bleu, tokenized_bleu_signature    with evaluation.tokenized_bleu: see scoring.tokenized_bleu
        bleu_by_tag: {tag: {sentences, bleu}}       where the split has several tags, else empty
        bleu_by_length: {"1-10": {sentences, bleu}} by words of the source: 1-10, 11-15, 16-20, 21-30, 31+, those that there are
        segmented: sentences longer than the model's limit, translated in segments
        seconds, sentences_per_second               of translating, loading apart
        decoding: that section of the config
        weights: sha256 of the weights; tokenizer: its fingerprint
        hypotheses: path in the run of the table of source, hypothesis, reference and tag }}
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.data.progress import Progress
from pipeline.decoding.scoring import Scores, bleu_by_group, bleu_by_length, check_sacremoses, score
from pipeline.support.errors import UserError
from pipeline.support.files import replacing

if TYPE_CHECKING:
    from pipeline.decoding.text_stream import TextTranslator

SCHEMA_VERSION = 2
HEADER = ("source", "hypothesis", "reference", "tag")
_CHUNK_BATCHES = 16
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


@dataclass(frozen=True)
class Evaluated:
    """Sentences with their translations, and how good those are.

    Attributes:
        sources, hypotheses, references, tags: as many of each, in order; a tag may be empty.
        scores: of all of them.
        bleu_by_tag: (sentences, BLEU) of each tag, where there are several.
        bleu_by_length: the same by the source's length in words, the shortest first.
        segmented: sources longer than the model's limit.
        seconds: of translating.
    """

    sources: list[str]
    hypotheses: list[str]
    references: list[str]
    tags: list[str]
    scores: Scores
    bleu_by_tag: dict[str, tuple[int, float]]
    bleu_by_length: dict[str, tuple[int, float]]
    segmented: int
    seconds: float


def evaluate(
    translator: TextTranslator,
    sources: Sequence[str],
    references: Sequence[str],
    tags: Sequence[str] = (),
    *,
    language: str = "",
    tokenized: bool = False,
    batch_sentences: int = 64,
    label: str = "translating",
) -> Evaluated:
    """Translates `sources` and scores the result.

    Args:
        translator: of lines of any length.
        sources: sentences.
        references: their translations, as many.
        tags: a label each, or none at all.
        language: code of the target language, for BLEU's tokenisation.
        tokenized: score the BLEU of tokenised text as well.
        batch_sentences: sentences decoded at once; progress moves by some such batches.
        label: what progress is called.

    Raises:
        UserError: no sentences, or another number of references, or sacremoses is needed and not installed.
    """
    if tokenized:
        check_sacremoses()
    if len(sources) != len(references):
        raise UserError(f"{len(sources):,} sources, but {len(references):,} references: they must match line by line.")
    hypotheses: list[str] = []
    segmented = 0

    def on_long_line(index: int, pieces: int, segments: int) -> None:
        nonlocal segmented
        segmented += 1

    start = time.monotonic()
    with Progress(label, "sentences") as progress:
        for chunk in _chunks(sources, batch_sentences * _CHUNK_BATCHES):
            hypotheses += translator.translate(chunk, on_long_line)
            progress.advance(len(chunk))
    seconds = time.monotonic() - start
    all_tags = list(tags) or [""] * len(sources)
    return Evaluated(
        sources=list(sources),
        hypotheses=hypotheses,
        references=list(references),
        tags=all_tags,
        scores=score(hypotheses, references, language, tokenized=tokenized),
        bleu_by_tag=bleu_by_group(hypotheses, references, all_tags, language) if len(set(all_tags)) > 1 else {},
        bleu_by_length=bleu_by_length(sources, hypotheses, references, language),
        segmented=segmented,
        seconds=seconds,
    )


def write_hypotheses(path: Path, result: Evaluated) -> None:
    """Writes the table of sources, hypotheses, references and tags: TSV with a header, whole or not at all.

    A tab, line break or backslash inside a text is written as \\t, \\n, \\r or \\\\, so that a line is always a sentence.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
        writer.writerow(HEADER)
        for row in zip(result.sources, result.hypotheses, result.references, result.tags, strict=True):
            writer.writerow([text.translate(_ESCAPES) for text in row])


def length_table(result: Evaluated) -> list[str]:
    """BLEU by the source's length: a column a bucket."""
    columns = [("source words", "sentences", "BLEU")]
    columns += [(name, f"{sentences:,}", f"{bleu:.2f}") for name, (sentences, bleu) in result.bleu_by_length.items()]
    return ["".join(f"{cell:>8}" if number else f"{cell:12}" for number, cell in enumerate(row)) for row in zip(*columns, strict=True)]


def sample_indices(sentences: int, samples: int) -> list[int]:
    """Indices of sentences to show: spread evenly over all, the same every time, chosen by nothing else."""
    samples = min(samples, sentences)
    return [(2 * number + 1) * sentences // (2 * samples) for number in range(samples)]


def sample_lines(result: Evaluated, samples: int, languages: tuple[str, str]) -> list[str]:
    """Some sentences with their translations and references, to read."""
    width = max(len("reference"), *map(len, languages))
    source, target = languages
    lines: list[str] = []
    for index in sample_indices(len(result.sources), samples):
        lines += [
            f"{source:{width}}  {result.sources[index]}",
            f"{target:{width}}  {result.hypotheses[index]}",
            f"{'reference':{width}}  {result.references[index]}",
            "",
        ]
    return lines


def _chunks(items: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
