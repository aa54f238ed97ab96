"""Room in the beam for hypotheses that do what they must: dynamic beam allocation (Post & Vilar, 2018).

A hypothesis stands in the bank of as many tokens as it has met of what is demanded, and the best of each bank has a place in the beam. So
the model chooses where a demanded token goes, and a hypothesis that has it is not driven out by likelier ones without. Where nothing is
demanded there is one bank, and this is beam search as ever. (Post & Vilar share the whole beam out; what is left over goes to the
likeliest here, which a narrow beam needs.)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from keras import ops

from pipeline.decoding.choosing import children_of, chosen
from pipeline.decoding.rules import Rule
from pipeline.decoding.search import NEVER

Tensor = Any

# What the best of each bank stand before all others by, when the beam is shared out; log probabilities are smaller.
_AHEAD = 1e4


class Demand(Rule):
    """A rule that demands tokens, and knows how many of them a hypothesis has met."""

    @property
    def most_met(self) -> Any:
        """The highest bank that there is, at least."""
        raise NotImplementedError

    def wished(self, memory: Tensor, allowed: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens that would bring each hypothesis further, however unlikely.

        Args:
            memory: [B * K, ...] of the rule.
            allowed: [B, K, V] logits; very low where a token is not allowed.

        Returns:
            [B, K, C] int32; [B, K, C] bool, whether each is one.
        """
        raise NotImplementedError

    def bank(self, memory: Tensor, tokens: Tensor) -> Tensor:
        """How many tokens are met after one more: memory [B * K, ...], tokens [B, K, N] -> [B, K, N] int32."""
        raise NotImplementedError


class Banks:
    """Shares the beam out: first the best of each bank, then the likeliest of all others.

    Args:
        demands: the place of each among all rules, and the rule.
    """

    def __init__(self, demands: Sequence[tuple[int, Demand]]) -> None:
        self.demands = demands

    def __call__(self, allowed: Tensor, log_sum: Tensor, alive: Tensor, memories: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor]:
        """See `pipeline.decoding.choosing.likeliest`; what the demands wish for are candidates, too."""
        batch, beams = ops.shape(alive)
        logits, tokens = children_of(allowed, beams)
        least = logits[..., -1:]
        for place, demand in self.demands:
            following, wanted = demand.wished(memories[place], allowed)
            values = ops.take_along_axis(allowed, following, axis=-1)
            fresh = ops.logical_and(wanted, values < least)  # else it is among the likeliest already
            values = ops.where(ops.logical_and(fresh, _first_of_its_kind(following, fresh)), values, NEVER)
            logits, tokens = ops.concatenate([logits, values], axis=-1), ops.concatenate([tokens, following], axis=-1)
        scores = logits + (alive - log_sum)[..., None]  # [B, K, N]
        number = ops.shape(scores)[-1]
        flat = ops.maximum(ops.reshape(scores, (batch, -1)), 2.0 * NEVER)
        banks = ops.reshape(sum(demand.bank(memories[place], tokens) for place, demand in self.demands), (batch, 1, -1))
        every_bank = ops.arange(sum(demand.most_met for _, demand in self.demands) + 1, dtype="int32")
        inside = ops.equal(banks, every_bank[:, None])  # [B, banks, K N]
        # The first one of equals. (Keras's argmax has operators that are not TensorFlow Lite's.)
        _, best = ops.top_k(ops.where(inside, flat[:, None], 4.0 * NEVER), 1)
        is_best = ops.equal(ops.arange(ops.shape(flat)[1], dtype="int32"), ops.cast(best, "int32"))
        first = ops.any(ops.logical_and(inside, is_best), axis=1)
        keys = ops.where(ops.logical_and(first, flat > NEVER / 2), flat + _AHEAD, flat)
        _, places = ops.top_k(keys, beams)
        return chosen(flat, ops.reshape(tokens, (batch, -1)), ops.cast(places, "int32"), number)


def _first_of_its_kind(tokens: Tensor, counts: Tensor) -> Tensor:
    """[B, K, C] whether no earlier one of those that count is the same token."""
    order = ops.arange(ops.shape(tokens)[-1])
    earlier = order[None, :] < order[:, None]  # [C, C]
    same = ops.logical_and(ops.equal(tokens[..., None, :], tokens[..., :, None]), counts[..., None, :])
    return ops.logical_not(ops.any(ops.logical_and(same, earlier), axis=-1))
