"""Phrases that a translation must contain, as a glossary demands: lexically constrained search.

No hypothesis ends before it has met them all, and `Banks` sees to it that one with a phrase in it is not driven out by likelier ones
without. Which phrases are met is read off the last tokens written, so a phrase counts wherever it stands, also where it was begun by
chance or overlaps another. One that turns out to be the beginning of a longer word ("Licht" of "Lichter") does not count any more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from pipeline.decoding.banks import Demand
from pipeline.decoding.rules import Position
from pipeline.decoding.search import NEVER
from pipeline.decoding.whole_words import WordPieces

Tensor = Any

LONGEST = 12
"""Tokens of a phrase, at most."""


class Phrases(Demand):
    """No end before all phrases of a sentence stand in its translation.

    The memory of a hypothesis is [C + LONGEST] int32: of each phrase whether it is settled, that is, stands there and something else
    after it, then the last tokens, 0 before the first. A phrase is met when it is settled or the last tokens are it.

    Args:
        ids: [B, C, LONGEST] int32 the phrases, 0 after each; one of 0 alone demands nothing.
        most: [B] the limit of tokens of each translation, EOS counted, larger than the phrases together. Near it, only what is still
            missing may be written, as if no phrase shared tokens with another.
        eos: its id.
        words: which pieces go on with a word; None = a phrase counts whatever follows it.
    """

    def __init__(self, ids: Tensor, most: Tensor, eos: int, words: WordPieces | None = None) -> None:
        self.ids, self.most, self.eos = ids, most, eos
        self.lengths = ops.sum(ops.cast(ids > 0, "int32"), axis=-1)  # [B, C]
        self.go_on: Tensor = None  # [V] 1 where a piece goes on with a word
        self.open = ops.zeros_like(self.lengths)  # [B, C] 1 where the word may go on after the phrase
        if words is not None:
            self.go_on = ops.convert_to_tensor(words.go_on.astype("int32"))
            ends = ops.take_along_axis(ids, ops.maximum(self.lengths - 1, 0)[..., None], axis=-1)[..., 0]
            self.open = ops.take(ops.convert_to_tensor(words.open.astype("int32")), ends, axis=0)

    def begin(self, batch: Tensor, beams: int) -> Tensor:
        """See `Rule.begin`."""
        settled = ops.repeat(ops.cast(ops.equal(self.lengths, 0), "int32"), beams, axis=0)
        return ops.concatenate([settled, ops.zeros((batch * beams, LONGEST), dtype="int32")], axis=-1)

    def follow(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """See `Rule.follow`."""
        batch = ops.shape(self.ids)[0]
        settled, last = self._apart(ops.reshape(memory, (batch, -1, ops.shape(memory)[-1])))
        settled, last = self._after(settled, last, ops.reshape(tokens, (batch, -1, 1)))
        # What a loop carries keeps its shape, as far as that is known.
        return ops.reshape(ops.concatenate([settled[:, :, 0], last[:, :, 0]], axis=-1), ops.shape(memory))

    def veto(self, at: Position, memory: Tensor) -> Tensor:
        """See `Rule.veto`."""
        batch, beams = at.batch, at.beams
        settled, last = self._apart(ops.reshape(memory, (batch, beams, -1)))
        met, _ = self._met(settled, last)
        unmet = ops.sum((1 - met) * self.lengths[:, None], axis=-1)  # [B, K] tokens
        left = self.most[:, None] - at.index - 1  # after the next token, EOS among them
        # Nearly any token would leave all that is unmet still to be written; those that stand in phrases may bring it further.
        own = ops.broadcast_to(ops.reshape(self.ids, (batch, 1, -1)), (batch, beams, ops.shape(self.ids)[1] * LONGEST))
        own_met, begun = self._met_after(settled, last, own)
        lengths = (1 - own_met) * self.lengths[:, None, None]
        needed = ops.sum(lengths, axis=-1) - ops.max(ops.where(own_met > 0, 0, begun), axis=-1)  # [B, K, C * LONGEST]
        timely = ops.where(needed < left[..., None], own, 0)
        in_time = at.listed(ops.reshape(timely, (batch * beams, -1))) * (1.0 - ops.one_hot([0], at.vocabulary))
        others = (1.0 - in_time) * NEVER
        too_early = ops.cast(unmet > 0, "float32")[..., None] * NEVER * ops.one_hot([self.eos], at.vocabulary)
        must = ops.logical_and(unmet > 0, unmet >= left)
        if self.go_on is not None:
            # What has just been written is undone by a token that goes on with its word: not where there is no room to write it again.
            at_stake = ops.sum((met - settled) * self.open[:, None] * self.lengths[:, None], axis=-1)
            risky = ops.logical_and(at_stake > 0, unmet + at_stake >= left)
            undoing = ops.cast(self.go_on, "float32") * (1.0 - in_time)
            too_early = too_early + ops.cast(risky, "float32")[..., None] * NEVER * undoing
        return ops.where(must[..., None], others, too_early)

    @property
    def most_met(self) -> Any:
        """See `Demand.most_met`."""
        return ops.shape(self.ids)[1] * LONGEST

    def wished(self, memory: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Of each phrase its next token; see `Demand.wished`."""
        settled, last = self._apart(ops.reshape(memory, (ops.shape(self.ids)[0], -1, ops.shape(memory)[-1])))
        met, begun = self._met(settled, last)
        places = ops.one_hot(begun, LONGEST, dtype="int32")  # [B, K, C, LONGEST]
        return ops.sum(places * self.ids[:, None], axis=-1), met < 1

    def bank(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """Tokens of the phrases that are met; see `Demand.bank`."""
        settled, last = self._apart(ops.reshape(memory, (ops.shape(tokens)[0], -1, ops.shape(memory)[-1])))
        met, begun = self._met_after(settled, last, tokens)
        return ops.sum(ops.where(met > 0, self.lengths[:, None, None], begun), axis=-1)

    def _apart(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """memory [B, K, ...] -> settled [B, K, C], last tokens [B, K, LONGEST]."""
        phrases = ops.shape(self.ids)[1]
        # A slice from a place that is not known beforehand does not know its size by itself.
        last = ops.reshape(memory[..., phrases:], (*ops.shape(memory)[:2], LONGEST))
        return memory[..., :phrases], last

    def _after(self, settled: Tensor, last: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What each of `tokens` [B, K, N] would make of a memory: settled [B, K, N, C], last tokens [B, K, N, LONGEST]."""
        batch, beams, number = ops.shape(tokens)
        met, _ = self._met(settled, last)
        after = ops.broadcast_to(met[:, :, None], (batch, beams, number, ops.shape(met)[-1]))
        if self.go_on is not None:
            undone = ops.take(self.go_on, tokens, axis=0)[..., None] * self.open[:, None, None]
            after = ops.maximum(settled[:, :, None], after * (1 - undone))
        last = ops.broadcast_to(last[:, :, None], (batch, beams, number, LONGEST))
        return after, ops.concatenate([last[..., 1:], tokens[..., None]], axis=-1)

    def _met_after(self, settled: Tensor, last: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Which phrases would be met after each of `tokens` [B, K, N], and how many tokens of each begun: both [B, K, N, C]."""
        batch, beams, number = ops.shape(tokens)
        settled, last = self._after(settled, last, tokens)
        shape = (batch, beams * number, -1)
        met, begun = self._met(ops.reshape(settled, shape), ops.reshape(last, (batch, beams * number, LONGEST)))
        return ops.reshape(met, (batch, beams, number, -1)), ops.reshape(begun, (batch, beams, number, -1))

    def _met(self, settled: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        """settled [B, J, C], last tokens [B, J, LONGEST] -> which phrases are met, and how many tokens of each begun: both [B, J, C]."""
        begun = self._begun(last)
        whole = ops.logical_and(begun >= self.lengths[:, None], self.lengths[:, None] > 0)
        return ops.maximum(settled, ops.cast(whole, "int32")), begun

    def _begun(self, last: Tensor) -> Tensor:
        """[B, J, LONGEST] the last tokens of hypotheses -> [B, J, C] the longest beginning of each phrase that they end with."""
        begun = ops.zeros((*ops.shape(last)[:2], ops.shape(self.ids)[1]), dtype="int32")
        for length in range(1, LONGEST + 1):
            end = last[:, :, None, LONGEST - length :]  # [B, J, 1, length]
            same = ops.all(ops.equal(end, self.ids[:, None, :, :length]), axis=-1)
            same = ops.logical_and(same, self.lengths[:, None] >= length)
            begun = ops.where(same, length, begun)
        return begun


def padded_phrases(phrases: Sequence[Sequence[Sequence[int]]], rooms: NDArray[Any]) -> NDArray[np.int32]:
    """[B, C, LONGEST], 0 after each phrase; those for which a sentence's translation has no room [B] are left out, the last first."""
    padded = np.zeros((len(phrases), max(map(len, phrases)), LONGEST), np.int32)
    for row, wanted, room in zip(padded, phrases, rooms.tolist(), strict=True):
        for place, ids in zip(row, wanted, strict=False):
            if len(ids) <= room:
                place[: len(ids)] = ids
                room -= len(ids)
    return padded


def stands_in(phrase: Sequence[int], ids: Sequence[int]) -> bool:
    """Whether a list has another in it, without a gap."""
    return any(list(ids[start : start + len(phrase)]) == list(phrase) for start in range(len(ids) - len(phrase) + 1))
