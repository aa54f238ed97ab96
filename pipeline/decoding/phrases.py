"""Phrases that a translation must contain, as a glossary demands: lexically constrained search.

No hypothesis ends before it has met them all, and `Banks` sees to it that one with a phrase in it is not driven out by likelier ones
without. Which phrases are met is read off the last tokens written, so a phrase counts wherever it stands, also where it was begun by
chance or overlaps another.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from pipeline.decoding.banks import Demand
from pipeline.decoding.rules import Position
from pipeline.decoding.search import NEVER

Tensor = Any

LONGEST = 12
"""Tokens of a phrase, at most."""


class Phrases(Demand):
    """No end before all phrases of a sentence stand in its translation.

    The memory of a hypothesis is [C + LONGEST - 1] int32: of each phrase whether it is met, then the last tokens, 0 before the first.

    Args:
        ids: [B, C, LONGEST] int32 the phrases, 0 after each; one of 0 alone demands nothing.
        most: [B] the limit of tokens of each translation, EOS counted, larger than the phrases together. Near it, only what is still
            missing may be written, as if no phrase shared tokens with another.
        eos: its id.
    """

    def __init__(self, ids: Tensor, most: Tensor, eos: int) -> None:
        self.ids, self.most, self.eos = ids, most, eos
        self.lengths = ops.sum(ops.cast(ids > 0, "int32"), axis=-1)  # [B, C]

    def begin(self, batch: Tensor, beams: int) -> Tensor:
        """See `Rule.begin`."""
        met = ops.repeat(ops.cast(ops.equal(self.lengths, 0), "int32"), beams, axis=0)
        return ops.concatenate([met, ops.zeros((batch * beams, LONGEST - 1), dtype="int32")], axis=-1)

    def follow(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """See `Rule.follow`."""
        batch = ops.shape(self.ids)[0]
        met, last = self._apart(ops.reshape(memory, (batch, -1, ops.shape(memory)[-1])))
        met, _, last = self._after(met, last, ops.reshape(tokens, (batch, -1, 1)))
        met, last = met[:, :, 0], last[:, :, 0]
        return ops.reshape(ops.concatenate([met, last], axis=-1), (-1, ops.shape(memory)[-1]))

    def veto(self, at: Position, memory: Tensor) -> Tensor:
        """See `Rule.veto`."""
        batch, beams = at.batch, at.beams
        met, last = self._apart(ops.reshape(memory, (batch, beams, -1)))
        unmet = ops.sum((1 - met) * self.lengths[:, None], axis=-1)  # [B, K] tokens
        left = self.most[:, None] - at.index - 1  # after the next token, EOS among them
        # Nearly any token would leave all that is unmet still to be written; those that stand in phrases may bring it further.
        own = ops.broadcast_to(ops.reshape(self.ids, (batch, 1, -1)), (batch, beams, ops.shape(self.ids)[1] * LONGEST))
        own_met, begun, _ = self._after(met, last, own)
        lengths = (1 - own_met) * self.lengths[:, None, None]
        needed = ops.sum(lengths, axis=-1) - ops.max(ops.where(own_met > 0, 0, begun), axis=-1)  # [B, K, C * LONGEST]
        timely = ops.where(needed < left[..., None], own, 0)
        in_time = at.listed(ops.reshape(timely, (batch * beams, -1))) * (1.0 - ops.one_hot([0], at.vocabulary))
        others = (1.0 - in_time) * NEVER
        too_early = ops.cast(unmet > 0, "float32")[..., None] * NEVER * ops.one_hot([self.eos], at.vocabulary)
        must = ops.logical_and(unmet > 0, unmet >= left)
        return ops.where(must[..., None], others, too_early)

    @property
    def most_met(self) -> Any:
        """See `Demand.most_met`."""
        return ops.shape(self.ids)[1] * LONGEST

    def wished(self, memory: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Of each phrase its next token; see `Demand.wished`."""
        met, last = self._apart(ops.reshape(memory, (ops.shape(self.ids)[0], -1, ops.shape(memory)[-1])))
        places = ops.one_hot(self._begun(last), LONGEST, dtype="int32")  # [B, K, C, LONGEST]
        return ops.sum(places * self.ids[:, None], axis=-1), met < 1

    def bank(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """Tokens of the phrases that are met; see `Demand.bank`."""
        met, last = self._apart(ops.reshape(memory, (ops.shape(tokens)[0], -1, ops.shape(memory)[-1])))
        met, begun, _ = self._after(met, last, tokens)
        return ops.sum(ops.where(met > 0, self.lengths[:, None, None], begun), axis=-1)

    def _apart(self, memory: Tensor) -> tuple[Tensor, Tensor]:
        """memory [B, K, ...] -> met [B, K, C], last tokens [B, K, LONGEST - 1]."""
        phrases = ops.shape(self.ids)[1]
        # A slice from a place that is not known beforehand does not know its size by itself.
        last = ops.reshape(memory[..., phrases:], (*ops.shape(memory)[:2], LONGEST - 1))
        return memory[..., :phrases], last

    def _after(self, met: Tensor, last: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What `tokens` [B, K, N] make of the phrases: met [B, K, N, C], begun [B, K, N, C], last tokens [B, K, N, LONGEST - 1]."""
        batch, beams, number = ops.shape(tokens)
        last = ops.broadcast_to(last[:, :, None], (batch, beams, number, LONGEST - 1))
        last = ops.concatenate([last, tokens[..., None]], axis=-1)  # the last LONGEST
        begun = self._begun(ops.reshape(last, (batch, beams * number, LONGEST)))
        begun = ops.reshape(begun, (batch, beams, number, -1))
        whole = ops.logical_and(begun >= self.lengths[:, None, None], self.lengths[:, None, None] > 0)
        return ops.maximum(met[:, :, None], ops.cast(whole, "int32")), begun, last[..., 1:]

    def _begun(self, last: Tensor) -> Tensor:
        """[B, J, W] the last tokens of hypotheses -> [B, J, C] the longest beginning of each phrase that they end with."""
        width = last.shape[-1]
        begun = ops.zeros((*ops.shape(last)[:2], ops.shape(self.ids)[1]), dtype="int32")
        for length in range(1, min(width, LONGEST) + 1):
            end = last[:, :, None, width - length :]  # [B, J, 1, length]
            same = ops.all(ops.equal(end, self.ids[:, None, :, :length]), axis=-1)
            same = ops.logical_and(same, self.lengths[:, None] >= length)
            begun = ops.where(same, length, begun)
        return begun
