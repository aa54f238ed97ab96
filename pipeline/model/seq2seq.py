"""The whole network: embeddings, encoder, decoder and output layer."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from pipeline.model.decoder import Decoder, Encoded
from pipeline.model.losses import halves, output_cross_entropy
from pipeline.model.precision import matmul

Tensor = Any


class Seq2Seq(keras.Model):
    """An encoder-decoder (Sutskever et al., 2014; with attention: Bahdanau et al., 2015), its parts made by `build.py`.

    Args:
        source_vocabulary, target_vocabulary: V of each side; id 0 is padding.
        embedding_size: E.
        encoder: [B, S, E] to a memory [B, S, H] and its summary [B, H].
        decoder: the target so far and the memory to a readout [B, T, R].
        shared_embeddings: one table for both sides.
        tied_output: the output layer is the target embedding, transposed (Press & Wolf, 2017); needs R = E.
        label_smoothing: of the training loss; validation is always without.
        consistency: weight of R-Drop (Liang et al., 2021) in the training loss; 0 = none.
        side_by_side: in training, the two halves of a batch are two branches of the graph, for two cores to compute at once. They share
            nothing until their gradients are added, while within one branch nearly every operation waits for the one before.
        precision: of the matrix products, "float32" or "bfloat16".
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        *,
        embedding_size: int,
        encoder: keras.layers.Layer,
        decoder: Decoder,
        shared_embeddings: bool = False,
        tied_output: bool = False,
        label_smoothing: float = 0.0,
        consistency: float = 0.0,
        side_by_side: bool = False,
        precision: str = "float32",
    ) -> None:
        if shared_embeddings and source_vocabulary != target_vocabulary:
            raise ValueError(
                f"Shared embeddings need one vocabulary. Received: {source_vocabulary} source, {target_vocabulary} target pieces."
            )
        super().__init__(name="seq2seq")
        self.label_smoothing = label_smoothing
        self.consistency = consistency
        self.side_by_side = side_by_side
        self.precision = precision
        self.tied_output = tied_output
        self.source_embedding = _embedding(source_vocabulary, embedding_size)
        self.target_embedding = self.source_embedding if shared_embeddings else _embedding(target_vocabulary, embedding_size)
        self.encoder, self.decoder = encoder, decoder
        self.encoder.build(embedding_size)
        self.decoder.build(embedding_size, memory_size=encoder.memory_size)
        if not tied_output:
            self.output_kernel = self.add_weight(
                name="output_kernel", shape=(decoder.readout_size, target_vocabulary), initializer="glorot_uniform"
            )
        self.output_bias = self.add_weight(name="output_bias", shape=(target_vocabulary,), initializer="zeros")
        self.built = True

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        """Teacher forcing, up to the output layer: in training that is one function with the loss, for speed.

        Args:
            inputs: source_ids [B, S] and target_inputs [B, T], the target shifted right (BOS first); 0 is padding.

        Returns:
            readout [B, T, R]: `logits` of position t predict target token t. In training with `consistency` every sentence is read
            twice, each time with dropout of its own: [2B, T, R].
        """
        source_ids, target_inputs = inputs["source_ids"], inputs["target_inputs"]
        if training and self.consistency:
            source_ids, target_inputs = _twice(source_ids), _twice(target_inputs)
        if not (training and self.side_by_side):
            return self._read(source_ids, target_inputs, training)
        parts = [self._read(*half, training) for half in zip(halves(source_ids), halves(target_inputs), strict=True)]
        return ops.concatenate(parts, axis=0)

    def _read(self, source_ids: Tensor, target_inputs: Tensor, training: bool) -> Tensor:
        encoded = self.encode(source_ids, training=training)
        readout, _ = self.decoder.teacher_forced(self.embed_target(target_inputs), encoded, training=training)
        return readout

    def encode(self, source_ids: Tensor, training: bool = False) -> Encoded:
        """Reads source sentences: ids [B, S], 0 at padding."""
        return self.encode_embedded(self.embed_source(source_ids), ops.not_equal(source_ids, 0), training)

    def encode_embedded(self, embedded: Tensor, mask: Tensor, training: bool = False) -> Encoded:
        """Reads source sentences whose embeddings [B, S, E] are there; mask [B, S] bool, True at real tokens."""
        memory, summary = self.encoder(embedded, token_mask=mask, training=training)
        return Encoded(memory, self.decoder.attention.project(memory), mask, self.decoder.initial_state(memory, summary, mask))

    def decode_step(self, token_ids: Tensor, state: Tensor, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
        """One decoding step of K hypotheses a sentence.

        Args:
            token_ids: [B, K] the last token of each.
            state: [B, K, Y].
            encoded: of the B sentences.

        Returns:
            logits [B, K, V]; next state [B, K, Y]; attention weights [B, K, S].
        """
        readout, state, weights = self.read_token(token_ids, state, encoded)
        return self.logits(readout), state, weights

    def read_token(self, token_ids: Tensor, state: Tensor, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
        """`decode_step` up to the output layer: readout [B, K, R], which `logits` is to be given; next state; attention weights."""
        return self.decoder.step(self.embed_target(token_ids), state, encoded)

    def embed_source(self, token_ids: Tensor) -> Tensor:
        """ids [...] -> embeddings [..., E]."""
        return self.source_embedding(token_ids) * self._embedding_scale

    def embed_target(self, token_ids: Tensor) -> Tensor:
        """ids [...] -> embeddings [..., E]."""
        return self.target_embedding(token_ids) * self._embedding_scale

    def logits(self, readout: Tensor, layer: tuple[Tensor, Tensor] | None = None) -> Tensor:
        """The output layer: readout [..., R] -> logits [..., V]; `layer`: from `output_layer`, for some of the pieces."""
        kernel, bias = self.output_layer() if layer is None else layer
        return matmul(readout, kernel, self.precision, bias)

    def output_layer(self, token_ids: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Kernel [R, N] and bias [N] of the output layer for N pieces; default: all."""

        def taken(weights: Tensor, axis: int) -> Tensor:
            return weights if token_ids is None else ops.take(weights, token_ids, axis=axis)

        bias = taken(self.output_bias, 0)
        if not self.tied_output:
            return taken(self.output_kernel, 1), bias
        # Rounded first and then transposed: the table is large, and this way half of it is moved.
        return ops.transpose(ops.cast(taken(self.target_embedding.embeddings, 0), self.precision)), bias

    def compute_loss(
        self, x: Any = None, y: Tensor = None, y_pred: Tensor = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """Cross-entropy a token; y: [B, T] target ids, 0 at padding; y_pred: what `call` gives."""
        kernel = self.target_embedding.embeddings if self.tied_output else self.output_kernel
        if not training:
            return output_cross_entropy(y_pred, kernel, self.output_bias, y, precision=self.precision, tied=self.tied_output)
        return output_cross_entropy(
            y_pred,
            kernel,
            self.output_bias,
            _twice(y) if self.consistency else y,
            self.label_smoothing,
            self.precision,
            self.tied_output,
            self.consistency,
            self.side_by_side,
        )

    @property
    def _embedding_scale(self) -> float:
        # Tables start small, as an output layer must; inputs should have unit variance (Vaswani et al., 2017, 3.4).
        return float(self.source_embedding.output_dim) ** 0.5


def _twice(ids: Tensor) -> Tensor:
    """[B, ...] -> [2B, ...]: the batch, and once more."""
    return ops.concatenate([ids, ids], axis=0)


def _embedding(vocabulary: int, size: int) -> keras.layers.Embedding:
    embedding = keras.layers.Embedding(vocabulary, size, embeddings_initializer=keras.initializers.RandomNormal(stddev=size**-0.5))
    embedding.build(())
    return embedding
