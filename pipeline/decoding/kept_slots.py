"""Placeholders in the search: each slot of the source is written exactly once, and no other slot."""

from __future__ import annotations

from typing import Any

from keras import ops

from pipeline.decoding.banks import Demand
from pipeline.decoding.rules import Position
from pipeline.decoding.search import NEVER

Tensor = Any


class KeptSlots(Demand):
    """No slot that the source has not, none twice, and no end before all are written.

    The memory of a hypothesis is [M] float32, 1 at the slots that it may still write, so it needs no look at what was written.

    Args:
        source_ids: [B, S] int32.
        number: M, the ids of slots: first, first + 1, ...
        most: [B] the limit of tokens of each translation, EOS counted. Near it, only what is still missing may be written.
        eos: its id; that of the first slot is the next.
    """

    def __init__(self, source_ids: Tensor, number: int, most: Tensor, eos: int) -> None:
        self.number, self.most, self.eos, self.first = number, most, eos, eos + 1
        self.wanted = ops.max(self._slots_of(source_ids), axis=1)  # [B, M]

    def begin(self, batch: Tensor, beams: int) -> Tensor:
        """See `Rule.begin`."""
        return ops.repeat(self.wanted, beams, axis=0)

    def follow(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """See `Rule.follow`."""
        return ops.maximum(memory - self._slots_of(tokens), 0.0)

    def veto(self, at: Position, memory: Tensor) -> Tensor:
        """See `Rule.veto`."""
        missing = ops.reshape(memory, (at.batch, at.beams, self.number))
        count = ops.sum(missing, axis=-1, keepdims=True)  # [B, K, 1]
        left = ops.cast(self.most[:, None, None] - at.index - 1, "float32")  # after the next token, EOS among them
        must = ops.logical_and(count > 0.0, count >= left)
        before = ops.where(must, NEVER, ops.zeros((1, 1, self.first - 1)))  # the control pieces
        end = ops.where(count > 0.0, NEVER, 0.0)
        behind = ops.where(must, NEVER, ops.zeros((1, 1, at.vocabulary - self.first - self.number)))
        return ops.concatenate([before, end, (1.0 - missing) * NEVER, behind], axis=-1)

    @property
    def most_met(self) -> int:
        """See `Demand.most_met`."""
        return self.number

    def wished(self, memory: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Of the slots that are missing the likeliest; see `Demand.wished`."""
        batch, beams, _ = ops.shape(allowed)
        missing = ops.reshape(memory, (batch, beams, self.number))
        logits = allowed[..., self.first : self.first + self.number] + (1.0 - missing) * NEVER
        logit, slot = ops.top_k(logits, 1)
        return ops.cast(slot, "int32") + self.first, logit > NEVER / 2

    def bank(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """Slots that are written; see `Demand.bank`."""
        batch, beams, _ = ops.shape(tokens)
        written = ops.sum(self.wanted[:, None] - ops.reshape(memory, (batch, beams, self.number)), axis=-1)
        slots = ops.logical_and(tokens >= self.first, tokens < self.first + self.number)
        return ops.cast(written, "int32")[..., None] + ops.cast(slots, "int32")

    def _slots_of(self, ids: Tensor) -> Tensor:
        """ids [...] -> [..., M] 1 at the slot that each is; other tokens are none."""
        return ops.cast(ops.equal(ids[..., None], ops.arange(self.first, self.first + self.number, dtype="int32")), "float32")
