"""Texts translated and scored: what goes into evaluation.json and beside it.

Schema of evaluation.json, version 4:
    schema_version, source_language, target_language
    splits: {split: {
        sentences, length_ratio
        bleu, bleu_interval, bleu_signature; the same of chrf (chrF++), ter and, with evaluation.tokenized_bleu and .comet, tokenized_bleu
            and comet: see pipeline.scoring.metrics.Scores; an interval is 95 %, a value plus or minus this
        bleu_by_tag: {tag: {sentences, bleu}}       where the split has several tags, else empty
        bleu_by_length: {"1-10": {sentences, bleu}} by words of the source: 1-10, 11-15, 16-20, 21-30, 31+, those that there are
        bleu_by_rarity: {"0": {sentences, bleu}}    by occurrences of its rarest word in training: 0, 1-5, 6-20, 21-100, 101+
        bleu_by_confidence: {"1: 0.12-0.40": {sentences, bleu}} of each quarter of the sentences, the least certain first
        confidence_correlation                      of confidence and chrF++ of the sentences, Spearman's
        placeholders: {sentences, intact}           sources with any; whose translation has each exactly as often
        segmented: sentences longer than the model's limit, translated in segments
        cut: translations that reached decoding.max_tokens before their end
        seconds, sentences_per_second               of translating, loading apart
        decoding: that section of the config
        weights: sha256 of the weights; tokenizer: its fingerprint
        hypotheses: path in the run of the table of source, hypothesis, reference and tag }}
"""

from __future__ import annotations

import csv
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.configuration import Config
from pipeline.data.corpus import load_split
from pipeline.data.progress import Progress
from pipeline.decoding.text_stream import Line, TextTranslator, clean_line
from pipeline.runtime.errors import UserError
from pipeline.runtime.slots import Slots
from pipeline.scoring.breakdowns import count_words, rank_correlation
from pipeline.scoring.comet import check_command
from pipeline.scoring.metrics import sentence_scores
from pipeline.scoring.moses import check_sacremoses
from pipeline.scoring.systems import Judged, TestSet, judge, sample_indices
from pipeline.support.files import replacing
from pipeline.support.run_directory import RunDirectory

SCHEMA_VERSION = 4
HEADER = ("source", "hypothesis", "reference", "tag")
_CHUNK_BATCHES = 16
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_ESCAPED = re.compile(r"\\([\\tnr])")
_ORIGINALS = {"\\": "\\", "t": "\t", "n": "\n", "r": "\r"}


@dataclass(frozen=True)
class Evaluated:
    """A test set with its translations, and how good those are.

    Attributes:
        test: what was translated.
        judged: the translations and their scores.
        confidence_correlation: Spearman's, of the confidences and the sentences' chrF++: how well it tells good from bad.
        placeholders: sources that have any, and how many of these have a translation with each exactly as often.
        segmented: sources longer than the model's limit.
        cut: translations that reached their limit of tokens before their end.
        seconds: of translating.
    """

    test: TestSet
    judged: Judged
    confidence_correlation: float
    placeholders: tuple[int, int]
    segmented: int
    cut: int
    seconds: float


def evaluate_splits(config: Config, run: RunDirectory, load: Callable[[], TextTranslator]) -> dict[str, Evaluated]:
    """Translates the splits of config.evaluation, and scores them.

    Args:
        config, run: of the splits.
        load: gives what translates; called when all is known to be there that is needed for the scores.

    Raises:
        UserError: a split is empty; or see `judge`.
    """
    check_metrics(config.evaluation.tokenized_bleu, config.evaluation.comet)
    tests = {str(split): test_set_of(run, split, config) for split in config.evaluation.splits}
    for split, test in tests.items():
        check_not_empty(run, split, len(test.sources))
    translator = load()
    word_counts = word_counts_of(run)
    return {split: evaluate_test_set(translator, test, config, word_counts, f"translating {split}") for split, test in tests.items()}


def check_not_empty(run: RunDirectory, split: str, sentences: int) -> None:
    """Makes sure that a split has sentences to evaluate.

    Raises:
        UserError: it has none.
    """
    if not sentences:
        raise UserError(
            f"{run.split(split)}: has no sentences to evaluate. Evaluate another split, such as evaluation.splits=[validation], or "
            f"have some: a source 'split: {split}', or pairs held out by hash (data.{split} is their share)."
        )


def check_metrics(tokenized: bool, comet: str | None) -> None:
    """Makes sure that what scores is at hand: better before all is translated than after.

    Raises:
        UserError: it is not.
    """
    if tokenized:
        check_sacremoses()
    if comet is not None:
        check_command(comet)


def evaluate_test_set(
    translator: TextTranslator, test: TestSet, config: Config, word_counts: Mapping[str, int] | None, label: str = "translating"
) -> Evaluated:
    """Translates a test set and scores the result; see `evaluate`."""
    return evaluate(
        translator,
        test,
        word_counts=word_counts,
        tokenized=config.evaluation.tokenized_bleu,
        comet=config.evaluation.comet,
        batch_sentences=config.decoding.batch_sentences,
        label=label,
    )


