"""From split tables to batches of padded ids: bucketed by length, bounded in tokens, in an order that a seed fixes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.data.subwords import BOS, EOS, PAD, Tokenizer

if TYPE_CHECKING:
    from datasets import Dataset

Ids = NDArray[np.int32]
_ENCODED_AT_ONCE = 10_000


@dataclass(frozen=True)
class Batch:
    """Sentence pairs side by side.

    Attributes:
        source_ids: [B, S] int32, EOS last, then padding (0).
        target_inputs: [B, T] int32, the target shifted right: BOS first, no EOS.
        target_ids: [B, T] int32, EOS last, then padding.
    """

    source_ids: Ids
    target_inputs: Ids
    target_ids: Ids

    @property
    def inputs(self) -> dict[str, Ids]:
        """What `Seq2Seq.call` takes."""
        return {"source_ids": self.source_ids, "target_inputs": self.target_inputs}

    @property
    def target_tokens(self) -> int:
        """Real target tokens, EOS counted, padding not."""
        return int(np.count_nonzero(self.target_ids))

    @property
    def cells(self) -> int:
        """Ids of both sides, padding counted."""
        return int(self.source_ids.size + self.target_ids.size)

    @property
    def padding(self) -> int:
        """How many of `cells` are padding."""
        return self.cells - int(np.count_nonzero(self.source_ids)) - self.target_tokens


class EncodedPairs:
    """All pairs of a split as ids, compactly: one array a side and where each sentence begins in it.

    Four bytes a token: ten million pairs of 25 tokens a side take two gigabytes, and twice that while they are put together.
    """

    def __init__(self, source: Sequence[Sequence[int] | Ids], target: Sequence[Sequence[int] | Ids]) -> None:
        """Ids of each sentence without BOS and EOS."""
        self._source = _Ragged.of(source)
        self._target = _Ragged.of(target)

    @classmethod
    def joined(cls, parts: Sequence[EncodedPairs]) -> EncodedPairs:
        """All pairs of several, one after the other."""
        pairs = cls([], [])
        pairs._source = _Ragged.joined([part._source for part in parts])
        pairs._target = _Ragged.joined([part._target for part in parts])
        return pairs

    def __len__(self) -> int:
        """Number of pairs."""
        return len(self._source)

    @property
    def source_lengths(self) -> NDArray[np.int64]:
        """[N] tokens of each source, EOS counted."""
        return self._source.lengths + 1

    @property
    def target_lengths(self) -> NDArray[np.int64]:
        """[N] tokens of each target, EOS counted."""
        return self._target.lengths + 1

    def within(self, limit: int) -> NDArray[np.int64]:
        """Indices of the pairs with at most `limit` pieces on either side, EOS not counted."""
        return np.flatnonzero(np.maximum(self.source_lengths, self.target_lengths) - 1 <= limit)

    def select(self, indices: NDArray[np.int64]) -> EncodedPairs:
        """The pairs at `indices`, in that order."""
        return EncodedPairs([self._source[i] for i in indices], [self._target[i] for i in indices])

    def batch(self, indices: NDArray[np.int64], pad_multiple: int = 1) -> Batch:
        """The pairs at `indices`, padded to the longest of each side, rounded up to `pad_multiple`."""
        source_ids = pad([self._source[i] for i in indices], pad_multiple)
        target_ids = pad([self._target[i] for i in indices], pad_multiple)
        target_inputs = np.full_like(target_ids, PAD)
        target_inputs[:, 0] = BOS
        target_inputs[:, 1:] = np.where(target_ids[:, :-1] == EOS, PAD, target_ids[:, :-1])
        return Batch(source_ids, target_inputs, target_ids)


class _Ragged:
    def __init__(self, lengths: NDArray[np.int64], ids: Ids) -> None:
        self.lengths = lengths
        self._starts = np.concatenate([[0], np.cumsum(lengths)])
        self._ids = ids

    @classmethod
    def of(cls, sentences: Sequence[Sequence[int] | Ids]) -> _Ragged:
        lengths = np.fromiter((len(ids) for ids in sentences), dtype=np.int64, count=len(sentences))
        return cls(lengths, np.concatenate([np.asarray(ids, dtype=np.int32) for ids in sentences] or [np.zeros(0, dtype=np.int32)]))

    @classmethod
    def joined(cls, parts: Sequence[_Ragged]) -> _Ragged:
        if not parts:
            return cls.of([])
        return cls(np.concatenate([part.lengths for part in parts]), np.concatenate([part._ids for part in parts]))

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Ids:
        return self._ids[self._starts[index] : self._starts[index + 1]]


def pad(sentences: Sequence[Sequence[int] | Ids], multiple: int = 1) -> Ids:
    """Ids without EOS -> [B, longest + 1 rounded up to `multiple`] int32, EOS after each, padding after that."""
    longest = max((len(ids) for ids in sentences), default=0) + 1
    padded = np.full((len(sentences), -(-longest // multiple) * multiple), PAD, dtype=np.int32)
    for row, ids in zip(padded, sentences, strict=True):
        row[: len(ids)] = ids
        row[len(ids)] = EOS
    return padded


def encode_split(
    table: Dataset,
    tokenizer: Tokenizer,
    sampling: tuple[float, float] | None = None,
    seed: int = 0,
    names: float = 0.0,
    limit: int | None = None,
) -> EncodedPairs:
    """Encodes a split, every pair of it, with slots for its placeholders.

    Args:
        table: columns source and target.
        tokenizer: of the run.
        sampling: (share, alpha) of sub-word regularisation, see `Subwords.sample`; both sides are sampled.
        seed: of the sampling.
        names: share of the pairs in which a name becomes a slot, see `Slots.mask_pair`; the same ones whatever the seed.
        limit: a side that has more pieces than this as it was sampled is encoded without sampling.
    """
    parts: list[EncodedPairs] = []
    generator, lot = random.Random(seed), random.Random(0)
    for rows in table.select_columns(["source", "target"]).iter(batch_size=_ENCODED_AT_ONCE):
        pairs = [
            tokenizer.slots.mask_pair(one, other, with_name=lot.random() < names)
            for one, other in zip(rows["source"], rows["target"], strict=True)
        ]
        sides = []
        for subwords, texts in ((tokenizer.source, [one for one, _ in pairs]), (tokenizer.target, [other for _, other in pairs])):
            encoded = subwords.encode(texts) if sampling is None else subwords.sample(texts, *sampling, generator)
            if sampling is not None and limit is not None:
                encoded = [ids if len(ids) <= limit else subwords.encode([text])[0] for ids, text in zip(encoded, texts, strict=True)]
            sides.append(encoded)
        parts.append(EncodedPairs(*sides))
    return EncodedPairs.joined(parts)


def plan_epoch(
    pairs: EncodedPairs,
    batch_tokens: int,
    seed: int,
    among: NDArray[np.int64] | None = None,
    weights: NDArray[np.float64] | None = None,
) -> list[NDArray[np.int64]]:
    """Groups the pairs of one epoch into batches; which pairs meet, and in which order, depends on `seed` alone.

    Pairs of about equal length stand together, so that little is padding. A batch has as many pairs as its longest target
    allows within `batch_tokens`, at least one.

    Args:
        pairs: what to group.
        batch_tokens: target tokens a batch, padding counted.
        seed: another one for each epoch.
        among: indices of the pairs to group; all of them without it.
        weights: how often each of these is seen, 1 = once; fractions by lot.

    Returns:
        Indices into `pairs`, an array a batch.
    """
    generator = np.random.default_rng(seed)
    indices = np.arange(len(pairs)) if among is None else among.copy()
    if weights is not None:
        copies = np.floor(weights + generator.random(len(indices))).astype(np.int64)
        indices = np.repeat(indices, copies)
    generator.shuffle(indices)
    # Other sentences meet in every epoch: those of equal lengths stay shuffled, and the cuts fall elsewhere.
    order = np.lexsort((pairs.source_lengths[indices], pairs.target_lengths[indices]))
    batches = list(
        _cut(indices[order], pairs.target_lengths, batch_tokens, first=int(generator.integers(batch_tokens // 2, batch_tokens + 1)))
    )
    generator.shuffle(batches)
    return batches


def _cut(indices: NDArray[np.int64], lengths: NDArray[np.int64], batch_tokens: int, first: int) -> Iterator[NDArray[np.int64]]:
    """Cuts `indices` into batches of at most `batch_tokens`, the first of at most `first` tokens."""
    start, longest, limit = 0, 0, first
    for end, index in enumerate(indices):
        longest = max(longest, int(lengths[index]))
        if end > start and longest * (end + 1 - start) > limit:
            yield indices[start:end]
            start, longest, limit = end, int(lengths[index]), batch_tokens
    if start < len(indices):
        yield indices[start:]
