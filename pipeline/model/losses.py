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
        losses = ops.categorical_crossentropy(_smoothed(target_ids, vocabulary, label_smoothing), logits, from_logits=True)
    else:
        losses = ops.sparse_categorical_crossentropy(target_ids, logits, from_logits=True)
    return ops.sum(losses * real) / ops.maximum(ops.sum(real), 1.0)


def _smoothed(target_ids: Tensor, vocabulary: int, label_smoothing: float) -> Tensor:
    """[B, T, V] probabilities, written once: it is as large as the logits, and a product and a sum of one-hot rows pass over it twice."""
    flat = ops.reshape(ops.cast(target_ids, "int32"), (-1,))
    count = ops.shape(flat)[0]
    rest = label_smoothing / vocabulary
    labels = ops.full((count, vocabulary), rest, dtype="float32")
    places = ops.stack([ops.arange(count, dtype="int32"), flat], axis=1)
    labels = ops.scatter_update(labels, places, ops.full((count,), 1.0 - label_smoothing + rest, dtype="float32"))
    return ops.reshape(labels, (*ops.shape(target_ids), vocabulary))
