"""What a search looks for, its settings, and what it finds: the formulas of `beam_search.py`."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, asdict, dataclass
from typing import Any, NamedTuple

from keras import ops

Tensor = Any

# The log probability of what must not be chosen. Finite, so that sums of it stay numbers.
NEVER = -1e9

# Attention below this counts as this in the coverage penalty: a token that was never looked at costs 9.2 * beta.
_LEAST_COVERAGE = 1e-4

# Tokens that a translation may have beyond `max_length_ratio` times its source: of a source of two tokens, twice as much is not enough.
EXTRA_TOKENS = 10


def log_sum_exp(logits: Tensor) -> Tensor:
    """log sum_v exp(logit_v) over the last axis: logit_v - log p_v of any v, and of the likeliest with the smallest error.

    A softmax goes through memory once, in every runtime; maximum, difference, exp and sum each do. TensorFlow's own function has
    operators that are not TensorFlow Lite's.
    """
    return ops.max(logits, axis=-1) - ops.log(ops.max(ops.softmax(logits, axis=-1), axis=-1))


@dataclass(frozen=True)
class Search:
    """The settings of a search. It looks for the translation y of x with the highest

        score(y) = log p(y | x) / ((5 + |y|) / 6) ** alpha + beta * sum_s log min(1, sum_t a_ts)      (Wu et al., 2016, equation 14)

    where |y| counts tokens, EOS included, and a_ts is the attention that token t of y pays to token s of x.

    Attributes:
        beam_size: K, hypotheses kept; 1 is greedy search.
        max_tokens: L, limit of a hypothesis in tokens, EOS counted.
        length_penalty: alpha.
        coverage_penalty: beta; 0 = none.
        best: N, translations of each sentence, the best ones there are; at most K.
        min_length_ratio: y has at least this many times the tokens of x, EOS counted on both sides.
        max_length_ratio: y has at most this many times the tokens of x and `EXTRA_TOKENS`, or of its slots if more; None = L alone.
        no_repeat_ngram: no sequence of that many tokens stands twice in y; 0 = none.
        patience: p, no search for a better one once p K hypotheses have ended, and N at least (Kasai et al., 2022); None = until
            it is certain that there is none.
        slots: the ids behind eos, that many, stand in y exactly as often as in x, once or not at all; 0 = no such rule.
        slotless: it is known beforehand that x has none of them: the same translations, found sooner.
        bos, eos: ids of the tokens that begin and end a sentence.
    """

    beam_size: int
    max_tokens: int
    length_penalty: float
    _: KW_ONLY
    coverage_penalty: float = 0.0
    best: int = 1
    min_length_ratio: float = 0.0
    max_length_ratio: float | None = None
    no_repeat_ngram: int = 0
    patience: float | None = None
    slots: int = 0
    slotless: bool = False
    bos: int = 2
    eos: int = 3

    def __post_init__(self) -> None:
        """Raises ValueError where more translations are wanted than hypotheses are kept."""
        if self.best > self.beam_size:
            raise ValueError(f"Expected best <= beam_size. Received: best={self.best}, beam_size={self.beam_size}")

    def described(self) -> dict[str, Any]:
        """The settings, for people and reports."""
        return {key: value for key, value in asdict(self).items() if key not in ("slotless", "bos", "eos")}

    @property
    def enough(self) -> int | None:
        """Hypotheses that have ended after which a search is over; None = however many."""
        return None if self.patience is None else max(self.best, math.ceil(self.patience * self.beam_size))

    def penalty(self, length: Tensor) -> Tensor:
        """((5 + length) / 6) ** alpha; length in tokens, EOS counted."""
        return ops.power((5.0 + ops.cast(length, "float32")) / 6.0, self.length_penalty)

    def coverage(self, attention: Tensor, source_mask: Tensor) -> Tensor:
        """beta * sum_s log min(1, attention_s) over real source tokens.

        Args:
            attention: [..., S] what each source token has had of all target tokens.
            source_mask: [..., S] True at real tokens.
        """
        logs = ops.log(ops.clip(attention, _LEAST_COVERAGE, 1.0))
        return self.coverage_penalty * ops.sum(ops.where(source_mask, logs, 0.0), axis=-1)

    def least(self, source_lengths: Tensor) -> Tensor:
        """The fewest tokens of a translation: source_lengths [B], EOS counted -> [B] int32."""
        least = ops.ceil(self.min_length_ratio * ops.cast(source_lengths, "float32") - 1e-4)
        return ops.minimum(ops.cast(least, "int32"), self.most(source_lengths))

    def most(self, source_lengths: Tensor) -> Tensor:
        """The most tokens of a translation: source_lengths [B], EOS counted -> [B] int32, at most L."""
        if self.max_length_ratio is None:
            return ops.full(ops.shape(source_lengths), self.max_tokens, dtype="int32")
        most = ops.floor(self.max_length_ratio * ops.cast(source_lengths, "float32") + 1e-4)
        return ops.minimum(ops.cast(most, "int32") + EXTRA_TOKENS, self.max_tokens)


class Found(NamedTuple):
    """The N best translations of each of B sentences, the best first.

    Attributes:
        ids: [B, N, L] int32, EOS included where there is one, 0 after it. One without EOS reached its limit of tokens; it stands behind
            those that ended, and where there are fewer than N translations, the rest are of 0 alone.
        scores: [B, N] see `Search`; natural log. `NEVER` where there is none.
        log_probs: [B, N] log p(y | x) by the model; natural log.
        attention: [B, N, S] what each source token has had of all target tokens, if it was asked for, else None.
    """

    ids: Tensor
    scores: Tensor
    log_probs: Tensor
    attention: Tensor | None = None
