"""All artefacts of a run, made in a folder and tried there; and the report of it.

Schema of report.json, version 2:
    schema_version, pocketnmt (version that wrote it), source_language, target_language
    weights: sha256 of the run's weights; tokenizer: its fingerprint; parameters: number of weights
    search: {beam_size, length_penalty, max_tokens, ...}    inside all artefacts: see `pipeline.decoding.search.Search`
    sentences: {split, count, source_tokens}            that were compared; source_tokens: their median, EOS not counted
    processor, bleu_signature                           what milliseconds and BLEU mean
    model: {bleu}                                       what the artefacts are compared with
    not_checked: why the loss of BLEU was not checked; null if it was (missing in reports of earlier programs)
    artefacts: {name: {
        path, bytes                 in export/; of a folder: of all its files
        ops: {operator: count}      of a .tflite, loops' bodies too; those of tflite_text/ have two that are not built in
        seconds                     of making it
        equal: sentences with the model's own ids (all of them, in float32)
        bleu: on the sentences; p_value: of its difference to the model's (`pipeline.scoring.metrics.Score`)
        score_difference: largest difference of a score from the model's
        milliseconds: median of a sentence alone, on one thread
        measured                    of tflite/: time and memory in a process of its own, see `pipeline.exporters.measured` }}
    seconds: of all
"""

from __future__ import annotations

import contextlib
import dataclasses
import platform
import statistics
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Set
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from pipeline import __version__
from pipeline.configuration import Config
from pipeline.data.subwords import EOS, PAD
from pipeline.decoding.translator import Translator
from pipeline.exporters import tflite, tflite_text
from pipeline.exporters.measured import measure_phone
from pipeline.exporters.parity import (
    Answers,
    Sentences,
    compared,
    demand_equal,
    demand_quality,
    keras_answers,
    phone_answers,
    saved_model_answers,
)
from pipeline.exporters.phone import file_of, write_phone_folder
from pipeline.exporters.report_page import SCHEMA_VERSION
from pipeline.exporters.saved_model import save_saved_model, size_of
from pipeline.exporters.sentences import choose_sentences
from pipeline.exporters.small_tables import small_tables
from pipeline.runtime.errors import UserError
from pipeline.runtime.translator import PhoneTranslator
from pipeline.scoring.metrics import bleu_signature
from pipeline.scoring.systems import sample_indices
from pipeline.support.files import disk_full, remove, sha256
from pipeline.support.quiet import quiet
from pipeline.support.run_directory import RunDirectory

_TIMED = 200

_SLACK = 1.02, 200_000
"""What the bytes of the weights may be exceeded by: a factor, and bytes for graph and names."""


