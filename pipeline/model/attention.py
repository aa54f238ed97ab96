"""Bahdanau attention: which source tokens each target step looks at."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipeline.model.precision import matmul

Tensor = Any

# Added to the score of padding: exp() of it is exactly 0 in float32, so padding gets no weight at all.
NEVER = -1e9


class BahdanauAttention(keras.layers.Layer):
    """Additive attention (Bahdanau et al., 2015, A.1.2) for any number of queries at once.

        score(q, k) = g v / |v| . tanh(W q + U k + b)

    `U k` does not depend on the query and is computed once a sentence (`project`). The scale g of v is learnt by itself
    (weight normalisation: Salimans & Kingma, 2016, eq. 2), which lets attention become sharp early in training.

    Args:
        units: A, size of the space in which queries and keys are compared.
        precision: of the matrix products.
    """

    def __init__(self, units: int, precision: str = "float32", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.precision = precision

    def build(self, query_size: int, memory_size: int) -> None:
        """Makes the weights for queries [..., D] and a memory [..., H]."""
        self.query_kernel = self.add_weight(name="query_kernel", shape=(query_size, self.units), initializer="glorot_uniform")
        self.memory_kernel = self.add_weight(name="memory_kernel", shape=(memory_size, self.units), initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        self.direction = self.add_weight(name="direction", shape=(self.units,), initializer=keras.initializers.RandomNormal(stddev=1.0))
        self.scale = self.add_weight(name="scale", shape=(), initializer="ones")
        self.built = True

    def project(self, memory: Tensor) -> Tensor:
        """The keys: memory [B, S, H] -> [B, S, A], once a sentence."""
        return matmul(memory, self.memory_kernel, self.precision, self.bias)

    def call(self, query: Tensor, keys: Tensor, memory: Tensor, memory_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Attends to the source.

        Args:
            query: [B, T, D] decoder states.
            keys: [B, S, A] from `project`.
            memory: [B, S, H] encoder outputs.
            memory_mask: [B, S] bool, True at real tokens.

        Returns:
            context [B, T, H]; weights [B, T, S], summing to 1, exactly 0 at padding.
        """
        queries = matmul(query, self.query_kernel, self.precision)
        compared = ops.tanh(ops.expand_dims(queries, 2) + ops.expand_dims(keys, 1))  # --> [B, T, S, A]
        direction = self.direction * (self.scale * ops.rsqrt(ops.sum(ops.square(self.direction))))
        scores = ops.squeeze(matmul(compared, ops.expand_dims(direction, 1), "float32"), -1)  # --> [B, T, S]
        scores = scores + ops.where(memory_mask, 0.0, NEVER)[:, None, :]
        weights = ops.softmax(scores, axis=-1)
        return ops.matmul(weights, memory), weights
