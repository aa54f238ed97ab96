"""What may not be written, whatever the model thinks: limits of length, repetitions, a beginning that is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from keras import ops

from pipeline.decoding.search import NEVER

Tensor = Any


class Position(NamedTuple):
    """Where a search stands when a rule is asked.

    Attributes:
        index: tokens written so far, a scalar.
        history: [B * K, L] int32 the tokens of each hypothesis, 0 from `index` on.
        batch, beams, vocabulary: B, K, V.
    """

    index: Tensor
    history: Tensor
    batch: Tensor
    beams: int
    vocabulary: int

    def listed(self, tokens: Tensor) -> Tensor:
        """Lists of tokens, one a hypothesis [B * K, N] int32 -> [B, K, V] 1 at those that stand in its list, else 0."""
        hypotheses = self.batch * self.beams
        rows = ops.arange(hypotheses, dtype="int32")[:, None] + ops.zeros_like(tokens)
        cells = ops.reshape(ops.stack([rows, tokens], axis=-1), (-1, 2))
        counts = ops.scatter(cells, ops.ones_like(cells[:, 0], dtype="float32"), (hypotheses, self.vocabulary))
        return ops.reshape(ops.minimum(counts, 1.0), (self.batch, self.beams, self.vocabulary))


class Rule:
    """Tells which tokens may not follow. One that must remember what a hypothesis has written has a memory of it; most need none."""

    def begin(self, batch: Tensor, beams: int) -> Tensor:
        """The memory before the first token: [B * K, ...]."""
        return ops.zeros((batch * beams, 1))

    def veto(self, at: Position, memory: Tensor) -> Tensor:
        """What is added to the logits: 0, or `NEVER` for what may not follow; of a shape that broadcasts to [B, K, V]."""
        raise NotImplementedError

    def decides(self, at: Position) -> Tensor | None:
        """[B, 1, 1] bool, where this rule alone says what follows, whatever the others forbid; None = nowhere."""
        return None

    def follow(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """The memory after one token more: memory [B * K, ...] and tokens [B * K] -> memory."""
        return memory


class Never(Rule):
    """Tokens that no translation has. A search finds none of them by itself, for no training text has them; a lot may.

    Args:
        tokens: their ids.
    """

    def __init__(self, tokens: Sequence[int]) -> None:
        self.tokens = list(tokens)

    def veto(self, at: Position, memory: Tensor) -> Tensor:
        """See `Rule.veto`."""
        return ops.sum(ops.one_hot(self.tokens, at.vocabulary), axis=0) * NEVER


class AtLeast(Rule):
    """No end before a translation has so many tokens, EOS counted.

    Args:
        least: [B] int32.
        eos: its id.
    """

    def __init__(self, least: Tensor, eos: int) -> None:
        self.least, self.eos = least, eos

    def veto(self, at: Position, memory: Tensor) -> Tensor:
        """See `Rule.veto`."""
        too_early = ops.cast(at.index + 1 < self.least, "float32")[:, None, None]
        return too_early * NEVER * ops.one_hot([self.eos], at.vocabulary)


class NoRepeat(Rule):
    """No n tokens in a row that stand in the translation already (Paulus et al., 2018, 2.5).

    Args:
        size: n, at least 1.
        limit: L.
    """

    def __init__(self, size: int, limit: int) -> None:
        self.size, self.limit = size, limit

    def veto(self, at: Position, memory: Tensor) -> Tensor:
        """See `Rule.veto`; PAD (0), which nobody writes, stands for nothing."""
        before, places = self.size - 1, max(self.limit - self.size + 1, 0)
        starts = ops.arange(places, dtype="int32")
        # The n-gram that begins at `start` is whole, and its first n - 1 tokens are those that were written last.
        same = starts + before < at.index
        for number in range(before):
            last = ops.take(at.history, ops.maximum(at.index - before + number, 0), axis=1)
            same = ops.logical_and(same, at.history[:, number : number + places] == last[:, None])
        forbidden = ops.where(same, at.history[:, before : before + places], 0)  # [B * K, places]
        return at.listed(forbidden) * NEVER


class Prefix(Rule):
    """A beginning that is given, and is to be gone on from; its probability counts as that of the rest does.

    Within it no other rule counts: whoever gives it has the last word.

    Args:
        ids: [B, P] int32, 0 after each.
    """

    def __init__(self, ids: Tensor) -> None:
        self.ids = ids

    def veto(self, at: Position, memory: Tensor) -> Tensor:
        """See `Rule.veto`."""
        given = self._given(at)
        others = (1.0 - ops.one_hot(given, at.vocabulary)) * NEVER
        return ops.where(given[:, None] > 0, others, 0.0)[:, None]

    def decides(self, at: Position) -> Tensor:
        """See `Rule.decides`."""
        return self._given(at)[:, None, None] > 0

    def _given(self, at: Position) -> Tensor:
        """[B] the token that must follow, or 0."""
        last = ops.shape(self.ids)[1] - 1
        return ops.where(at.index <= last, ops.take(self.ids, ops.minimum(at.index, last), axis=1), 0)
