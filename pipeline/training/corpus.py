"""The training split as batches of ids: what is too long is told, not cut, and every epoch has its own order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.configuration import Config
from pipeline.data.batches import Batch, EncodedPairs, encode_split, plan_epoch
from pipeline.data.subwords import Tokenizer
from pipeline.runtime.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset

_NAMES = 0.1
"""Share of the pairs in which a name becomes a slot, so that text without pieces of its own is copied."""

_EXAMPLES = 3
_SHOWN = 90


class TrainingCorpus:
    """The batches of a training, from any point of any epoch on.

    Which sentences meet in which batch, in which order and, with sub-word sampling, how they are cut, follows from the seed and
    the number of the epoch alone; so a resumed training sees what an uninterrupted one would.

    Args:
        table: the training split.
        tokenizer: of the run.
        config: of the run.

    Attributes:
        batches_an_epoch: number of batches of the first epoch; later ones differ by a few.

    Raises:
        UserError: every sentence is longer than the limit, or the weights leave none.
    """

    def __init__(self, table: Dataset, tokenizer: Tokenizer, config: Config) -> None:
        self._table, self._tokenizer, self._config = table, tokenizer, config
        self._limit = config.model.max_tokens
        self._plain = self._sampled_pairs = encode_split(table, tokenizer, names=_NAMES)
        self._sampled_epoch = -1
        self._kept = self._plain.within(self._limit)
        if not len(self._kept):
            shortest = int(np.maximum(self._plain.source_lengths, self._plain.target_lengths).min()) - 1
            raise UserError(
                f"every training sentence is longer than model.max_tokens = {self._limit} pieces (the shortest pair has {shortest}). "
                "Raise it."
            )
        weights = np.asarray(table.with_format("numpy")["weight"][:], dtype=np.float64)[self._kept]
        self._weights = None if np.all(weights == 1.0) else weights
        self.batches_an_epoch = len(self._plan(0))
        if not self.batches_an_epoch:
            raise UserError("the weights of the sources leave no pair to train on: raise data.sources.*.weight.")

    def too_long(self) -> list[str]:
        """The table of sentences over the limit, line by line, with examples; empty if there are none."""
        source, target = self._plain.source_lengths - 1, self._plain.target_lengths - 1
        over = np.flatnonzero(np.maximum(source, target) > self._limit)
        if not len(over):
            return []
        lines = [
            f"{len(over):,} of {len(source):,} training pairs are left out: a side has more than model.max_tokens = {self._limit} pieces",
            f"  {'source':>7} {'target':>7}",
        ]
        for index in over[np.argsort(-np.maximum(source, target)[over], kind="stable")][:_EXAMPLES]:
            text = self._table[int(index)]["source"]
            lines.append(f"  {source[index]:>7} {target[index]:>7}  {text if len(text) <= _SHOWN else text[: _SHOWN - 1] + '…'}")
        return lines

    def largest(self) -> Batch:
        """The batch of the first epoch that needs the most memory: the most attention cells, B x S x T."""
        pairs = self._sampled(0)
        source, target = pairs.source_lengths, pairs.target_lengths
        indices = max(self._plan(0), key=lambda chosen: len(chosen) * source[chosen].max() * target[chosen].max())
        return pairs.batch(indices, self._config.training.pad_multiple)

    def batches(self, epoch: int, first: int) -> Iterator[tuple[int, int, Batch]]:
        """Endless: (epoch, number within it, batch), beginning with batch `first` of `epoch`."""
        while True:
            plan = self._plan(epoch)
            pairs = self._sampled(epoch)
            for number in range(first, len(plan)):
                yield epoch, number, pairs.batch(plan[number], self._config.training.pad_multiple)
            epoch, first = epoch + 1, 0

    def fraction(self, epoch: int, batch: int) -> float:
        """Epochs done before batch `batch` of `epoch`, with their fraction."""
        return epoch + min(1.0, batch / self.batches_an_epoch)

    def _plan(self, epoch: int) -> list[NDArray[np.int64]]:
        # Of the lengths as they are sampled: grouped by those of the plain segmentation, a third of a batch would be padding.
        return plan_epoch(self._sampled(epoch), self._config.training.batch_tokens, self._seed(epoch), self._kept, self._weights)

    def _sampled(self, epoch: int) -> EncodedPairs:
        settings = self._config.tokenizer
        if not settings.sampling:
            return self._plain
        if epoch != self._sampled_epoch:
            sampling = (settings.sampling, settings.sampling_alpha)
            self._sampled_pairs = self._plain  # that of the epoch before is let go before the next is made
            self._sampled_pairs = encode_split(self._table, self._tokenizer, sampling, self._seed(epoch), _NAMES, self._limit)
            self._sampled_epoch = epoch
        return self._sampled_pairs

    def _seed(self, epoch: int) -> int:
        return self._config.training.seed * 1_000_003 + epoch
