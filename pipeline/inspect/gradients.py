"""Gradients by automatic differentiation, of the backend that Keras runs on."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from pipeline.runtime.errors import UserError

Tensor = Any


def has_gradients() -> bool:
    """Whether the backend that Keras runs on is one of those below."""
    return keras.backend.backend() in ("tensorflow", "jax")


def gradient_of(function: Callable[[Tensor], Tensor], at: Any) -> NDArray[np.float32]:
    """The gradient of a scalar function of one tensor; see `gradients_of`."""
    return gradients_of(lambda values: function(values[0]), [at])[0]


def gradients_of(function: Callable[[list[Tensor]], Tensor], at: Sequence[Any]) -> list[NDArray[np.float32]]:
    """The gradients of a scalar function of several tensors.

    Args:
        function: written with `keras.ops`.
        at: where; a gradient has the shape of its tensor, and is 0 where the function does not depend on it.

    Raises:
        UserError: Keras runs on a backend other than TensorFlow or JAX.
    """
    points = [keras.ops.convert_to_tensor(value) for value in at]
    if keras.backend.backend() == "jax":
        import jax

        return [np.asarray(gradient) for gradient in jax.grad(function)(points)]
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"looking at gradients needs KERAS_BACKEND=tensorflow or jax; it is {keras.backend.backend()}. Weights fit all.")
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(points)
        value = function(points)
    found = tape.gradient(value, points, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return [np.asarray(tf.convert_to_tensor(gradient)) for gradient in found]


def gradient_norms(model: Any, batch: Any) -> dict[str, float]:
    """The length of the gradient of each part of a model: 'recurrent_encoder/layer_0', 'gnmt_decoder/attention', 'output' …

    The table of embeddings is 'embedding'; where there are two, 'source_embedding' and 'target_embedding'.

    Args:
        model: a `Seq2Seq`; nothing of it changes.
        batch: the pairs whose loss is meant, without dropout and smoothing.
    """
    variables = model.trainable_variables

    def loss(values: list[Tensor]) -> Tensor:
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            readout = model({name: keras.ops.convert_to_tensor(ids) for name, ids in batch.inputs.items()}, training=False)
            return model.compute_loss(y=keras.ops.convert_to_tensor(batch.target_ids), y_pred=readout, training=False)

    # Where there are two tables, Keras numbers them, as it numbers all second layers of a process.
    tables = {"source_embedding": model.source_embedding, "target_embedding": model.target_embedding}
    named = {} if model.source_embedding is model.target_embedding else {id(table.embeddings): name for name, table in tables.items()}
    squares: dict[str, float] = {}
    for variable, gradient in zip(variables, gradients_of(loss, [variable.value for variable in variables]), strict=True):
        part = named.get(id(variable)) or _part(variable.path)
        squares[part] = squares.get(part, 0.0) + float(np.square(gradient, dtype=np.float64).sum())
    return {part: square**0.5 for part, square in squares.items()}


def _part(path: str) -> str:
    """The part of the network that a weight belongs to, without the number that Keras gives to the second model of a process."""
    whole, *inner = path.split("/")[:-1]
    return "/".join([re.sub(r"_\d+$", "", whole).replace("seq2seq", "output"), *inner])
