"""The best finished hypotheses of each sentence, kept in order."""

from __future__ import annotations

from typing import Any, NamedTuple

from keras import ops

from pipeline.decoding.search import NEVER

Tensor = Any

# Taken from the score of a hypothesis that was cut off, so that it stands behind all that ended by themselves.
_CUT = 1e5


class Finished(NamedTuple):
    """N finished hypotheses a sentence, the best first; those cut off at their limit stand behind those that ended by themselves.

    Attributes:
        scores: [B, N]; `NEVER` where there is none.
        log_probs: [B, N] log probabilities.
        ended: [B, N] 1 where it ended by itself, else 0.
        written: [B, N, ...] tensors of what each wrote.
    """

    scores: Tensor
    log_probs: Tensor
    ended: Tensor
    written: tuple[Tensor, ...]

    def to_beat(self) -> Tensor:
        """[B, 1] the score above which another hypothesis would still find a place."""
        return ops.where(self.ended[:, -1:] > 0.5, self.scores[:, -1:], NEVER)

    def of(self, sentences: Tensor) -> Finished:
        """The same of some sentences, [M] int32 of 0 to B - 1."""

        def taken(part: Tensor) -> Tensor:
            return ops.take(part, sentences, axis=0)

        return Finished(taken(self.scores), taken(self.log_probs), taken(self.ended), tuple(taken(part) for part in self.written))

    def joined(self, scores: Tensor, log_probs: Tensor, ended: Tensor, written: tuple[Tensor, ...]) -> Finished:
        """The best of these and of K others.

        Args:
            scores, log_probs, ended: [B, K] as above.
            written: [B * K, ...].
        """
        batch, beams = ops.shape(scores)
        kept = self.scores.shape[1]
        all_scores, all_ended = ops.concatenate([self.scores, scores], axis=1), ops.concatenate([self.ended, ended], axis=1)
        _, places = ops.top_k(all_scores - _CUT * (1.0 - all_ended), kept)
        rows = ops.reshape(ops.cast(places, "int32") + ops.arange(batch, dtype="int32")[:, None] * (kept + beams), (-1,))

        def chosen(ours: Tensor, others: Tensor) -> Tensor:
            rest = ops.shape(ours)[2:]
            together = ops.concatenate([ours, ops.reshape(others, (batch, beams, *rest))], axis=1)
            return ops.reshape(ops.take(ops.reshape(together, (-1, *rest)), rows, axis=0), (batch, kept, *rest))

        return Finished(
            scores=chosen(self.scores, scores),
            log_probs=chosen(self.log_probs, log_probs),
            ended=chosen(self.ended, ended),
            written=tuple(chosen(*pair) for pair in zip(self.written, written, strict=True)),
        )
