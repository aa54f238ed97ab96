"""Beam search over any step function, written with `keras.ops` alone.

The same code runs in training's validation, in `translate`, inside the SavedModel and inside the .tflite file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras import ops

Tensor = Any

# (last tokens [B, K], states [B, K, X]) -> (logits [B, K, V], next states [B, K, X])
Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

# The log probability of what must not be chosen. Finite, so that sums of it stay numbers.
NEVER = -1e9


@dataclass(frozen=True)
class Search:
    """The settings of a search.

    Attributes:
        beam_size: K, hypotheses kept; 1 is greedy search.
        max_tokens: L, limit of a hypothesis in tokens, EOS counted.
        length_penalty: alpha.
        bos, eos: ids of the tokens that begin and end a sentence.
    """

    beam_size: int
    max_tokens: int
    length_penalty: float
    bos: int = 2
    eos: int = 3

    def penalty(self, length: Tensor) -> Tensor:
        """((5 + length) / 6) ** alpha (Wu et al., 2016, eq. 14); length in tokens, EOS counted."""
        return ops.power((5.0 + ops.cast(length, "float32")) / 6.0, self.length_penalty)


def beam_search(step: Step, initial: Tensor, search: Search) -> tuple[Tensor, Tensor]:
    """The best hypothesis of each sentence: log probability divided by `Search.penalty` of its length.

    At every step the unfinished hypotheses are grown by one token and the K best results kept. Those that end leave the beam, and
    their places go to the growth of the others; so a beam of one is greedy search. A sentence is done when no unfinished
    hypothesis can still win: growing only lowers a log probability, so its best possible score is the one it has now, divided by
    the penalty of the longest length. A hypothesis that does not end within max_tokens counts only where none has ended.

    Args:
        step: the model, one token at a time.
        initial: [B, X] the state before the first token.
        search: the settings.

    Returns:
        ids [B, L] int32, EOS included where there is one, 0 after it; scores [B], natural log, penalised.
    """
    beams, limit = search.beam_size, search.max_tokens
    batch, width = ops.shape(initial)
    longest = search.penalty(ops.convert_to_tensor(limit))
    positions = ops.arange(limit, dtype="int32")
    offsets = ops.arange(batch, dtype="int32")[:, None] * beams

    def unfinished(index: Tensor, tokens: Tensor, states: Tensor, alive: Tensor, history: Tensor, best: Tensor, best_ids: Tensor) -> Tensor:
        return ops.logical_and(index < limit, ops.any(alive / longest > best[:, None]))

    def grow(
        index: Tensor, tokens: Tensor, states: Tensor, alive: Tensor, history: Tensor, best: Tensor, best_ids: Tensor
    ) -> tuple[Tensor, ...]:
        # tokens [B, K]; states [B * K, X]; alive [B, K] log probabilities; history [B * K, L]; best [B]; best_ids [B, L]
        logits, grown = step(tokens, ops.reshape(states, (batch, beams, width)))
        vocabulary = logits.shape[-1]
        log_probs = ops.log_softmax(logits, axis=-1) + alive[:, :, None]  # --> [B, K, V]

        alive, found = ops.top_k(ops.reshape(log_probs, (batch, beams * vocabulary)), beams)  # --> [B, K], best first
        found = ops.cast(found, "int32")
        tokens = found % vocabulary
        parents = ops.reshape(found // vocabulary + offsets, (-1,))
        states = ops.take(ops.reshape(grown, (batch * beams, width)), parents, axis=0)
        history = ops.where(positions == index, ops.reshape(tokens, (-1, 1)), ops.take(history, parents, axis=0))

        # Those that end here leave the beam; the best of them is kept if it is better than what ended before.
        ended = tokens == search.eos
        scores = ops.where(ops.logical_and(ended, alive > NEVER / 2), alive / search.penalty(index + 1), NEVER)
        score, beam = (ops.squeeze(top, 1) for top in ops.top_k(scores, 1))
        better = score > best
        best = ops.where(better, score, best)
        best_ids = ops.where(better[:, None], ops.take(history, ops.cast(beam, "int32") + offsets[:, 0], axis=0), best_ids)
        return index + 1, tokens, states, ops.where(ended, NEVER, alive), history, best, best_ids

    # All hypotheses start as the same one: only the first may be grown at first.
    alive = ops.where(ops.arange(beams) == 0, 0.0, NEVER)
    state = (
        ops.zeros((), dtype="int32"),
        ops.full((batch, beams), search.bos, dtype="int32"),
        ops.repeat(initial, beams, axis=0),
        ops.broadcast_to(alive[None, :], (batch, beams)),
        ops.zeros((batch * beams, limit), dtype="int32"),
        ops.full((batch,), NEVER, dtype="float32"),
        ops.zeros((batch, limit), dtype="int32"),
    )
    _, _, _, alive, history, best, best_ids = ops.while_loop(unfinished, grow, state)

    none_ended = best <= NEVER / 2
    cut = ops.take(history, offsets[:, 0], axis=0)  # the first beam is the best, for top_k sorts
    return ops.where(none_ended[:, None], cut, best_ids), ops.where(none_ended, alive[:, 0] / longest, best)
