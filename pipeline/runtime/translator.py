"""A translator for a phone, in the shape that an app would have: what it has to do around the .tflite file is all here.

Clean the text, cut what is too long, put slots for placeholders, turn text into ids and ids into text.

Schema of translator.json, version 2:
    schema_version, pocketnmt (version that wrote it), source_language, target_language
    files: {precision: {file, sha256}}              float32, float16, int8, as far as they were exported
    source_subwords, target_subwords: {file, sha256}    SentencePiece models; the same file when the model is joint
    ids: {pad, unk, bos, eos}
    max_source_tokens: longest sentence in pieces, EOS not counted
    max_target_tokens: longest translation in pieces, EOS counted
    search: {beam_size, length_penalty, ...}        as it is inside the files (pipeline/decoding/search.py)
    cleaning: {normalize, control_characters}       how text is cleaned, see `clean`
    slots: {patterns, number, unknown}              of placeholders, see `pipeline.runtime.slots.Slots`; text without pieces is copied
                                                    where unknown is "copy", and left to the model where it is "mark"
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import sentencepiece
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from .errors import UserError
from .segmentation import RUN_OF_SPACES, join_translations, split_line
from .slots import Slots, characters_of
from .text import clean

DETAILS = "translator.json"
SCHEMA_VERSION = 2
SIGNATURE = "translate"
MANY = "translate_many"
ATTENTION = "attention"
SMALLEST_FIRST = ("int8", "float16", "float32")

# Tokens of both sides after which the interpreter is made anew, which takes it some milliseconds. Its delegate for CPUs (XNNPACK) keeps a
# little of every step of a loop, and takes longer the more it has kept: after 20,000 short sentences, ten times as long, in 400 MB.
_TOKENS_OF_AN_INTERPRETER = 1500


class Found(NamedTuple):
    """What the search found.

    Attributes:
        ids: of the translation, without EOS.
        score: see `pipeline.decoding.search.Search`.
        log_prob: logarithm of its probability, EOS counted.
        complete: it ended by itself.
    """

    ids: list[int]
    score: float
    log_prob: float
    complete: bool


class PhoneTranslator:
    """Translates text with a folder that `python -m pipeline.export` made.

    Args:
        folder: `export/tflite/` of a run, or a copy of it.
        precision: which of its files; default: the smallest.
        threads: of the interpreter.

    Attributes:
        details: what stands in translator.json.
        precision: of the file.
        limit: longest sentence in pieces.
        slots: of placeholders.
        together: sentences that the file takes at once.

    Raises:
        UserError: a file is missing, damaged or not the one that translator.json names.
    """

    def __init__(self, folder: Path, precision: str | None = None, threads: int = 1) -> None:
        self.details = read_details(folder)
        files: dict[str, dict[str, str]] = self.details["files"]
        self.precision = precision or next((name for name in SMALLEST_FIRST if name in files), "")
        if self.precision not in files:
            raise UserError(f"{folder / DETAILS}: has no {self.precision or 'model'}; it has: {', '.join(files) or 'none'}.")
        self.limit: int = self.details["max_source_tokens"]
        self._pad, self._eos = self.details["ids"]["pad"], self.details["ids"]["eos"]
        self._source = _subwords(folder, self.details["source_subwords"])
        self._target = _subwords(folder, self.details["target_subwords"])
        slots = Slots(tuple(self.details["slots"]["patterns"]), self.details["slots"]["number"])
        # Text that the vocabulary has no characters for is copied, or left to the model as unknown pieces.
        copies = self.details["slots"].get("unknown", "copy") == "copy"
        self.slots = slots.knowing(characters_of(self._source)) if copies else slots
        path, self._content = _checked(folder, files[self.precision])
        self._threads = threads
        try:
            self._begin()
        except (ValueError, RuntimeError) as error:
            raise UserError(f"{path}: is not a translator that this interpreter can run ({str(error).splitlines()[0]}).") from None
        self.together: int = 1 if self._many is None else int(self._many.get_input_details()["source_ids"]["shape"][0])
        if missing := {"ids", "score", "log_prob"} - set(self._search.get_output_details()):
            raise UserError(f"{path}: was exported by an older version; it does not give {', '.join(sorted(missing))}. Export again.")

    def translate(self, text: str) -> str:
        """The translation of a text of any length, on one line; empty for an empty or blank one."""
        text = clean(text, **self.details["cleaning"])
        segments = split_line(text, self.limit, self.count, self.slots.compiled)
        return join_translations(segments, [self._translate_sentence(RUN_OF_SPACES.sub(" ", segment).strip()) for segment in segments])

    def _begin(self) -> None:
        """With a new interpreter."""
        self._interpreter = Interpreter(model_content=self._content, num_threads=self._threads)
        self._search = self._interpreter.get_signature_runner(SIGNATURE)
        self._many: Any = self._interpreter.get_signature_runner(MANY) if MANY in self._interpreter.get_signature_list() else None
        self._tokens = 0

    def translate_ids(self, source_ids: Sequence[int]) -> Found:
        """The search on ids.

        Args:
            source_ids: of one sentence without EOS, 1 to max_source_tokens of them.
        """
        return self._found([source_ids])[0]

    def translate_many(self, sentences: Sequence[Sequence[int]]) -> list[Found]:
        """The search on the ids of several sentences, `together` at once: of about one length, or they wait for the longest."""
        found: list[Found] = []
        for start in range(0, len(sentences), self.together):
            some = list(sentences[start : start + self.together])
            filled = some + [some[-1]] * (self.together - len(some))
            found += self._found(filled)[: len(some)]
        return found

    def _found(self, sentences: Sequence[Sequence[int]]) -> list[Found]:
        """The search on one sentence or on `together`."""
        for source_ids in sentences:
            if not 0 < len(source_ids) <= self.limit:
                raise ValueError(f"Expected 1 to {self.limit} ids. Received: {len(source_ids)}")
        if self._tokens > _TOKENS_OF_AN_INTERPRETER:
            self._begin()
        search = self._search if len(sentences) == 1 else self._many
        found = search(
            source_ids=np.concatenate([self._padded(source_ids, self.limit + 1) for source_ids in sentences]),
            length=np.array([len(source_ids) + 1 for source_ids in sentences], dtype=np.int32),
        )
        written = [[token for token in row if token not in (self._pad, self._eos)] for row in found["ids"].tolist()]
        self._tokens += max(map(len, sentences)) + max(map(len, written))
        return [
            Found(ids, float(score), float(log_prob), self._eos in row)
            for ids, score, log_prob, row in zip(written, found["score"], found["log_prob"], found["ids"], strict=True)
        ]

    def attention(self, source_ids: Sequence[int], ids: Sequence[int]) -> NDArray[np.float32]:
        """What each token of a translation looked at.

        Args:
            source_ids: of a sentence, as for `translate_ids`.
            ids: what that gave.

        Returns:
            [T, S] weights, EOS counted on both sides; a row sums to 1.

        Raises:
            UserError: the model has no attention.
        """
        if ATTENTION not in self._interpreter.get_signature_list():
            raise UserError(f"{self.precision}.tflite: its model has no attention to look at.")
        source, target = self._padded(source_ids, self.limit + 1), self._padded(ids, self.details["max_target_tokens"])
        look = self._interpreter.get_signature_runner(ATTENTION)
        found = look(source_ids=source, length=np.array([len(source_ids) + 1], dtype=np.int32), target_ids=target)
        weights: NDArray[np.float32] = found["weights"][0, : len(ids) + 1, : len(source_ids) + 1]
        return weights

    def encode(self, sentence: str) -> tuple[list[int], dict[str, str]]:
        """The ids of a sentence, without EOS, and what stands in its slots."""
        masked = self.slots.mask(sentence)
        return self._source.encode(masked.text), masked.kept

    def decode(self, ids: Sequence[int], kept: dict[str, str]) -> str:
        """The text of a translation, with what stands in the slots of its source."""
        return self.slots.unmask(self._target.decode(list(ids)), kept)

    def count(self, text: str) -> int:
        """Pieces of a text; too many where it has more placeholders than there are slots."""
        return len(self.encode(text)[0]) if self.slots.fits(text) else self.limit + 1

    def _padded(self, ids: Sequence[int], size: int) -> NDArray[np.int32]:
        """[1, size]: ids, EOS as far as there is room, padding."""
        row = [*ids, self._eos][:size]
        return np.array([row + [self._pad] * (size - len(row))], dtype=np.int32)

    def _translate_sentence(self, sentence: str) -> str:
        source_ids, kept = self.encode(sentence)
        if not source_ids:
            return ""
        # Only a single character can have more pieces than the limit.
        found = self.translate_ids(source_ids[: self.limit])
        return " ".join(self.decode(found.ids, kept).splitlines())


def read_details(folder: Path) -> dict[str, Any]:
    """translator.json of a folder.

    Raises:
        UserError: it is missing, damaged or of another version.
    """
    path = folder / DETAILS
    try:
        details = json.loads(path.read_text(encoding="utf-8"))
    except OSError:
        raise UserError(
            f"{path}: cannot be read. Expected the folder export/tflite/ of a run: python -m pipeline.export --run RUN"
        ) from None
    except ValueError as error:
        raise UserError(f"{path}: is damaged ({error}). Export again, or copy the folder again.") from None
    if not isinstance(details, dict) or details.get("schema_version") != SCHEMA_VERSION:
        raise UserError(f"{path}: expected schema_version {SCHEMA_VERSION}. Export again with this version.")
    return details


def _checked(folder: Path, described: dict[str, str]) -> tuple[Path, bytes]:
    """The content of a file, which must be the very one that translator.json describes."""
    path = folder / described["file"]
    try:
        content = path.read_bytes()
    except OSError:
        raise UserError(f"{path}: cannot be read, but {DETAILS} names it. Copy the whole folder.") from None
    found = hashlib.sha256(content).hexdigest()
    if found != described["sha256"]:
        raise UserError(
            f"{path}: is file {found[:8]}… ({len(content):,} bytes), but {DETAILS} describes {described['sha256'][:8]}…: "
            "it is damaged, or of another export. Copy the whole folder again."
        )
    return path, content


def _subwords(folder: Path, described: dict[str, str]) -> Any:
    path, content = _checked(folder, described)
    try:
        return sentencepiece.SentencePieceProcessor(model_proto=content)
    except (RuntimeError, OSError):
        raise UserError(f"{path}: is not a SentencePiece model. Copy the whole folder again.") from None
