"""A search compiled by XLA, for servers: shapes are padded to powers of two, because each new one is compiled, which takes seconds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from pipeline.data.subwords import EOS, PAD

Tensor = Any

_SHORTEST = 8
"""Pieces that a search is compiled for at least."""


def compiled_by_xla(searching: Callable[[Tensor], tuple[Tensor, ...]], signature: Sequence[tf.TensorSpec]) -> Callable[[Tensor], Any]:
    """A search from ids [B, S], compiled when it first meets a shape of ids; B and S are padded.

    The sentences that fill a batch up are EOS and nothing else, so that they end soon.
    """
    compiled = tf.function(searching, input_signature=signature, jit_compile=True, autograph=False)

    def padded(ids: Tensor) -> tuple[Tensor, ...]:
        batch, length = tf.unstack(tf.shape(ids))
        wider, longer = _power_of_two(batch, 1), _power_of_two(length, _SHORTEST)
        ids = tf.pad(ids, [[0, 0], [0, longer - length]])
        more = tf.one_hot(tf.zeros([wider - batch], tf.int32), longer, EOS, PAD, dtype=tf.int32)
        found = compiled(tf.concat([ids, more], axis=0))
        return tuple(part[:batch] for part in found)

    return tf.function(padded, input_signature=signature, autograph=False)


def _power_of_two(number: Tensor, least: int) -> Tensor:
    """The next one, `least` or more."""
    bits = tf.reduce_sum(tf.cast(tf.bitwise.right_shift(tf.maximum(number, least) - 1, tf.range(31)) > 0, tf.int32))
    return tf.bitwise.left_shift(1, bits)
