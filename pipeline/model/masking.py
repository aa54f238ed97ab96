"""Softmax and mean over real tokens only."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any

# Added to the score of padding: exp() of it is exactly 0 in float32, so padding gets no weight at all.
NEVER = -1e9


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Softmax over the last axis of scores [..., S] where `mask`, which broadcasts to them, is True; exactly 0 elsewhere.

    Where nothing is True, all is 0.
    """
    real = ops.cast(mask, "float32")
    return ops.softmax(scores + (1.0 - real) * NEVER, axis=-1) * real


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values [B, S, H] over the tokens where mask [B, S] is True: [B, H]; 0 where none is."""
    real = ops.cast(mask, "float32")[..., None]
    return ops.sum(values * real, axis=1) / ops.maximum(ops.sum(real, axis=1), 1.0)
