"""The kinds of attention besides Bahdanau's: Luong's two, none at all, and the dictionary of all."""

from __future__ import annotations

from typing import Any

from keras import ops

from pipeline.model.attention import AdditiveAttention, Attention
from pipeline.model.multi_head_attention import MultiHeadAttention
from pipeline.model.precision import matmul

Tensor = Any


class DotAttention(Attention):
    """score(q, k) = q . k / sqrt(D) [+ w c], without weights of its own (Luong et al., 2015, 3.1).

    The paper does not divide; products of long vectors make the softmax too sharp to learn (Vaswani et al., 2017, 3.2.1).

    Raises:
        ValueError: (in `build`) the queries are not as wide as the memory.
    """

    def build(self, query_size: int, memory_size: int) -> None:
        """See `Attention.build`."""
        self.build_keys(query_size, memory_size)
        if self.coverage:
            self.coverage_scale = self.add_weight(name="coverage_scale", shape=(), initializer="zeros")
        super().build(query_size, memory_size)

    def build_keys(self, query_size: int, memory_size: int) -> None:
        """What `project` needs."""
        if query_size != memory_size:
            raise ValueError(f"Dot attention needs queries as wide as the memory. Received: {query_size} and {memory_size}")

    def project(self, memory: Tensor) -> Tensor:
        """The keys k / sqrt(D): [B, S, H] -> [B, S, D], where D = H."""
        return memory * self.context_size**-0.5

    def scores(self, query: Tensor, keys: Tensor, covered: Tensor | None) -> Tensor:
        """See `Attention.scores`."""
        scores = ops.matmul(query, ops.transpose(keys, (0, 2, 1)))
        return scores if covered is None else scores + covered * self.coverage_scale


class GeneralAttention(DotAttention):
    """score(q, k) = q . W k [+ w c] (Luong et al., 2015, 3.1)."""

    def build_keys(self, query_size: int, memory_size: int) -> None:
        """W."""
        self.memory_kernel = self.add_weight(name="memory_kernel", shape=(memory_size, query_size), initializer="glorot_uniform")

    def project(self, memory: Tensor) -> Tensor:
        """The keys W k: memory [B, S, H] -> [B, S, D]."""
        return matmul(memory, self.memory_kernel, self.precision)


class NoAttention(Attention):
    """The decoder knows of the source what its first state says (Sutskever et al., 2014): no context, no weights."""

    def build(self, query_size: int, memory_size: int) -> None:
        """See `Attention.build`."""
        super().build(query_size, memory_size)
        self.context_size = 0

    def call(self, query: Tensor, keys: Tensor, memory: Tensor, memory_mask: Tensor, covered: Tensor | None = None) -> tuple[None, Tensor]:
        """None, for there is no context; weights [B, T, S], all 0."""
        batch, source_length = ops.shape(memory)[:2]
        return None, ops.zeros((batch, ops.shape(query)[1], source_length))


ATTENTIONS: dict[str, type[Attention]] = {
    "additive": AdditiveAttention,
    "dot": DotAttention,
    "general": GeneralAttention,
    "multi_head": MultiHeadAttention,
    "none": NoAttention,
}
