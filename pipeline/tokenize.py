"""Learns the sub-words of a prepared corpus: python -m pipeline.tokenize CONFIG"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.configuration import Config
from pipeline.runtime.errors import UserError
from pipeline.support.console import say
from pipeline.support.run_directory import RunDirectory
from pipeline.support.stages import stage_main

if TYPE_CHECKING:
    from datasets import Dataset

    from pipeline.data.subwords import Subwords
    from pipeline.runtime.slots import Slots

LONGEST = 3
_BATCH = 2000
_SHOWN = 100  # characters of a long sentence


def run_stage(config: Config, run: RunDirectory) -> None:
    """Trains the run's SentencePiece model(s) on its training split and prints how well they fit.

    Raises:
        UserError: the run is not prepared, or its corpus does not allow the vocabulary size asked for, or there is a training in
            progress with another tokenizer.
    """
    from pipeline.data.corpus import load_split
    from pipeline.data.subword_training import train_tokenizer
    from pipeline.support.files import replacing

    train = load_split(run, "train")
    languages = (config.data.source_language, config.data.target_language)
    with replacing(run.tokenizer) as temporary:
        tokenizer = train_tokenizer(Column(train, "source"), Column(train, "target"), config.tokenizer, temporary, languages=languages)
        _keep_earlier_training(config, run, tokenizer.fingerprint)
    validation = load_split(run, "validation")
    sides = (("source", languages[0], tokenizer.source), ("target", languages[1], tokenizer.target))
    # Text without pieces of its own is to be counted here, not to become a slot.
    slots = replace(tokenizer.slots, known=None)
    rows = [
        (side, language, subwords, measure(Column(train, side), subwords, slots, config.model.max_tokens), Column(validation, side))
        for side, language, subwords in sides
    ]

    shared = " (joint)" if tokenizer.joint else ""
    print(f"{config.tokenizer.type}{shared}, tokenizer {tokenizer.fingerprint[:8]}…")
    limit = config.model.max_tokens
    print(f"{'side':10} {'pieces':>8} {'pieces/word':>12} {'unknown':>9} {'unknown, validation':>20} {f'over {limit}':>9}")
    for side, language, subwords, fit, held_out in rows:
        unknown = measure(held_out, subwords, slots, limit).unknown_share
        name, per_word, unknown_here = f"{side} {language}", fit.pieces_per_word, fit.unknown_share
        print(f"{name:10} {subwords.size:>8,} {per_word:>12.2f} {unknown_here:>9.3%} {unknown:>20.3%} {fit.too_long:>9,}")
    for side, _, _, fit, _ in rows:
        print(f"\nlongest on the {side} side, in pieces:")
        for pieces, text in fit.longest:
            print(f"  {pieces:>5}  {text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}")


def _keep_earlier_training(config: Config, run: RunDirectory, fingerprint: str) -> None:
    """Weights can translate with their own tokenizer alone: before another takes its place, both are set aside together.

    Args:
        config, run: of the tokenizer that is new.
        fingerprint: of it.

    Raises:
        UserError: the training is in progress; its tokenizer is to stay.
    """
    from pipeline.training.checkpoints import Checkpoints

    in_progress = Checkpoints(run.checkpoints, {}).found()
    if not run.tokenizer.is_dir() or not (run.best_weights.is_file() or in_progress):
        return
    if in_progress:
        if in_progress["tokenizer"] != fingerprint:
            raise UserError(
                f"{run.checkpoints}: holds a training in progress, and this corpus and these settings give another tokenizer than "
                "its own, which was left in place. Put back what has changed, and it goes on; or give this config another name; or "
                f"remove {run.checkpoints} to begin anew."
            )
    elif _fingerprint(run.tokenizer) != fingerprint:
        say(f"the earlier training is kept in {run.set_aside()}")
        run.store_config(config)


def _fingerprint(folder: Path) -> str | None:
    """Of a tokenizer that may be damaged."""
    from pipeline.data.subwords import Tokenizer

    try:
        return Tokenizer.load(folder).fingerprint
    except UserError:
        return None


class Column:
    """One text column of a table, read in batches: memory stays flat, and it can be gone through again and again."""

    def __init__(self, table: Dataset, name: str) -> None:
        """Column `name` of `table`."""
        self._table, self._name = table.select_columns([name]), name

    def __len__(self) -> int:
        """Number of texts."""
        return len(self._table)

    def batches(self) -> Iterator[list[str]]:
        """The texts in order, a few thousand at a time."""
        for batch in self._table.iter(batch_size=_BATCH):
            yield batch[self._name]

    def __iter__(self) -> Iterator[str]:
        """One text after the other."""
        for batch in self.batches():
            yield from batch


@dataclass
class Fit:
    """How a model cuts a text.

    Attributes:
        words: separated by spaces.
        pieces: of the best segmentation.
        unknown: pieces that are no part of the vocabulary.
        too_long: sentences of more pieces than the limit.
        longest: the longest sentences, each with its number of pieces, longest first.
    """

    words: int = 0
    pieces: int = 0
    unknown: int = 0
    too_long: int = 0
    longest: list[tuple[int, str]] = field(default_factory=list)

    @property
    def pieces_per_word(self) -> float:
        """1 = every word is one piece; languages without spaces have many."""
        return self.pieces / max(self.words, 1)

    @property
    def unknown_share(self) -> float:
        """Of the pieces, 0 to 1."""
        return self.unknown / max(self.pieces, 1)


def measure(texts: Column, subwords: Subwords, slots: Slots, limit: int) -> Fit:
    """Cuts `texts`, with slots for placeholders, and counts; `limit` is the longest sentence in pieces that the model takes."""
    from pipeline.data.subwords import UNK

    fit = Fit()
    for batch in texts.batches():
        encoded = subwords.encode([slots.mask(text).text for text in batch])
        lengths = [len(ids) for ids in encoded]
        fit.words += sum(len(text.split()) for text in batch)
        fit.pieces += sum(lengths)
        fit.unknown += sum(ids.count(UNK) for ids in encoded)
        fit.too_long += sum(length > limit for length in lengths)
        candidates = fit.longest + list(zip(lengths, batch, strict=True))
        fit.longest = sorted(candidates, key=lambda item: -item[0])[:LONGEST]
    return fit


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return stage_main("tokenize", "Learn the sub-words of a prepared corpus.", arguments)


if __name__ == "__main__":
    raise SystemExit(main())
