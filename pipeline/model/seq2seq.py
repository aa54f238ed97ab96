"""The whole network: embeddings, encoder, decoder and output layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from pipeline.model.decoder import Decoder
from pipeline.model.encoder import Encoder
from pipeline.model.losses import token_cross_entropy
from pipeline.model.precision import matmul

Tensor = Any


@dataclass(frozen=True)
class Encoded:
    """What decoding needs to know of a batch of source sentences, computed once.

    Attributes:
        memory: [B, S, H] encoder outputs.
        keys: [B, S, A] their projection for the attention.
        mask: [B, S] bool, True at real tokens.
        state: [B, layers * D] the decoder's state before the first token.
    """

    memory: Tensor
    keys: Tensor
    mask: Tensor
    state: Tensor


class Seq2Seq(keras.Model):
    """A recurrent encoder-decoder with attention (Bahdanau et al., 2015).

    Args:
        source_vocabulary, target_vocabulary: V of each side; id 0 is padding.
        embedding_size: E.
        encoder_units: a direction; H is twice that.
        decoder_units: D.
        decoder_layers: number of decoder GRUs.
        attention_units: A.
        shared_embeddings: one table for both sides.
        tied_output: the output layer is the target embedding, transposed (Press & Wolf, 2017).
        dropout: see Encoder and Decoder.
        label_smoothing: of the training loss; validation is always without.
        precision: of the matrix products, "float32" or "bfloat16".
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        *,
        embedding_size: int,
        encoder_units: int,
        decoder_units: int,
        decoder_layers: int,
        attention_units: int,
        shared_embeddings: bool = False,
        tied_output: bool = False,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        precision: str = "float32",
    ) -> None:
        if shared_embeddings and source_vocabulary != target_vocabulary:
            raise ValueError(
                f"Shared embeddings need one vocabulary. Received: {source_vocabulary} source, {target_vocabulary} target pieces."
            )
        super().__init__(name="seq2seq")
        self.label_smoothing = label_smoothing
        self.precision = precision
        self.tied_output = tied_output
        self.source_embedding = _embedding(source_vocabulary, embedding_size)
        self.target_embedding = self.source_embedding if shared_embeddings else _embedding(target_vocabulary, embedding_size)
        self.encoder = Encoder(encoder_units, dropout=dropout, precision=precision)
        self.decoder = Decoder(
            decoder_units,
            layers=decoder_layers,
            attention_units=attention_units,
            readout_size=embedding_size if tied_output else decoder_units,
            dropout=dropout,
            precision=precision,
        )
        self.encoder.build(embedding_size)
        self.decoder.build(embedding_size, memory_size=2 * encoder_units)
        if not tied_output:
            self.output_kernel = self.add_weight(
                name="output_kernel", shape=(decoder_units, target_vocabulary), initializer="glorot_uniform"
            )
        self.output_bias = self.add_weight(name="output_bias", shape=(target_vocabulary,), initializer="zeros")
        self.built = True

    def call(self, inputs: dict[str, Tensor], training: bool = False) -> Tensor:
        """Teacher forcing.

        Args:
            inputs: source_ids [B, S] and target_inputs [B, T], the target shifted right (BOS first); 0 is padding.

        Returns:
            logits [B, T, V]: position t predicts target token t.
        """
        encoded = self.encode(inputs["source_ids"], training=training)
        embedded = self.embed_target(inputs["target_inputs"])
        readout, _ = self.decoder(embedded, encoded.state, encoded.keys, encoded.memory, encoded.mask, training=training)
        return self.logits(readout)

    def encode(self, source_ids: Tensor, training: bool = False) -> Encoded:
        """Reads source sentences: ids [B, S], 0 at padding."""
        mask = ops.not_equal(source_ids, 0)
        memory, summary = self.encoder(self.source_embedding(source_ids) * self._embedding_scale, token_mask=mask, training=training)
        return Encoded(memory, self.decoder.attention.project(memory), mask, self.decoder.initial_state(summary))

    def decode_step(self, token_ids: Tensor, state: Tensor, encoded: Encoded) -> tuple[Tensor, Tensor, Tensor]:
        """One decoding step of K hypotheses a sentence.

        Args:
            token_ids: [B, K] the last token of each.
            state: [B, K, layers * D].
            encoded: of the B sentences.

        Returns:
            logits [B, K, V]; next state [B, K, layers * D]; attention weights [B, K, S].
        """
        embedded = self.embed_target(token_ids)
        readout, state, weights = self.decoder.step(embedded, state, encoded.keys, encoded.memory, encoded.mask)
        return self.logits(readout), state, weights

    def embed_target(self, token_ids: Tensor) -> Tensor:
        """ids [...] -> embeddings [..., E]."""
        return self.target_embedding(token_ids) * self._embedding_scale

    def logits(self, readout: Tensor) -> Tensor:
        """The output layer: readout [..., R] -> logits [..., V]."""
        # Rounded first and then transposed: the table is large, and this way half of it is moved.
        kernel = ops.transpose(ops.cast(self.target_embedding.embeddings, self.precision)) if self.tied_output else self.output_kernel
        return matmul(readout, kernel, self.precision, self.output_bias)

    def compute_loss(
        self, x: Any = None, y: Tensor = None, y_pred: Tensor = None, sample_weight: Any = None, training: bool = True
    ) -> Tensor:
        """Cross-entropy a token; y: [B, T] target ids, 0 at padding; y_pred: logits [B, T, V]."""
        return token_cross_entropy(y, y_pred, self.label_smoothing if training else 0.0)

    @property
    def _embedding_scale(self) -> float:
        # Tables start small, as an output layer must; inputs should have unit variance (Vaswani et al., 2017, 3.4).
        return float(self.source_embedding.output_dim) ** 0.5


def _embedding(vocabulary: int, size: int) -> keras.layers.Embedding:
    embedding = keras.layers.Embedding(vocabulary, size, embeddings_initializer=keras.initializers.RandomNormal(stddev=size**-0.5))
    embedding.build(())
    return embedding
