"""How hypotheses are grown by a token: the likeliest ways of all, or each hypothesis by lot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from pipeline.decoding.search import NEVER
from pipeline.decoding.top_k import top_k

Tensor = Any

# (logits of what is allowed [B, K, V], log of the sum of exp of all logits [B, K], alive [B, K], memories of the rules) -> as `likeliest`
Choose = Callable[[Tensor, Tensor, Tensor, tuple[Tensor, ...]], tuple[Tensor, Tensor, Tensor]]


def likeliest(allowed: Tensor, log_sum: Tensor, alive: Tensor, memories: tuple[Tensor, ...] = ()) -> tuple[Tensor, Tensor, Tensor]:
    """Beam search's way: of all hypotheses of a sentence and all tokens, the K likeliest pairs.

    Args:
        allowed: [B, K, V] logits; very low where a token is not allowed. Probabilities are those of the model all the same.
        log_sum: [B, K] log sum exp of the model's logits.
        alive: [B, K] log probabilities so far.
        memories: of the search's rules.

    Returns:
        alive [B, K], the likeliest first; the token of each [B, K] int32; its parent [B, K] int32, 0 to K - 1.
    """
    logits, tokens = children_of(allowed, ops.shape(alive)[1])
    return likeliest_of(logits + (alive - log_sum)[..., None], tokens)


def likeliest_of(scores: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of each hypothesis's children, scores and tokens [B, K, N], the K likeliest of all; see `likeliest`."""
    batch, beams, number = ops.shape(scores)
    scores = ops.reshape(scores, (batch, beams * number))
    _, places = ops.top_k(scores, beams)
    return chosen(scores, ops.reshape(tokens, (batch, beams * number)), ops.cast(places, "int32"), number)


def children_of(allowed: Tensor, beams: int) -> tuple[Tensor, Tensor]:
    """The likeliest tokens of each hypothesis: logits and ids [B, K, N], the likeliest first; none has more than K among the K of all."""
    return top_k(allowed, min(beams, allowed.shape[-1]))


def chosen(scores: Tensor, tokens: Tensor, places: Tensor, number: int | Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Score, token and parent of the candidates at `places` [B, K] among all of a sentence, scores and tokens [B, K N], N a parent."""
    rows = ops.reshape(places + ops.arange(ops.shape(places)[0], dtype="int32")[:, None] * ops.shape(scores)[1], (-1,))
    scores, tokens = (ops.reshape(ops.take(ops.reshape(part, (-1,)), rows, axis=0), ops.shape(places)) for part in (scores, tokens))
    return scores, tokens, places // number


@dataclass(frozen=True)
class Drawn:
    """Random sampling: K translations of each sentence, each drawn token by token from the model's probabilities.

    Attributes:
        temperature: logits are divided by this: below 1 the likely gets likelier (Ackley et al., 1985).
        top_k: only that many tokens, the likeliest, are in the lot (Fan et al., 2018); 0 = all.
        top_p: only the likeliest tokens that have this probability together are (Holtzman et al., 2020); 1 = all.
        seeds: of the lot.
    """

    temperature: float
    top_k: int
    top_p: float
    seeds: keras.random.SeedGenerator

    def __call__(self, allowed: Tensor, log_sum: Tensor, alive: Tensor, memories: tuple[Tensor, ...] = ()) -> tuple[Tensor, Tensor, Tensor]:
        """See `likeliest`; every hypothesis has one child, and keeps its place."""
        vocabulary = allowed.shape[-1]
        logits, tokens = ops.top_k(allowed, min(self.top_k or vocabulary, vocabulary))  # --> [B, K, k], the likeliest first
        heated = logits / self.temperature
        shares = ops.exp(heated - heated[..., :1])
        before = ops.cumsum(shares, axis=-1) - shares  # what the likelier ones have together
        inside = before < self.top_p * ops.sum(shares, axis=-1, keepdims=True)
        uniform = keras.random.uniform(ops.shape(heated), minval=1e-7, maxval=1.0, seed=self.seeds)
        # The largest of log p + Gumbel noise is a draw from p (Gumbel, 1954).
        lot = ops.where(inside, heated, NEVER) - ops.log(-ops.log(uniform))
        drawn = ops.cast(ops.top_k(lot, 1)[1], "int32")
        logit, token = (ops.squeeze(ops.take_along_axis(part, drawn, axis=-1), -1) for part in (logits, ops.cast(tokens, "int32")))
        parents = ops.broadcast_to(ops.arange(ops.shape(alive)[1], dtype="int32")[None, :], ops.shape(alive))
        return alive + logit - log_sum, token, parents