def test_set_of(run: RunDirectory, split: str, config: Config) -> TestSet:
    """A split of a run as a test set."""
    table = load_split(run, split)
    languages = config.data.source_language, config.data.target_language
    return TestSet(list(table["source"]), list(table["target"]), list(table["tag"]), *languages)


def word_counts_of(run: RunDirectory) -> Counter[str] | None:
    """Of the sources that a run has learnt from, if they are there."""
    if not run.split("train").exists():
        return None
    rows = load_split(run, "train").select_columns(["source"]).iter(batch_size=10_000)
    return count_words(text for batch in rows for text in batch["source"])


def evaluate(
    translator: TextTranslator,
    test: TestSet,
    *,
    word_counts: Mapping[str, int] | None = None,
    tokenized: bool = False,
    comet: str | None = None,
    batch_sentences: int = 128,
    label: str = "translating",
) -> Evaluated:
    """Translates a test set and scores the result.

    Args:
        translator: of lines of any length.
        test: the sentences.
        word_counts, tokenized, comet: see `judge`.
        batch_sentences: sentences decoded at once; progress moves by some such batches.
        label: what progress is called.

    Raises:
        UserError: no sentences, or another number of references, or sacremoses is needed and not installed.
    """
    check_metrics(tokenized, comet)
    if len(test.sources) != len(test.references):
        raise UserError(f"{len(test.sources):,} sources, but {len(test.references):,} references: they must match line by line.")
    lines: list[Line] = []
    segmented = cut = 0

    def on_long_line(index: int, pieces: int, segments: int) -> None:
        nonlocal segmented
        segmented += 1

    def on_cut_line(index: int) -> None:
        nonlocal cut
        cut += 1

    start = time.monotonic()
    with Progress(label, "sentences") as progress:
        for chunk in _chunks(test.sources, batch_sentences * _CHUNK_BATCHES):
            lines += [found[0] for found in translator.alternatives(chunk, None, on_long_line, on_cut_line)]
            progress.advance(len(chunk))
    seconds = time.monotonic() - start
    hypotheses, confidences = [line.text for line in lines], [line.confidence for line in lines]
    judged = judge(test, {"": hypotheses}, word_counts, tokenized, {"": confidences}, comet)[""]
    correlation = rank_correlation(confidences, sentence_scores(hypotheses, test.references))
    cleaned = [clean_line(source, translator.cleaning) for source in test.sources]  # placeholders are copied as they are then
    intact = placeholders_intact(translator.slots, cleaned, hypotheses)
    return Evaluated(test, judged, correlation, intact, segmented, cut, seconds)


def placeholders_intact(slots: Slots, sources: Sequence[str], hypotheses: Sequence[str]) -> tuple[int, int]:
    """Sources that have placeholders, and how many of these have a translation with the same ones, each exactly as often."""
    wanted = [slots.count(source) for source in sources]
    found = [slots.count(hypothesis) if some else some for some, hypothesis in zip(wanted, hypotheses, strict=True)]
    return sum(map(bool, wanted)), sum(bool(some) and some == others for some, others in zip(wanted, found, strict=True))


def write_hypotheses(path: Path, test: TestSet, hypotheses: Sequence[str]) -> None:
    """Writes the table of sources, hypotheses, references and tags: TSV with a header, whole or not at all.

    A tab, line break or backslash inside a text is written as \\t, \\n, \\r or \\\\, so that a line is always a sentence.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
        writer.writerow(HEADER)
        tags = test.tags or [""] * len(test.sources)
        for row in zip(test.sources, hypotheses, test.references, tags, strict=True):
            writer.writerow([text.translate(_ESCAPES) for text in row])


def read_hypotheses(path: Path) -> tuple[list[str], list[str], list[str], list[str]]:
    """Reads what `write_hypotheses` wrote: sources, hypotheses, references, tags.

    Raises:
        UserError: the file is damaged.
    """
    try:
        rows = path.read_text(encoding="utf-8").split("\n")[1:-1]
        fields = [[_ESCAPED.sub(lambda found: _ORIGINALS[found[1]], field) for field in row.split("\t")] for row in rows]
        sources, hypotheses, references, tags = (list(column) for column in zip(*fields, strict=True)) if fields else ([], [], [], [])
    except ValueError:  # bytes that are no UTF-8, too
        raise UserError(f"{path}: is damaged (expected four columns, tabs between them). Remove it and evaluate again.") from None
    return sources, hypotheses, references, tags


def sample_lines(result: Evaluated, samples: int) -> list[str]:
    """Some sentences with their translations and references, to read."""
    source, target = result.test.source_language or "source", result.test.target_language or "target"
    width = max(map(len, ("reference", source, target)))
    lines: list[str] = []
    test, hypotheses = result.test, result.judged.hypotheses
    for index in sample_indices(len(hypotheses), samples):
        lines += [
            f"{source:{width}}  {test.sources[index]}",
            f"{target:{width}}  {hypotheses[index]}",
            f"{'reference':{width}}  {test.references[index]}",
            "",
        ]
    return lines


def _chunks(items: Sequence[str], size: int) -> Iterator[list[str]]:
    for start in range(0, len(items), size):
        yield list(items[start : start + size])