def export_artefacts(config: Config, run: RunDirectory, folder: Path) -> dict[str, Any]:
    """Makes all artefacts that `config.export` asks for in `folder`, and tries them there.

    Args:
        config: of the run.
        run: trained.
        folder: gets saved_model/, tflite/ and tflite_text/, as far as they are asked for; must be there.

    Returns:
        The report, as the schema above has it.

    Raises:
        UserError: an artefact does not keep its promise, or the run is not trained; `folder` is then worth nothing.
    """
    if keras.backend.backend() != "tensorflow":
        raise UserError(
            f"export needs Keras on TensorFlow, but it runs on {keras.backend.backend()}. The weights are the same for all: "
            f"KERAS_BACKEND=tensorflow python -m pipeline.export --run {run.root}"
        )
    begun = time.monotonic()
    # An artefact gives the likeliest translation, one a sentence.
    searching = config.decoding.model_copy(update={"beam_size": config.export.beam_size, "best": 1, "sampling": None, "shortlist": None})
    # On the processor, where the artefacts are tried: a graphics card rounds products to fewer digits. Only this part: what is
    # traced in here stays there for ever, and a SavedModel may go to a server that has a graphics card.
    with tf.device("/CPU:0"):
        translator = Translator.load(run, config.model_copy(update={"decoding": searching}))
        sentences = choose_sentences(run, config, translator.tokenizer)
        expected = keras_answers(translator, sentences)

    artefacts: dict[str, dict[str, Any]] = {}
    kept_in = config.export.saved_model_weights
    if config.export.saved_model:
        with _timed() as seconds, quiet(), _disk(run):
            parts = translator.model, translator.tokenizer, translator.search, config.data.cleaning
            save_saved_model(*parts, folder / "saved_model", kept_in, config.export.saved_model_xla)
        artefacts["saved_model"] = {"path": "saved_model", "bytes": size_of(folder / "saved_model"), "seconds": seconds()}
        _check_size("saved_model", size_of(folder / "saved_model" / "variables"), translator, tf.as_dtype(kept_in).size)
        # Nothing else is at work meanwhile: the times are those of a sentence alone.
        found = saved_model_answers(folder / "saved_model", sentences, EOS, PAD)
        if kept_in == "float32":
            demand_equal("saved_model", sentences, expected, found)
        artefacts["saved_model"] |= compared(sentences, expected, found)
    if config.export.tflite:
        artefacts |= _export_tflite(config, run, translator, sentences, expected, folder / "tflite")
    if config.export.tflite_text:
        artefacts |= _export_with_text(config, run, translator, sentences, expected, folder / "tflite_text")
    bleu = sentences.bleu(expected.texts)
    not_checked = demand_quality(artefacts, bleu, config.export.max_bleu_loss, len(sentences.texts))

    return {
        "schema_version": SCHEMA_VERSION,
        "pocketnmt": __version__,
        "source_language": config.data.source_language,
        "target_language": config.data.target_language,
        "weights": sha256(run.best_weights),
        "tokenizer": translator.tokenizer.fingerprint,
        "parameters": translator.model.count_params(),
        "search": translator.search.described(),
        "sentences": {
            "split": sentences.split,
            "count": len(sentences.texts),
            "source_tokens": statistics.median(map(len, sentences.source_ids)),
        },
        "processor": _processor(),
        "bleu_signature": bleu_signature(sentences.language),
        "model": {"bleu": round(bleu, 4)},
        "not_checked": not_checked,
        "artefacts": artefacts,
        "seconds": round(time.monotonic() - begun, 2),
    }


def _export_tflite(
    config: Config, run: RunDirectory, translator: Translator, sentences: Sentences, expected: Answers, folder: Path
) -> dict[str, dict[str, Any]]:
    """Makes and tries the .tflite files; gives back their part of the report.

    float32 is made even where it is not asked for: it alone can prove that the graph is right.
    """
    wanted: list[str] = list(dict.fromkeys(config.export.tflite))
    models: dict[str, bytes] = {}
    artefacts: dict[str, dict[str, Any]] = {}

    def traced() -> contextlib.AbstractContextManager[Path]:
        return tflite.traced(translator.model, translator.search, config.model.max_tokens, config.export.batch_sentences)

    for precision, content, seconds in _converted(translator, traced, dict.fromkeys(["float32", *wanted])):
        models[precision] = content
        artefacts[f"tflite/{precision}"] = {
            "path": f"tflite/{file_of(precision)}",
            "bytes": len(content),
            "ops": tflite.operators(content),
            "seconds": seconds,
        }
    _check_size("float32.tflite", len(models["float32"]), translator)

    with _disk(run):
        write_phone_folder(folder, models, translator.tokenizer, translator.search, config)
    for precision in models:
        with quiet():
            phone = PhoneTranslator(folder, precision)
            found = phone_answers(phone, sentences)
        if precision == "float32":
            demand_equal(file_of(precision), sentences, expected, found)
            if phone.together > 1:
                many = phone.translate_many(sentences.source_ids)
                together = dataclasses.replace(found, ids=[one.ids for one in many], scores=[one.score for one in many])
                demand_equal(f"{file_of(precision)}, {phone.together} at once", sentences, expected, together)
        artefacts[f"tflite/{precision}"] |= compared(sentences, expected, found)
        # Some, spread over the lengths: a few hundred say enough of the time.
        some = [sentences.texts[index] for index in sample_indices(len(sentences.texts), _TIMED)]
        artefacts[f"tflite/{precision}"]["measured"] = measure_phone(folder, precision, some)
    if "float32" not in wanted:
        remove(folder)
        write_phone_folder(folder, {name: models[name] for name in wanted}, translator.tokenizer, translator.search, config)
        del artefacts["tflite/float32"]
    return artefacts


