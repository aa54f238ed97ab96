"""Cross-entropy of a batch of sentences: a mean over its tokens, never over its padding."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any


def token_cross_entropy(target_ids: Tensor, logits: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """Mean cross-entropy a token, in nats.

    With smoothing the reference token has probability 1 - label_smoothing and the rest is spread evenly over the vocabulary
    (Szegedy et al., 2016, 7).

    Args:
        target_ids: [B, T] reference ids, 0 at padding.
        logits: [B, T, V].
        label_smoothing: probability mass taken from the reference token.

    Returns:
        A scalar: the sum over real tokens divided by their number.
    """
    vocabulary = logits.shape[-1]
    real = ops.cast(ops.not_equal(target_ids, 0), "float32")
    if label_smoothing:
        rest = label_smoothing / vocabulary
        labels = ops.one_hot(target_ids, vocabulary) * (1.0 - label_smoothing) + rest
        losses = ops.categorical_crossentropy(labels, logits, from_logits=True)
    else:
        losses = ops.sparse_categorical_crossentropy(target_ids, logits, from_logits=True)
    return ops.sum(losses * real) / ops.maximum(ops.sum(real), 1.0)
