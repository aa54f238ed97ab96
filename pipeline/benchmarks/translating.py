"""How fast a run translates here: many sentences at once, and one at a time."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.configuration import Config
from pipeline.data.corpus import load_split
from pipeline.data.subwords import Tokenizer
from pipeline.decoding.text_stream import SentenceTranslator
from pipeline.exporters.engines import LiteRTEngine, check_export
from pipeline.exporters.phone import file_of
from pipeline.runtime.errors import UserError
from pipeline.runtime.translator import SMALLEST_FIRST
from pipeline.scoring.metrics import corpus_bleu
from pipeline.support.run_directory import RunDirectory

_ONES = 50
"""Sentences translated one at a time, a round."""


@dataclass(frozen=True)
class Measured:
    """How fast one engine was.

    Attributes:
        engine: what translated.
        beam_size: of its search.
        sentences_per_second: all at once; median of the rounds.
        tokens_per_second: target tokens, EOS counted; the same.
        milliseconds: of one sentence of the asked length, alone: the median of all.
        slowest: the 95th percentile of these.
        bleu: of the translations.
    """

    engine: str
    beam_size: int
    sentences_per_second: float
    tokens_per_second: float
    milliseconds: float
    slowest: float
    bleu: float


def measure(
    config: Config,
    run: RunDirectory,
    beams: Sequence[int],
    precisions: Sequence[str],
    sentences: int,
    length: int,
    rounds: int,
    exported: Sequence[str],
) -> list[Measured]:
    """Translates the test split with the model, at each beam and in each precision, and with the exported files, in turns.

    Args:
        config, run: trained, and exported where `exported` names something.
        beams: of the model's search.
        precisions: of its matrix products.
        sentences: of the test split, the first ones that are within the model's limit.
        length: pieces of the sentences that are translated one at a time, or as near to that as there are.
        rounds: of each, after one that warms up.
        exported: precisions of the exported files; their beam is what they were exported with. One sentence takes one thread there, many
            take all.

    Raises:
        UserError: the run is not trained, or was exported with other weights; or its test split is empty.
    """
    if exported:
        check_export(run)
    tokenizer = Tokenizer.load(run.tokenizer)
    table = load_split(run, "test")
    encoded, _ = tokenizer.encode_source(list(table["source"]))
    fitting = [index for index, ids in enumerate(encoded) if 0 < len(ids) <= config.model.max_tokens][:sentences]
    if not fitting:
        raise UserError(f"{run.split('test')}: has no sentences to translate.")
    sources, references = ([table[side][index] for index in fitting] for side in ("source", "target"))
    by_length = sorted(fitting, key=lambda index: abs(len(encoded[index]) - length))
    ones = [table["source"][index] for index in by_length[:_ONES]]

    engines: list[tuple[str, int, SentenceTranslator]] = [
        (f"keras {precision}", beam, _keras(config, run, beam, precision)) for beam in beams for precision in precisions
    ]
    for file in (LiteRTEngine(run.tflite, precision) for precision in exported):
        engines.append((f"litert {file.precision}", int(file.search["beam_size"]), file))
    bulk: dict[int, list[float]] = {place: [] for place in range(len(engines))}
    single: dict[int, list[float]] = {place: [] for place in range(len(engines))}
    found: dict[int, list[tuple[str, int]]] = {}
    for number in range(rounds + 1):
        for place, (_, _, engine) in enumerate(engines):
            seconds, texts = _timed(engine, sources)
            each = [1000 * _timed(engine, [one])[0] for one in ones]
            if number:
                bulk[place].append(seconds)
                single[place] += each
            found[place] = texts
    return [
        Measured(
            name,
            beam,
            len(sources) / statistics.median(bulk[place]),
            sum(tokens for _, tokens in found[place]) / statistics.median(bulk[place]),
            statistics.median(single[place]),
            float(np.percentile(single[place], 95)),
            corpus_bleu([text for text, _ in found[place]], references, config.data.target_language),
        )
        for place, (name, beam, _) in enumerate(engines)
    ]


def exported_precisions(run: RunDirectory) -> list[str]:
    """Of the .tflite files that a run has, the largest first."""
    return [name for name in reversed(SMALLEST_FIRST) if (run.tflite / file_of(name)).is_file()]


def _keras(config: Config, run: RunDirectory, beam_size: int, precision: str) -> SentenceTranslator:
    from pipeline.decoding.translator import Translator

    decoding = config.decoding.model_copy(update={"beam_size": beam_size, "best": 1})
    return Translator.load(run, config.model_copy(update={"decoding": decoding}), precision=precision)


def _timed(engine: SentenceTranslator, sources: list[str]) -> tuple[float, list[tuple[str, int]]]:
    """Seconds, and of each translation its text and tokens."""
    start = time.perf_counter()
    answers = engine.alternatives(sources, None)
    seconds = time.perf_counter() - start
    return seconds, [(answer[0].text, answer[0].tokens) for answer in answers]
