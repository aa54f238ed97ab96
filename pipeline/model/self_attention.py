"""A self-attention encoder for the hybrid: every source token looks at all others at once (Vaswani et al., 2017)."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipeline.model.dropout import Dropout
from pipeline.model.initialization import Initialization
from pipeline.model.masking import masked_mean, masked_softmax
from pipeline.model.precision import matmul

Tensor = Any

_EPSILON = 1e-5


class SelfAttentionEncoder(keras.layers.Layer):
    """Layers of self-attention and position-wise networks, normalised before each (Xiong et al., 2020), as a recurrent decoder's memory.

    Chen et al. (2018, 6) found it the best encoder for a recurrent decoder.

    Args:
        units: H, width of the memory; the embeddings must have it too, for every layer adds to them.
        layers: how many.
        heads: of each attention; divides the units.
        dropout: on the embeddings, inside the layers where they add to their inputs, and on the memory.
        initialization: of the weights.
        precision: of the matrix products.

    Raises:
        ValueError: the heads do not divide the units, or (in `build`) the embeddings have another size.
    """

    def __init__(
        self,
        units: int,
        layers: int,
        heads: int,
        dropout: float = 0.0,
        initialization: Initialization | None = None,
        precision: str = "float32",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if units % heads:
            raise ValueError(f"The heads must divide the units. Received: units={units}, heads={heads}")
        self.memory_size = units
        self.blocks = [
            SelfAttentionBlock(units, heads, dropout, initialization or Initialization(), precision, name=f"layer_{number}")
            for number in range(layers)
        ]
        self.input_dropout = Dropout(dropout)
        self.output_dropout = Dropout(dropout)
        self.norm = keras.layers.LayerNormalization(epsilon=_EPSILON, name="norm")

    def build(self, embedding_size: int) -> None:
        """Makes the weights for embeddings [B, S, E]."""
        if embedding_size != self.memory_size:
            raise ValueError(
                f"Self-attention adds to the embeddings, which must be as wide. Received: {embedding_size}, {self.memory_size}"
            )
        for block in self.blocks:
            block.build()
        self.norm.build((None, None, self.memory_size))
        self.built = True

    def call(self, embedded: Tensor, token_mask: Tensor, training: bool = False) -> tuple[Tensor, Tensor]:
        """Reads the source.

        Args:
            embedded: [B, S, E] embeddings.
            token_mask: [B, S] bool, True at real tokens.

        Returns:
            memory [B, S, H]; summary [B, H], the mean of the memory over real tokens.
        """
        values = self.input_dropout(embedded + positions(ops.shape(embedded)[1], self.memory_size), training=training)
        for block in self.blocks:
            values = block(values, token_mask, training=training)
        values = self.norm(values)
        return self.output_dropout(values, training=training), masked_mean(values, token_mask)


class SelfAttentionBlock(keras.layers.Layer):
    """x + attention(norm(x)), then x + relu(norm(x) W_1) W_2 (Vaswani et al., 2017, 3.1 to 3.3, the norms moved first)."""

    def __init__(self, units: int, heads: int, dropout: float, initialization: Initialization, precision: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units, self.heads, self.precision = units, heads, precision
        self.initialization = initialization
        self.norms = [keras.layers.LayerNormalization(epsilon=_EPSILON, name=f"norm_{number}") for number in range(2)]
        self.dropouts = [Dropout(dropout) for _ in range(2)]

    def build(self) -> None:
        """Makes the weights."""
        units, inner, kernel_of = self.units, 4 * self.units, self.initialization.kernel_of
        self.attend_kernel = self.add_weight(name="attend_kernel", shape=(units, 3 * units), initializer=kernel_of(units, units))
        self.join_kernel = self.add_weight(name="join_kernel", shape=(units, units), initializer=kernel_of(units, units))
        self.widen_kernel = self.add_weight(name="widen_kernel", shape=(units, inner), initializer=kernel_of(units, inner))
        self.narrow_kernel = self.add_weight(name="narrow_kernel", shape=(inner, units), initializer=kernel_of(inner, units))
        self.biases = [
            self.add_weight(name=f"{name}_bias", shape=(size,), initializer="zeros")
            for name, size in (("join", units), ("widen", inner), ("narrow", units))
        ]
        for norm in self.norms:
            norm.build((None, None, units))
        self.built = True

    def call(self, values: Tensor, token_mask: Tensor, training: bool = False) -> Tensor:
        """values [B, S, H]; token_mask [B, S] bool, True at real tokens -> [B, S, H]."""
        attended = self._attend(self.norms[0](values), token_mask)
        values = values + self.dropouts[0](matmul(attended, self.join_kernel, self.precision, self.biases[0]), training=training)
        inner = ops.relu(matmul(self.norms[1](values), self.widen_kernel, self.precision, self.biases[1]))
        return values + self.dropouts[1](matmul(inner, self.narrow_kernel, self.precision, self.biases[2]), training=training)

    def _attend(self, values: Tensor, token_mask: Tensor) -> Tensor:
        length, size = ops.shape(values)[1], self.units // self.heads
        joined = matmul(values, self.attend_kernel, self.precision)
        heads = ops.transpose(ops.reshape(joined, (-1, length, 3 * self.heads, size)), (0, 2, 1, 3))  # --> [B, 3 heads, S, size]
        queries, keys, contents = ops.split(heads, 3, axis=1)
        scores = ops.matmul(queries * size**-0.5, ops.transpose(keys, (0, 1, 3, 2)))
        contexts = ops.matmul(masked_softmax(scores, token_mask[:, None, None, :]), contents)
        return ops.reshape(ops.transpose(contexts, (0, 2, 1, 3)), (-1, length, self.units))


def positions(length: Tensor, size: int) -> Tensor:
    """Sines and cosines of the position, in geometrically growing wavelengths (Vaswani et al., 2017, 3.5): [1, S, size]."""
    rates = 10_000.0 ** (-2.0 * ops.cast(ops.arange((size + 1) // 2), "float32") / size)
    angles = ops.cast(ops.arange(length), "float32")[:, None] * rates
    return ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=-1)[None, :, :size]
