"""What translates for a command: the Keras model, or the run's exported .tflite file, one interpreter a core."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from pipeline.configuration import Config
from pipeline.data.subwords import UNK, Tokenizer
from pipeline.decoding.text_stream import TextTranslator
from pipeline.decoding.translation import NOTHING, Translation
from pipeline.runtime.errors import UserError
from pipeline.support.cores import cores
from pipeline.support.files import read_json, sha256
from pipeline.support.quiet import quiet
from pipeline.support.run_directory import RunDirectory

if TYPE_CHECKING:
    from pipeline.runtime.translator import Found, PhoneTranslator


def load_translator(run: RunDirectory, config: Config, *others: RunDirectory, glossary: Path | None = None) -> TextTranslator:
    """The translator of a run by the engine that `config.decoding.engine` names; see `TextTranslator.load`.

    Raises:
        UserError: see there; or the run is not exported, or its .tflite file cannot do what is asked for.
    """
    if config.decoding.engine == "keras":
        return TextTranslator.load(run, config, *others, glossary=glossary)
    if others:
        raise UserError("decoding.engine: litert translates with one model; leave --ensemble out, or set it to keras.")
    if glossary is not None:
        raise UserError("decoding.engine: a .tflite file knows no glossary; set it to keras.")
    tokenizer = Tokenizer.load(run.tokenizer, config.decoding.unknown)
    check_export(run)
    engine = LiteRTEngine(run.tflite, config.decoding.precision)
    if engine.subwords != {tokenizer.source.sha256, tokenizer.target.sha256}:
        raise UserError(
            f"{run.export}: was made with another tokenizer than the run's. Export again: python -m pipeline.export --run {run.root}"
        )
    wanted = config.decoding.model_dump(include=set(engine.search)) | {"best": 1}
    wanted["slots"] = tokenizer.slots.size if config.decoding.keep_placeholders else 0
    wanted["unknown"] = config.decoding.unknown
    exported = engine.search | {"unknown": engine.unknown}
    if differing := [f"{key} {exported.get(key)} instead of {value}" for key, value in wanted.items() if exported.get(key) != value]:
        raise UserError(
            f"{run.export}: its .tflite files search with {', '.join(differing)}. Export again with these settings "
            "(the beam is export.beam_size), or change section decoding."
        )
    if config.decoding.best > 1 or config.decoding.sampling is not None:
        raise UserError("decoding.engine: a .tflite file gives the likeliest translation alone; decoding.best and .sampling need keras.")
    return TextTranslator(engine, tokenizer.count, engine.limit, tokenizer.slots, config.data.cleaning)


def check_export(run: RunDirectory) -> None:
    """Makes sure that what is exported is the run's own; of a run that was copied without its weights, nothing can be said.

    Raises:
        UserError: it was made from other weights.
    """
    if not (run.export_report.is_file() and run.best_weights.is_file()):
        return
    if read_json(run.export_report).get("weights") != sha256(run.best_weights):
        raise UserError(
            f"{run.export}: was made from other weights than the run's. Export again: python -m pipeline.export --run {run.root}"
        )


class LiteRTEngine:
    """Translates sentences with a .tflite file; a `pipeline.decoding.text_stream.SentenceTranslator`.

    Args:
        folder: `export/tflite/` of a run.
        precision: which of its files; None = the smallest.
        threads: interpreters at work side by side, each on a thread of its own; None = one for each core.

    Attributes:
        precision: of the file.
        search, unknown: the settings of its search, and of text without pieces (`decoding.unknown`).
        limit: longest sentence in pieces, EOS not counted.
        subwords: hashes of the SentencePiece models beside it.

    Raises:
        UserError: see `PhoneTranslator`.
    """

    def __init__(self, folder: Path, precision: str | None = None, threads: int | None = None) -> None:
        from pipeline.runtime.translator import PhoneTranslator

        number = threads or cores()
        self._phones: SimpleQueue[PhoneTranslator] = SimpleQueue()
        with quiet():
            for _ in range(number):
                phone = PhoneTranslator(folder, precision)
                phone.translate_ids([UNK])  # what the interpreter has to say, it says now
                self._phones.put(phone)
        self.precision, self.search = phone.precision, phone.details["search"]
        self.unknown = phone.details["slots"].get("unknown", "copy")
        self.limit = phone.limit
        self._together = phone.together
        self.subwords = {phone.details[f"{side}_subwords"]["sha256"] for side in ("source", "target")}
        self._pool = ThreadPoolExecutor(number)

    def alternatives(
        self, lines: Sequence[str], begun: Sequence[str] | None = None, terms: Sequence[Sequence[str]] | None = None
    ) -> list[list[Translation]]:
        """The likeliest translation of each sentence.

        Raises:
            UserError: beginnings or terms are asked for.
        """
        if begun is not None or terms is not None:
            raise UserError("decoding.engine: a .tflite file cannot go on with what is begun, and knows no glossary; set it to keras.")
        # The longest first: at the end there are only short ones left to wait for.
        order = sorted(range(len(lines)), key=lambda index: -len(lines[index]))
        batches = [[lines[index] for index in order[start : start + self._together]] for start in range(0, len(order), self._together)]
        answers = itertools.chain.from_iterable(self._pool.map(self._translate, batches))
        found = dict(zip(order, answers, strict=True))
        return [[found[index]] for index in range(len(lines))]

    def _translate(self, sentences: Sequence[str]) -> list[Translation]:
        phone = self._phones.get()  # one cannot be used by two
        try:
            encoded = [phone.encode(sentence) for sentence in sentences]
            answers = iter(phone.translate_many([source_ids[: phone.limit] for source_ids, _ in encoded if source_ids]))
            return [_translation(phone, source_ids, kept, next(answers)) if source_ids else NOTHING for source_ids, kept in encoded]
        finally:
            self._phones.put(phone)


def _translation(phone: PhoneTranslator, source_ids: list[int], kept: dict[str, str], found: Found) -> Translation:
    tokens = len(found.ids) + found.complete
    text = phone.decode(found.ids, kept)
    return Translation(text, found.score, found.ids, found.complete, found.log_prob, tokens, source_tokens=len(source_ids) + 1)
