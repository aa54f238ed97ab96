"""The section `model` of a config: every architecture by name, and which parts go together."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pipeline.configuration.section import Fraction, PositiveInt, Section

Cell = Literal["gru", "lstm", "tanh", "relu"]


class Encoder(Section):
    """From source tokens to the memory."""

    kind: Literal["recurrent", "self_attention"] = Field(
        "recurrent", description="self_attention makes the hybrid of Chen et al. (2018); `cell` and what follows it are not for it."
    )
    units: PositiveInt = Field(256, description="Of a layer, a direction; the memory has H = units, or 2 * units for two directions.")
    layers: PositiveInt = Field(1, description="Layers, one on the other.")
    heads: PositiveInt = Field(4, description="Of self-attention; they divide the units.")
    cell: Cell = Field("gru", description="tanh and relu are the vanilla RNN.")
    bidirectional: bool = Field(True, description="Every layer reads from both ends.")
    residual: bool = Field(False, description="Every layer but the lowest adds what it finds to what it was given.")
    layer_norm: bool = Field(False, description="Layer normalisation inside the cells, each gate by itself.")
    words: bool = Field(False, description="The memory has the embeddings too, so that attention shows the words themselves.")


class Attention(Section):
    """How the decoder looks at the memory."""

    kind: Literal["additive", "dot", "general", "multi_head", "none"] = Field(
        "additive",
        description="additive: Bahdanau's; dot and general: Luong's (dot needs decoder.units = H); multi_head: additive with several "
        "heads; none: plain sequence to sequence.",
    )
    units: PositiveInt = Field(256, description="A, size of the space in which additive attention compares queries and keys.")
    heads: PositiveInt = Field(4, description="Of multi_head; they divide the units and H.")
    coverage: bool = Field(
        False,
        description="The attention knows how much each token has had already (Tu et al., 2016); training then goes step by step, which "
        "is several times slower.",
    )


class Decoder(Section):
    """From the memory and the target so far to the next token."""

    cell: Cell = Field("gru", description="tanh and relu are the vanilla RNN.")
    units: PositiveInt = Field(256, description="D, of each layer.")
    layers: PositiveInt = Field(2, description="Layers, one on the other.")
    residual: bool = Field(True, description="Every layer but the lowest adds what it finds to what it was given.")
    layer_norm: bool = Field(False, description="Layer normalisation inside the cells, each gate by itself.")
    order: Literal["gnmt", "bahdanau", "input_feeding"] = Field(
        "gnmt",
        description="Where the context goes: gnmt: to the layers above the one that asked, without coverage all target steps at once in "
        "training; bahdanau: into the one that asked; input_feeding: with the readout into the next step. The latter two train several "
        "times slower.",
    )
    bridge: Literal["last", "mean", "zeros"] = Field(
        "last",
        description="What the first state is made of: the encoder's last states (of self_attention, which has none, its mean), the "
        "memory's mean, or nothing.",
    )


class Initialization(Section):
    """How the weights begin."""

    kernel: Literal["xavier", "he"] = Field("xavier", description="Of what inputs are multiplied by; he is meant for relu.")
    recurrent: Literal["orthogonal", "xavier", "identity"] = Field("orthogonal", description="Of what states are multiplied by.")
    forget_bias: float = Field(1.0, description="Of an LSTM's forget gate.")


class Model(Section):
    """The network: a recurrent decoder on an encoder, with attention between them."""

    embedding_size: PositiveInt = Field(256, description="E, size of the embeddings.")
    encoder: Encoder = Field(default_factory=Encoder)
    attention: Attention = Field(default_factory=Attention)
    decoder: Decoder = Field(default_factory=Decoder)
    initialization: Initialization = Field(default_factory=Initialization)
    shared_embeddings: bool = Field(True, description="Source and target share one embedding table (needs a joint tokenizer).")
    tied_output: bool = Field(True, description="The output layer is the target embedding, transposed (Press & Wolf, 2017).")
    dropout: Fraction = Field(0.1, description="On embeddings, between layers and on the readout; never on recurrent connections.")
    max_tokens: PositiveInt = Field(64, description="Limit of a sentence in pieces, source and target.")

    @property
    def memory_size(self) -> int:
        """H, width of the encoder's memory."""
        both = self.encoder.kind == "recurrent" and self.encoder.bidirectional
        words = self.embedding_size if self.encoder.kind == "recurrent" and self.encoder.words else 0
        return self.encoder.units * (2 if both else 1) + words

    @model_validator(mode="after")
    def _parts_fit(self) -> Model:
        encoder, attention, memory = self.encoder, self.attention, self.memory_size
        if attention.kind == "none" and attention.coverage:
            raise ValueError("attention.coverage needs an attention to keep account of: set attention.kind, or attention.coverage to false")
        if attention.kind == "none" and self.decoder.bridge == "zeros":
            raise ValueError("with attention.kind none and decoder.bridge zeros the decoder would know nothing of the source: change one")
        if attention.kind == "dot" and self.decoder.units != memory:
            raise ValueError(
                f"attention.kind dot multiplies decoder states ({self.decoder.units} units) with the memory ({memory}), which must be as "
                f"wide: set decoder.units to {memory}, or attention.kind to general"
            )
        if attention.kind == "multi_head" and (attention.units % attention.heads or memory % attention.heads):
            raise ValueError(
                f"attention.heads ({attention.heads}) must divide attention.units ({attention.units}) and the memory's width ({memory})"
            )
        if encoder.kind == "self_attention" and encoder.units != self.embedding_size:
            raise ValueError(
                f"a self_attention encoder adds what it finds to the embeddings (residual), which must be as wide: set encoder.units "
                f"({encoder.units}) and embedding_size ({self.embedding_size}) to one number"
            )
        if encoder.kind == "self_attention" and encoder.units % encoder.heads:
            raise ValueError(f"encoder.heads ({encoder.heads}) must divide encoder.units ({encoder.units})")
        return self