def _export_with_text(
    config: Config, run: RunDirectory, translator: Translator, sentences: Sentences, expected: Answers, folder: Path
) -> dict[str, dict[str, Any]]:
    """Makes and tries the .tflite files with text in and out; gives back their part of the report. float32: as above."""

    def traced() -> contextlib.AbstractContextManager[Path]:
        return tflite_text.traced_with_text(translator.model, translator.search, translator.tokenizer)

    folder.mkdir()
    wanted: Collection[str] = config.export.tflite_text
    artefacts = {}
    for precision, content, seconds in _converted(translator, traced, dict.fromkeys(["float32", *wanted]), tflite_text.OPERATORS):
        name = file_of(precision)
        with quiet():
            found = tflite_text.text_answers(tflite_text.TextInterpreter(content), sentences, translator.tokenizer)
        if precision == "float32":
            demand_equal(f"{folder.name}/{name}", sentences, expected, found)
        if precision not in wanted:
            continue
        with _disk(run):
            (folder / name).write_bytes(content)
        artefacts[f"{folder.name}/{precision}"] = {
            "path": f"{folder.name}/{name}",
            "bytes": len(content),
            "ops": tflite.operators(content),
            "seconds": seconds,
            **compared(sentences, expected, found),
        }
    return artefacts


def _converted(
    translator: Translator,
    traced: Callable[[], contextlib.AbstractContextManager[Path]],
    precisions: Iterable[str],
    extra: Set[str] = frozenset(),
) -> list[tuple[str, bytes, float]]:
    """The content of the file of each precision, and the seconds of making it.

    Args:
        translator: has the model.
        traced: makes the graph that is converted.
        precisions, extra: see `tflite.convert`.
    """
    made = []
    for small, group in ((False, [one for one in precisions if one != "int8"]), (True, [one for one in precisions if one == "int8"])):
        if not group:
            continue
        with quiet(), contextlib.ExitStack() as stack:
            if small:
                stack.enter_context(small_tables(translator.model))
            graph = stack.enter_context(traced())
            for precision in group:
                with _timed() as seconds:
                    content = tflite.convert(graph, precision, extra)
                made.append((precision, content, seconds()))
    return made


def _check_size(name: str, found: int, translator: Translator, bytes_a_weight: int = 4) -> None:
    factor, extra = _SLACK
    weights = translator.model.count_params() * bytes_a_weight
    if found > weights * factor + extra:
        raise UserError(
            f"{name}: has {found:,} bytes, but the {translator.model.count_params():,} weights take only {weights:,}: some are stored "
            "twice. Nothing was exported; please report it."
        )


@contextlib.contextmanager
def _timed() -> Iterator[Any]:
    """Yields a function: seconds since the block began, until it ended."""
    start, end = time.monotonic(), None
    yield lambda: round((end or time.monotonic()) - start, 2)
    end = time.monotonic()


@contextlib.contextmanager
def _disk(run: RunDirectory) -> Iterator[None]:
    """Says a full disk as the rest of this program does; TensorFlow has an error of its own for it."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if "space" not in str(error).lower():
            raise
        raise disk_full(run.export) from error


def _processor() -> str:
    """The processor's name, as far as the system tells."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
