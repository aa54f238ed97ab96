"""Gradients by automatic differentiation, of the backend that Keras runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.runtime.errors import UserError

Tensor = Any


def gradient_of(function: Callable[[Tensor], Tensor], at: Any) -> NDArray[np.float32]:
    """The gradient of a scalar function of one tensor.

    Args:
        function: written with `keras.ops`.
        at: where; the gradient has its shape.

    Raises:
        UserError: Keras runs on a backend other than TensorFlow or JAX.
    """
    if keras.backend.backend() == "jax":
        import jax

        return np.asarray(jax.grad(function)(keras.ops.convert_to_tensor(at)))
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"looking at gradients needs KERAS_BACKEND=tensorflow or jax; it is {keras.backend.backend()}. Weights fit all.")
    import tensorflow as tf

    point = tf.convert_to_tensor(at)
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = function(point)
    return np.asarray(tape.gradient(value, point))
