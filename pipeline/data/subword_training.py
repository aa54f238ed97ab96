"""Training of SentencePiece models: a piece for each slot of a placeholder, and a vocabulary that fits the corpus.

The models need the `identity` normalisation: SentencePiece's default (`nmt_nfkc`) would turn full-width forms and ligatures into
others. With it, `tensorflow_text.SentencepieceTokenizer` gives the same ids for both types, and `FastSentencepieceTokenizer` (the
one that TFLite has) for unigram, except for text with tabs or '▁', which `translate` turns into spaces beforehand.
"""

from __future__ import annotations

import io
import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

import sentencepiece

from pipeline.configuration.schema_data import Tokenizer as TokenizerSettings
from pipeline.data.subwords import BOS, DETAILS, EOS, PAD, SCHEMA_VERSION, UNK, Subwords, Tokenizer, fingerprint_of
from pipeline.runtime.errors import UserError
from pipeline.runtime.slots import NUMBERS, Slots
from pipeline.support.files import replacing, write_json

MAX_LINES = 500_000
"""Lines a model is learnt from, drawn at random from all: memory stays flat, and more lines hardly change the pieces."""

THREADS = 8
"""Fixed, since sums in another order give other rounding: the same corpus gives the same model on every machine."""

CONTROL_PIECES = {"<pad>", "<unk>", "<s>", "</s>"}
_LONGEST_LINE = 1000  # characters; SentencePiece skips lines of more than 4,192 bytes, so longer ones are cut at spaces


class Texts(Protocol):
    """A list of texts, or anything else that can be gone through several times."""

    def __len__(self) -> int:
        """Number of texts."""
        ...

    def __iter__(self) -> Iterator[str]:
        """One text after the other."""
        ...


def train_tokenizer(
    source: Texts,
    target: Texts,
    settings: TokenizerSettings,
    folder: Path,
    *,
    languages: tuple[str, str],
    seed: int = 1,
) -> Tokenizer:
    """Learns the sub-words of a corpus and writes them to `folder`, which is replaced whole.

    Args:
        source: training text, source side; iterated several times, so not a generator.
        target: its translations, as many.
        settings: the config's section.
        folder: gets {joint | source, target}.model and tokenizer.json.
        languages: codes of both sides, to be stored.
        seed: of the choice of lines when there are more than `MAX_LINES`. Not the training's: runs that differ in their seed alone
            share their sub-words, or they could not be compared.

    Returns:
        The tokenizer, as `Tokenizer.load(folder)` would give it.

    Raises:
        UserError: no text, or a `vocabulary_size` that the corpus does not allow (the message says which it does).
    """
    slots = slots_of(settings)
    sides = {side: _Masked(texts, slots) for side, texts in (("source", source), ("target", target))}
    if settings.joint:
        model = _train(_Chain(*sides.values()), len(source), slots, settings, seed)
        models = {"joint.model": model}
        files = {"source": "joint.model", "target": "joint.model"}
    else:
        models = {f"{side}.model": _train(texts, len(source), slots, settings, seed) for side, texts in sides.items()}
        files = {"source": "source.model", "target": "target.model"}

    subwords = {name: Subwords(model, name) for name, model in models.items()}
    with replacing(folder) as temporary:
        temporary.mkdir()
        for name, model in models.items():
            (temporary / name).write_bytes(model)
        details: dict[str, Any] = {
            "schema_version": SCHEMA_VERSION,
            "type": settings.type,
            "joint": settings.joint,
            "fingerprint": fingerprint_of(subwords[files["source"]].sha256, subwords[files["target"]].sha256),
        }
        for side, language in zip(("source", "target"), languages, strict=True):
            one = subwords[files[side]]
            details[side] = {"language": language, "file": files[side], "size": one.size, "sha256": one.sha256}
        write_json(temporary / DETAILS, details | {"slots": slots.described()})
    source_subwords, target_subwords = (subwords[files[side]] for side in ("source", "target"))
    return Tokenizer(source_subwords, target_subwords, slots.knowing(source_subwords.characters), str(folder))


def slots_of(settings: TokenizerSettings) -> Slots:
    """The slots that a config asks for."""
    return Slots((*settings.placeholders, *([NUMBERS] if settings.keep_numbers else [])), settings.slots)


