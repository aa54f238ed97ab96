"""Sub-words: text to ids and back with SentencePiece (Kudo & Richardson, 2018). `subword_training` makes the models."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import sentencepiece

from pipeline.data.sampling import Sampler
from pipeline.runtime.errors import UserError
from pipeline.runtime.segmentation import WIDE
from pipeline.runtime.slots import TOO_MANY, Slots, characters_of
from pipeline.support.files import read_json

PAD, UNK, BOS, EOS = 0, 1, 2, 3
"""Ids of the control pieces, the same in every model; text never encodes to PAD, BOS or EOS, whatever it contains."""

FIRST_SLOT = EOS + 1
"""Id of the first slot, where there are slots; the others follow."""

SCHEMA_VERSION = 2
DETAILS = "tokenizer.json"


class Subwords:
    """One SentencePiece model: the sub-words of one language, or of both.

    decode(encode(text)) gives `text` back when it has no characters unknown to the model, no leading, trailing or double spaces,
    and no '▁' (U+2581, SentencePiece's own mark for a space, which comes back as one). Nothing else is normalised: case,
    full-width forms and the rest stay as they are, since what a corpus should look like is decided in `prepare`.
    """

    def __init__(self, model: bytes, where: str = "the model") -> None:
        """Parses a model.

        Args:
            model: a serialised SentencePiece model with our control ids.
            where: where it comes from, for errors.

        Raises:
            UserError: `model` is not a SentencePiece model, or has other control ids.
        """
        self.model = model
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        except (RuntimeError, OSError):
            raise UserError(f"{where}: is damaged: not a SentencePiece model. Run the tokenize stage again.") from None
        ids = (self._processor.pad_id(), self._processor.unk_id(), self._processor.bos_id(), self._processor.eos_id())
        if ids != (PAD, UNK, BOS, EOS):
            raise UserError(f"{where}: its ids of <pad>, <unk>, <s>, </s> are {ids}; expected {(PAD, UNK, BOS, EOS)}. Run tokenize again.")

    @classmethod
    def load(cls, path: Path) -> Subwords:
        """Reads a .model file.

        Raises:
            UserError: it is missing or damaged.
        """
        try:
            return cls(path.read_bytes(), str(path))
        except FileNotFoundError:
            raise UserError(f"{path}: no such file. Run the tokenize stage first: python -m pipeline.tokenize CONFIG") from None

    @property
    def size(self) -> int:
        """V, the number of pieces, control pieces included."""
        return int(self._processor.get_piece_size())

    @cached_property
    def sha256(self) -> str:
        """Hash of the model file's content, hexadecimal."""
        return hashlib.sha256(self.model).hexdigest()

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of each text, the best segmentation, without BOS and EOS; an empty or blank text has none."""
        ids: list[list[int]] = self._processor.encode(list(texts))
        return ids

    def encode_words(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of words as they stand within a text: where no space stands before them, as in Japanese, '▁' is left out."""
        result = self.encode(texts)
        for number, text in enumerate(texts):
            if result[number] and WIDE.match(text):
                first = self._processor.id_to_piece(result[number][0]).removeprefix("▁")
                known = self._processor.piece_to_id(first)
                if not first or known != UNK:
                    result[number][:1] = [known] if first else []
        return result

    def sample(self, texts: Sequence[str], share: float, alpha: float, generator: random.Random) -> list[list[int]]:
        """Like `encode`, with a sampled segmentation for some texts (sub-word regularisation: Kudo, 2018; Provilkov et al., 2020).

        Args:
            texts: what to encode.
            share: probability, for each text, that its segmentation is sampled.
            alpha: unigram: smoothing, towards 0 every segmentation is equally likely; bpe: probability that a merge is left out.
            generator: source of all randomness; in the same state it gives the same ids.
        """
        result = self.encode(texts)
        chosen = [index for index in range(len(texts)) if generator.random() < share]
        best = self._processor.encode([texts[index] for index in chosen], out_type=str)
        for index, pieces in zip(chosen, best, strict=True):
            result[index] = self._sampler.sample(pieces, alpha, generator)
        return result

    @cached_property
    def _sampler(self) -> Sampler:
        return Sampler(self._processor, UNK, controls=EOS + 1)

    def decode(self, ids: Sequence[Sequence[int]]) -> list[str]:
        """Text of each list of ids; control pieces are left out, an unknown one becomes ⁇."""
        texts: list[str] = self._processor.decode([[int(id_) for id_ in one] for one in ids])
        return texts

    @cached_property
    def characters(self) -> frozenset[str]:
        """All that is a piece by itself, '▁' aside: text of these has no unknown pieces."""
        return characters_of(self._processor)

    def pieces(self, ids: Sequence[int]) -> list[str]:
        """The pieces behind ids, to look at; '▁' marks a space."""
        return [self._processor.id_to_piece(int(id_)) for id_ in ids]


@dataclass(frozen=True)
class Tokenizer:
    """The sub-words of both sides, and the slots that placeholders are to them.

    Attributes:
        source: of the language translated from.
        target: of the language translated into; the same object when the model is joint.
        slots: of both.
        where: the folder it was read from, for errors.

    Raises:
        UserError: a model has not the slots that it should have.
    """

    source: Subwords
    target: Subwords
    slots: Slots
    where: str = "the tokenizer"

    def __post_init__(self) -> None:
        """Makes sure that slots and pieces go together."""
        for subwords in (self.source, self.target):
            if subwords.pieces(range(FIRST_SLOT, min(FIRST_SLOT + self.slots.size, subwords.size))) != self.slots.symbols:
                raise UserError(f"{self.where}: its pieces are not those of the slots that {DETAILS} describes. Run tokenize again.")

    @classmethod
    def load(cls, folder: Path, unknown: str = "copy") -> Tokenizer:
        """Reads what `subword_training.train_tokenizer` wrote.

        Args:
            folder: where that is.
            unknown: `decoding.unknown`; "mark": see `without_copies`.

        Raises:
            UserError: a file is missing or damaged, or is not the one that tokenizer.json describes.
        """
        if not (folder / DETAILS).is_file():
            raise UserError(f"{folder}: holds no tokenizer. Run the tokenize stage first: python -m pipeline.tokenize CONFIG")
        details = read_json(folder / DETAILS)
        if details.get("schema_version") != SCHEMA_VERSION:
            raise UserError(
                f"{folder / DETAILS}: has schema_version {details.get('schema_version')}, expected {SCHEMA_VERSION}. Run tokenize again."
            )
        loaded: dict[str, Subwords] = {}
        for side in ("source", "target"):
            name, expected = details[side]["file"], details[side]["sha256"]
            if name not in loaded:
                loaded[name] = Subwords.load(folder / name)
            if loaded[name].sha256 != expected:
                raise UserError(
                    f"{folder / name}: is model {short(loaded[name].sha256)}, but {DETAILS} describes {short(expected)}. "
                    "Put the right file back, or run tokenize again."
                )
        source, target = (loaded[details[side]["file"]] for side in ("source", "target"))
        slots = Slots(tuple(details["slots"]["patterns"]), details["slots"]["number"]).knowing(source.characters)
        tokenizer = cls(source, target, slots, str(folder))
        return tokenizer.without_copies() if unknown == "mark" else tokenizer

    def encode_source(self, texts: Sequence[str]) -> tuple[list[list[int]], list[dict[str, str]]]:
        """Sources as the model reads them: of each its ids, without EOS, and what stands in its slots."""
        masked = [self.slots.mask(text) for text in texts]
        return self.source.encode([one.text for one in masked]), [one.kept for one in masked]

    def encode_target(self, texts: Sequence[str], kept: Sequence[dict[str, str]]) -> list[list[int]]:
        """Ids of (parts of) translations, with the slots of their sources, which `encode_source` gave."""
        return self.target.encode([self.slots.mask_target(text, slots) for text, slots in zip(texts, kept, strict=True)])

    def decode_target(self, ids: Sequence[Sequence[int]], kept: Sequence[dict[str, str]]) -> list[str]:
        """Translations as people read them; `kept` as for `encode_target`."""
        return [self.slots.unmask(text, slots) for text, slots in zip(self.target.decode(ids), kept, strict=True)]

    def without_copies(self) -> Tokenizer:
        """The same, but that characters without pieces become unknown ones, not slots."""
        return replace(self, slots=replace(self.slots, known=None))

    def count(self, text: str) -> int:
        """Pieces of a source; `TOO_MANY` where there are not slots enough for it, so that it is cut."""
        return len(self.encode_source([text])[0][0]) if self.slots.fits(text) else TOO_MANY

    @property
    def joint(self) -> bool:
        """Whether one model serves both sides."""
        return self.source is self.target

    @property
    def fingerprint(self) -> str:
        """Hash of both model files, hexadecimal: stored wherever ids are used."""
        return fingerprint_of(self.source.sha256, self.target.sha256)

    def check(self, fingerprint: str, where: str) -> None:
        """Makes sure that ids made elsewhere are ours.

        Args:
            fingerprint: `fingerprint` of the tokenizer that was used there.
            where: what was made with it, such as 'artifacts/en-de/checkpoints'.

        Raises:
            UserError: it was another tokenizer.
        """
        if fingerprint != self.fingerprint:
            raise UserError(
                f"{where} was made with tokenizer {short(fingerprint)}, but {self.where} is {short(self.fingerprint)}. "
                "Put its own tokenizer back, or train again."
            )


def fingerprint_of(source_sha256: str, target_sha256: str) -> str:
    """Hash of two hashes; the order of the sides counts."""
    return hashlib.sha256(f"{source_sha256} {target_sha256}".encode()).hexdigest()


def short(digest: str) -> str:
    """A hash as it is shown to people."""
    return f"{digest[:8]}…"
