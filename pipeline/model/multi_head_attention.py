"""Attention with several heads: at one step each may look elsewhere."""

from __future__ import annotations

from typing import Any

from keras import ops

from pipeline.model.attention import AdditiveAttention
from pipeline.model.masking import masked_softmax
from pipeline.model.precision import matmul

Tensor = Any


class MultiHeadAttention(AdditiveAttention):
    """Additive attention with n heads, as in RNMT+ (Chen et al., 2018, 4.1; the heads are those of Vaswani et al., 2017, 3.2.2).

        score_i(q, k) = g_i v_i / |v_i| . tanh(W_i q + U_i k + b_i [+ w_i c])
        context = [sum_s weight_1s V_1 memory_s; ...; sum_s weight_ns V_n memory_s]

    W_i and U_i lead to A / n numbers, V_i to H / n, so n heads cost what one costs, and the values V memory, once a sentence. There is
    one account of what has been covered: the weights that `call` gives back are the mean of all heads.

    Raises:
        ValueError: the heads do not divide the units, or (in `build`) the memory's width.
    """

    def __init__(self, units: int, heads: int = 1, coverage: bool = False, precision: str = "float32", **kwargs: Any) -> None:
        super().__init__(units, heads, coverage, precision, **kwargs)
        if units % heads:
            raise ValueError(f"The heads must divide the units. Received: units={units}, heads={heads}")
        self.scale_shape = (heads, 1)

    def build(self, query_size: int, memory_size: int) -> None:
        """See `Attention.build`; v_1 to v_n stand one after the other in `direction`, and so do the columns of the kernels."""
        if memory_size % self.heads:
            raise ValueError(f"The heads must divide the memory's width. Received: {memory_size}, heads={self.heads}")
        super().build(query_size, memory_size)
        self.value_kernel = self.add_weight(name="value_kernel", shape=(memory_size, memory_size), initializer="glorot_uniform")

    def project(self, memory: Tensor) -> Tensor:
        """Keys and values of all heads side by side: memory [B, S, H] -> [B, S, A + H]."""
        return ops.concatenate([super().project(memory), matmul(memory, self.value_kernel, self.precision)], axis=-1)

    def scores(self, query: Tensor, keys: Tensor, covered: Tensor | None) -> Tensor:
        """query [B, T, D], keys [B, S, A], covered [B, T, S] or None -> [B, n, T, S]."""
        directions = ops.reshape(self.direction, (self.heads, -1))
        directions = directions * (self.scale * ops.rsqrt(ops.sum(ops.square(directions), axis=1, keepdims=True)))
        # [A, n]: v_i in the rows of its head and in its column, zeros elsewhere, so that one product serves all heads.
        columns = ops.reshape(ops.expand_dims(directions, 2) * ops.expand_dims(ops.eye(self.heads), 1), (self.units, self.heads))
        return ops.transpose(matmul(self.compared(query, keys, covered), columns, "float32"), (0, 3, 1, 2))

    def call(
        self, query: Tensor, keys: Tensor, memory: Tensor, memory_mask: Tensor, covered: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """See `Attention.call`."""
        keys, values = ops.split(keys, [self.units], axis=-1)
        weights = masked_softmax(self.scores(query, keys, covered), memory_mask[:, None, None, :])
        values = ops.reshape(values, (-1, ops.shape(values)[1], self.heads, self.context_size // self.heads))
        contexts = ops.matmul(weights, ops.transpose(values, (0, 2, 1, 3)))  # --> [B, n, T, H / n]
        context = ops.reshape(ops.transpose(contexts, (0, 2, 1, 3)), (-1, ops.shape(query)[1], self.context_size))
        return context, ops.mean(weights, axis=1)