def automatic_size(pairs: int, characters: int, slots: int) -> int:
    """Pieces of a model when `vocabulary_size` is `auto`: a multiple of 8.

    The learnt pieces grow with the square root of the corpus, 40 * sqrt(pairs), at most 24,000: 1,200 at 1,000 pairs, 6,900 at
    30,000, 20,000 at 250,000. Characters and slots, which have to be there, come on top.

    Sennrich & Zhang (2019) found smaller vocabularies better for small corpora (2,000 merges below a million words). We did not: on
    33,800 pairs of interface texts, three epochs with 2,000, 4,000 and 8,000 pieces gave 24.2, 28.2 and 30.7 BLEU. Sentences
    are shorter in pieces, so an epoch is also hardly slower, although the output layer is wider.
    """
    learnt = min(24_000, 40 * math.isqrt(pairs))
    return -(-(learnt + characters + slots + len(CONTROL_PIECES)) // 8) * 8


def _train(texts: Iterable[str], pairs: int, slots: Slots, settings: TokenizerSettings, seed: int) -> bytes:
    """Trains one model; with an automatic size, goes down to the largest size that the text allows."""
    if settings.vocabulary_size == "auto":
        characters: Counter[str] = Counter()
        for text in texts:
            characters.update(text)
        for slot in slots.symbols:
            del characters[slot]
        size = automatic_size(pairs, len(_covered(characters, settings.character_coverage)), slots.size)
    else:
        size = settings.vocabulary_size
    while True:
        try:
            return _train_once(texts, size, slots, settings, seed)
        except RuntimeError as error:
            message = str(error)
            if "sentences_.empty()" in message:
                raise UserError("tokenize: there is no training text. Look at data/report.json for what took it.") from None
            if match := re.search(r"set it to a value <= (\d+)", message):
                largest = int(match.group(1))
                if settings.vocabulary_size != "auto":
                    raise UserError(
                        f"tokenizer.vocabulary_size: {size} is more than the corpus allows. Set it to {largest} or less, or to auto."
                    ) from None
                # The bound is reported for the size asked for; a smaller one can have a smaller bound, so go on until it fits.
                size = min(largest, size - 1)
            elif match := re.search(r"smaller than required_chars\.?\s*(\d+) vs (\d+)", message):
                raise UserError(
                    f"tokenizer.vocabulary_size: {size} is too small: the corpus's characters and slots alone need "
                    f"{match.group(2)}. Set it to more than that, or to auto."
                ) from None
            else:
                raise


def _train_once(texts: Iterable[str], size: int, slots: Slots, settings: TokenizerSettings, seed: int) -> bytes:
    """One call of SentencePiece's trainer.

    Raises:
        RuntimeError: whatever SentencePiece complains about; what the reading of `texts` raises comes as it is.
    """
    raised: list[BaseException] = []

    def lines() -> Iterator[str]:
        try:
            yield from _lines(texts)
        except (Exception, KeyboardInterrupt) as error:
            raised.append(error)
            raise

    sentencepiece.set_random_generator_seed(seed)
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines(),
            model_writer=model,
            model_type=settings.type,
            vocab_size=size,
            pad_id=PAD,
            unk_id=UNK,
            bos_id=BOS,
            eos_id=EOS,
            character_coverage=settings.character_coverage,
            user_defined_symbols=slots.symbols,
            normalization_rule_name="identity",
            remove_extra_whitespaces=True,
            split_digits=True,  # a number is copied digit by digit: those never seen are no harder than the others
            byte_fallback=False,  # FastSentencepieceTokenizer turns bytes into ⁇
            input_sentence_size=MAX_LINES,
            shuffle_input_sentence=True,
            num_threads=THREADS,
            minloglevel=3,
        )
    except RuntimeError:
        # What stops the reading, Ctrl-C too, comes back as an error of SentencePiece's own.
        if raised:
            raise raised[0] from None
        raise
    return model.getvalue()


class _Masked:
    """Texts with their slots."""

    def __init__(self, texts: Iterable[str], slots: Slots) -> None:
        self._texts, self._slots = texts, slots

    def __iter__(self) -> Iterator[str]:
        """One text after the other."""
        for text in self._texts:
            yield self._slots.mask(text).text


class _Chain:
    """Both sides of a corpus, one after the other, as often as asked for."""

    def __init__(self, *parts: Iterable[str]) -> None:
        self._parts = parts

    def __iter__(self) -> Iterator[str]:
        """All texts."""
        for part in self._parts:
            yield from part


def _lines(texts: Iterable[str]) -> Iterator[str]:
    """Lines that SentencePiece takes: not blank, one line each, none too long."""
    for text in texts:
        line = " ".join(text.replace("\0", " ").split())
        while len(line) > _LONGEST_LINE:
            cut = line.rfind(" ", 0, _LONGEST_LINE)
            cut = cut if cut > 0 else _LONGEST_LINE
            yield line[:cut]
            line = line[cut:].lstrip()
        if line:
            yield line


def _covered(characters: Counter[str], coverage: float) -> set[str]:
    """The most frequent characters that make up `coverage` of the text, spaces aside."""
    counts = [(character, count) for character, count in _by_frequency(characters) if not character.isspace()]
    wanted, seen, covered = coverage * sum(count for _, count in counts), 0, set()
    for character, count in counts:
        if seen >= wanted:
            break
        covered.add(character)
        seen += count
    return covered


def _by_frequency(counter: Counter[str]) -> list[tuple[str, int]]:
    """Most frequent first, equals in alphabetical order."""
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))
