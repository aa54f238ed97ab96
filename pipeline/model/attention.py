"""Attention: which source tokens each target step looks at. The base of every kind, and Bahdanau's, the one to read first."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipeline.model.masking import masked_softmax
from pipeline.model.precision import matmul

Tensor = Any


class Attention(keras.layers.Layer):
    """Scores every source token for every query; the softmax of the scores weighs the memory: context = sum_s weight_s memory_s.

    Kinds differ in the score. With coverage (Tu et al., 2016; See et al., 2017, eq. 10 and 11) it also depends on how much weight a token
    has had in earlier steps, so that the decoder can learn neither to repeat itself nor to leave words out; a loss that asks for it,
    as See et al. add one, there is not.

    Args:
        units: A, size of the space in which additive attention compares queries and keys.
        heads: of the kind that has several.
        coverage: whether `call` is given `covered`.
        precision: of the large matrix products; scores and weights are always float32.

    Attributes:
        context_size: C, set by `build`.
    """

    context_size: int

    def __init__(self, units: int, heads: int = 1, coverage: bool = False, precision: str = "float32", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.heads = units, heads
        self.coverage = coverage
        self.precision = precision

    def build(self, query_size: int, memory_size: int) -> None:
        """Makes the weights for queries [..., D] and a memory [..., H]."""
        self.context_size = memory_size
        self.built = True

    def project(self, memory: Tensor) -> Tensor:
        """The keys: memory [B, S, H] -> [B, S, X], all that does not depend on the query, once a sentence."""
        return memory

    def scores(self, query: Tensor, keys: Tensor, covered: Tensor | None) -> Tensor:
        """query [B, T, D], keys [B, S, X], covered [B, T, S] or None -> [B, T, S]."""
        raise NotImplementedError

    def call(
        self, query: Tensor, keys: Tensor, memory: Tensor, memory_mask: Tensor, covered: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor]:
        """Attends to the source.

        Args:
            query: [B, T, D] decoder states; at decoding [B, K, D], those of K hypotheses.
            keys: [B, S, X] from `project`.
            memory: [B, S, H] encoder outputs.
            memory_mask: [B, S] bool, True at real tokens.
            covered: [B, T, S] the sum of the weights of earlier steps; with coverage, and only then.

        Returns:
            context [B, T, C]; weights [B, T, S], summing to 1, exactly 0 at padding.
        """
        weights = masked_softmax(self.scores(query, keys, covered), memory_mask[:, None, :])
        return ops.matmul(weights, memory), weights


class AdditiveAttention(Attention):
    """Additive attention (Bahdanau et al., 2015, A.1.2) for any number of queries at once.

        score(q, k) = g v / |v| . tanh(W q + U k + b [+ w c])

    `U k + b` does not depend on the query and is computed once a sentence (`project`). The scale g of v is learnt by itself
    (weight normalisation: Salimans & Kingma, 2016, eq. 2), which lets attention become sharp early in training. c is how much the
    token has been covered (See et al., 2017, eq. 11).
    """

    scale_shape: tuple[int, ...] = ()  # of g: one number, or one for each of several heads

    def build(self, query_size: int, memory_size: int) -> None:
        """See `Attention.build`."""
        self.query_kernel = self.add_weight(name="query_kernel", shape=(query_size, self.units), initializer="glorot_uniform")
        self.memory_kernel = self.add_weight(name="memory_kernel", shape=(memory_size, self.units), initializer="glorot_uniform")
        self.bias = self.add_weight(name="bias", shape=(self.units,), initializer="zeros")
        self.direction = self.add_weight(name="direction", shape=(self.units,), initializer=keras.initializers.RandomNormal(stddev=1.0))
        self.scale = self.add_weight(name="scale", shape=self.scale_shape, initializer="ones")
        if self.coverage:
            self.coverage_kernel = self.add_weight(name="coverage_kernel", shape=(self.units,), initializer="zeros")
        super().build(query_size, memory_size)

    def project(self, memory: Tensor) -> Tensor:
        """The keys U k + b: memory [B, S, H] -> [B, S, A]."""
        return matmul(memory, self.memory_kernel, self.precision, self.bias)

    def compared(self, query: Tensor, keys: Tensor, covered: Tensor | None) -> Tensor:
        """tanh(W q + U k + b [+ w c]), every query with every key: [B, T, S, A].

        This is the only tensor of that size which automatic differentiation keeps; a gradient written by hand was not faster.
        """
        queries = matmul(query, self.query_kernel, self.precision)
        both = ops.expand_dims(queries, 2) + ops.expand_dims(keys, 1)
        if covered is not None:
            both = both + ops.expand_dims(covered, 3) * self.coverage_kernel
        return ops.tanh(both)

    def scores(self, query: Tensor, keys: Tensor, covered: Tensor | None) -> Tensor:
        """See `Attention.scores`."""
        direction = self.direction * (self.scale * ops.rsqrt(ops.sum(ops.square(self.direction))))
        return ops.squeeze(matmul(self.compared(query, keys, covered), ops.expand_dims(direction, 1), "float32"), -1)
