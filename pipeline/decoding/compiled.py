"""Compiling a function of tensors for the backend in use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, compiled: `tf.function` on TensorFlow, `jax.jit` on JAX, as it is on PyTorch.

    On TensorFlow shapes may vary freely; on JAX each new shape is compiled anew, so pad to few of them.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        # It warns of a function that is traced a few times in hundreds of calls: once for each kind of shapes is what is meant here.
        tf.get_logger().setLevel("ERROR")
        # No AutoGraph: the code has no Python `if` or `while` on tensors, and to look for them takes seconds.
        return tf.function(function, reduce_retracing=True, autograph=False)
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    return function
