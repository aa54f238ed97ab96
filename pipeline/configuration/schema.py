"""The schema of a config file: every key, its type, its default and what it means.

Defaults live here and nowhere else. A section is immutable; `strict` keeps a quoted '512' from passing as a number and `true`
from passing as 1, `extra="forbid"` keeps a misspelt key from passing in silence.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
PositiveInt = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0.0)]


class Section(BaseModel):
    """Base of all sections: strict types, no unknown keys, immutable."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


# --- data -------------------------------------------------------------------------------------------------------------


class Source(Section):
    """What every source of sentence pairs has."""

    tag: str = Field("", description="A label that every pair of this source carries; evaluation can be broken down by it.")
    weight: PositiveFloat = Field(
        1.0, description="How often a training pair of this source is seen an epoch: 2 = twice, 0.5 = every second epoch's worth."
    )


class PackageSource(Source):
    """Aligned translation catalogues (JSON) inside a wheel of the Python package index."""

    kind: Literal["package"]
    package: str = Field(
        "homeassistant==2026.11.0", description="The wheel, pinned: 'name==version'. Downloaded once, read as a zip, never installed."
    )
    catalogues: str = Field(
        "homeassistant/components/*/translations/{language}.json",
        description="Paths inside the wheel; {language} is replaced by each of the two language codes. Strings align by key.",
    )

    @field_validator("package")
    @classmethod
    def _pinned(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._+!-]+", value):
            raise ValueError("expected a pinned package, 'name==version'")
        return value

    @field_validator("catalogues")
    @classmethod
    def _has_language(cls, value: str) -> str:
        if "{language}" not in value:
            raise ValueError("expected '{language}' somewhere in the pattern")
        return value


class FilesSource(Source):
    """Files on disk: two plain text files, or one TSV, TMX, PO or XLIFF file."""

    kind: Literal["files"]
    source: str | None = Field(None, description="Plain text in the source language, one sentence a line (.gz is read as it is).")
    target: str | None = Field(None, description="Plain text in the target language, line by line the translation of `source`.")
    path: str | None = Field(None, description="One bilingual file instead: .tsv, .tmx, .po, .xlf or .xliff (also with .gz).")
    encoding: str = Field("utf-8", description="Of the plain text and TSV files.")
    split: Literal["train", "validation", "test"] | None = Field(
        None, description="A given split: the pairs are kept together in it. Without it, pairs are split by hash."
    )

    @model_validator(mode="after")
    def _one_form(self) -> FilesSource:
        pair = self.source is not None and self.target is not None
        if pair == (self.path is not None) or (self.path is not None and (self.source or self.target)):
            raise ValueError("expected either both 'source' and 'target' (plain text) or 'path' (TSV, TMX, PO, XLIFF)")
        return self


class HubSource(Source):
    """A data set of the Hugging Face hub by name, or a local folder in the same format."""

    kind: Literal["hub"]
    name: str = Field(description="A name on the hub, such as 'bentrevett/multi30k', or the path of a local folder.")
    config: str | None = Field(None, description="The data set's configuration, where it has several.")
    revision: str | None = Field(None, description="A commit or tag of the data set, for reproducible runs.")
    splits: dict[str, Literal["train", "validation", "test"] | None] = Field(
        {"train": "train", "validation": "validation", "test": "test"},
        description="The data set's split -> ours; null leaves its pairs to be split by hash.",
    )
    source_field: str | None = Field(None, description="Column of the source text, dots for nesting; default: the language code.")
    target_field: str | None = Field(None, description="Column of the target text, dots for nesting; default: the language code.")


AnySource = Annotated[PackageSource | FilesSource | HubSource, Field(discriminator="kind")]


class Cleaning(Section):
    """What is done to a pair before it may be learnt from; false or null switches a rule off."""

    normalize: Literal["NFC", "NFKC"] | None = Field("NFC", description="Unicode normalisation of both sides.")
    control_characters: bool = Field(True, description="Turn control characters, line breaks and runs of spaces into one space.")
    empty: bool = Field(True, description="Drop pairs with an empty side.")
    max_characters: PositiveInt | None = Field(400, description="Drop pairs with a side longer than this, in characters.")
    max_ratio: Annotated[float, Field(gt=1.0)] | None = Field(
        4.0, description="Drop pairs whose longer side, in characters plus 10, is more than this many times the shorter plus 10."
    )
    copies: bool = Field(True, description="Drop pairs whose target repeats the source.")
    duplicates: Literal["pair", "source"] | None = Field(
        "pair", description="Keep the first of equal pairs, or the first of pairs with an equal source."
    )


class Data(Section):
    """Where the sentence pairs come from and how they are cleaned and split."""

    source_language: str = Field("en", pattern=r"^[A-Za-z]{2,3}([_-][A-Za-z0-9]+)*$", description="Code of the language to translate from.")
    target_language: str = Field("de", pattern=r"^[A-Za-z]{2,3}([_-][A-Za-z0-9]+)*$", description="Code of the language to translate into.")
    sources: list[AnySource] = Field([PackageSource(kind="package")], min_length=1, description="Sources, mixed in this order.")
    cleaning: Cleaning = Field(default_factory=Cleaning)
    validation: Fraction = Field(0.03, description="Share of the pairs held out for validation, by hash of the source.")
    test: Fraction = Field(0.03, description="Share of the pairs held out for the test, by hash of the source.")

    @model_validator(mode="after")
    def _something_left(self) -> Data:
        if self.validation + self.test >= 1.0:
            raise ValueError("'validation' and 'test' together leave nothing to train on; their sum must be below 1")
        if self.source_language == self.target_language:
            raise ValueError("'source_language' and 'target_language' are the same")
        return self


# --- tokenizer --------------------------------------------------------------------------------------------------------


class Tokenizer(Section):
    """SentencePiece: one joint model or one for each side."""

    type: Literal["unigram", "bpe"] = Field(
        "unigram", description="bpe cannot be exported with text in and out of a .tflite; ids in and out work with both."
    )
    joint: bool = Field(True, description="One model for both languages (needed for shared embeddings) or one each.")
    vocabulary_size: PositiveInt | Literal["auto"] = Field(
        "auto", description="Pieces a model; auto chooses by corpus size (small corpora learn best with small vocabularies)."
    )
    character_coverage: Annotated[float, Field(gt=0.9, le=1.0)] = Field(
        1.0, description="Share of the corpus's characters that get a piece; 0.9995 for Chinese or Japanese."
    )
    placeholders: list[str] = Field(
        default_factory=lambda: [
            r"https?://[^\s<>\"')\]]+",
            r"</?[A-Za-z][^<>]*>",
            r"\{\{?[A-Za-z0-9_.]+\}\}?",
            r"%\([A-Za-z0-9_]+\)[-+ #0-9.]*[diouxXeEfFgGcrs]",
            r"%(?:\d+\$)?[dsfg@](?![A-Za-z])",
        ],
        description="Regular expressions; each distinct match in the training text becomes one piece that is never cut.",
    )
    max_placeholders: PositiveInt = Field(500, description="The most frequent matches become pieces, at most this many.")
    sampling: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.0, description="Sub-word regularisation in training (Kudo, 2018): share of sentences that get a sampled segmentation."
    )
    sampling_alpha: PositiveFloat = Field(0.2, description="Smoothing of the sampling (unigram) or merge drop-out (bpe).")

    @field_validator("placeholders")
    @classmethod
    def _compile(cls, value: list[str]) -> list[str]:
        for pattern in value:
            try:
                compiled = re.compile(pattern)
            except re.error as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
            if compiled.match(""):
                raise ValueError(f"{pattern!r} matches the empty string")
        return value


# --- model ------------------------------------------------------------------------------------------------------------


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


class Attention(Section):
    """How the decoder looks at the memory."""

    kind: Literal["additive", "dot", "general", "multi_head", "none"] = Field(
        "additive",
        description="additive: Bahdanau's; dot and general: Luong's (dot needs decoder.units = H); multi_head: additive with several "
        "heads; none: plain sequence to sequence.",
    )
    units: PositiveInt = Field(256, description="A, size of the space in which additive attention compares queries and keys.")
    heads: PositiveInt = Field(4, description="Of multi_head; they divide the units and H.")
    coverage: bool = Field(False, description="The attention knows how much each token has had already (Tu et al., 2016).")


class Decoder(Section):
    """From the memory and the target so far to the next token."""

    cell: Cell = Field("gru", description="tanh and relu are the vanilla RNN.")
    units: PositiveInt = Field(256, description="D, of each layer.")
    layers: PositiveInt = Field(2, description="Layers, one on the other.")
    residual: bool = Field(True, description="Every layer but the lowest adds what it finds to what it was given.")
    layer_norm: bool = Field(False, description="Layer normalisation inside the cells, each gate by itself.")
    order: Literal["gnmt", "bahdanau", "input_feeding"] = Field(
        "gnmt",
        description="Where the context goes: gnmt: to the layers above the one that asked, all target steps at once in training; "
        "bahdanau: into the one that asked; input_feeding: with the readout into the next step. The latter two train several times slower.",
    )
    bridge: Literal["last", "mean", "zeros"] = Field(
        "last", description="What the first state is made of: the encoder's last states, the memory's mean, or nothing."
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
        return self.encoder.units * (2 if both else 1)

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


# --- training ---------------------------------------------------------------------------------------------------------


class Training(Section):
    """How the model is trained."""

    epochs: PositiveInt = Field(20, description="Passes over the training split.")
    batch_tokens: PositiveInt = Field(800, description="Target tokens a batch, padding counted.")
    pad_multiple: PositiveInt = Field(
        1, description="Lengths are padded to a multiple of this: 1 pads least; 8 makes few shapes, for backends that compile each (JAX)."
    )
    learning_rate: PositiveFloat = Field(3e-3, description="Peak learning rate of Adam.")
    schedule: Literal["cosine", "inverse_sqrt", "linear", "constant"] = Field("cosine", description="Decay after the warm-up.")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(200, description="Updates over which the rate rises from 0 to its peak.")
    label_smoothing: Fraction = Field(0.1, description="Probability mass taken from the reference token (Szegedy et al., 2016).")
    clip_norm: PositiveFloat = Field(1.0, description="Bound of the gradient's global norm.")
    validations: PositiveInt = Field(10, description="How often the run is validated, spread evenly over the epochs.")
    validation_sentences: PositiveInt = Field(500, description="Sentences decoded greedily for the BLEU at each validation.")
    patience: PositiveInt | None = Field(None, description="Stop after this many validations without a better one; null = never.")
    monitor: Literal["bleu", "loss"] = Field("bleu", description="What decides which checkpoint is the best.")
    save_minutes: PositiveFloat = Field(2.0, description="Minutes between the checkpoints that a killed run goes on from.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Of the matrix products; auto takes bfloat16 where the processor multiplies it faster."
    )
    seed: int = Field(1, ge=0, description="Of initialisation, dropout, data order and sub-word sampling.")
    tensorboard: bool = Field(False, description="Write TensorBoard logs to <run>/tensorboard.")


# --- decoding, evaluation, export -------------------------------------------------------------------------------------


class Decoding(Section):
    """How translations are searched for."""

    beam_size: PositiveInt = Field(4, description="K, hypotheses kept; 1 = greedy.")
    length_penalty: Annotated[float, Field(ge=0.0)] = Field(
        1.0, description="alpha of ((5 + length) / 6) ** alpha, which divides a hypothesis's log probability (Wu et al., 2016, eq. 14)."
    )
    max_tokens: PositiveInt = Field(100, description="Limit of a translation in pieces.")
    batch_sentences: PositiveInt = Field(64, description="Sentences decoded at once.")


class Evaluation(Section):
    """What is scored."""

    splits: list[Literal["train", "validation", "test"]] = Field(["test"], min_length=1)
    samples: Annotated[int, Field(ge=0)] = Field(10, description="Sample translations printed.")
    tokenized_bleu: bool = Field(
        False,
        description="Also BLEU of lower-cased, Moses-tokenised text, as papers on Multi30k report it (needs: pip install sacremoses).",
    )


class Export(Section):
    """What is exported."""

    saved_model: bool = Field(True, description="SavedModel, text in, text out.")
    tflite: list[Literal["float32", "float16", "int8"]] = Field(["float32", "int8"])
    beam_size: PositiveInt = Field(4, description="Beam of the exported search.")
    parity_sentences: PositiveInt = Field(50, description="Test sentences that all float32 artefacts must translate to the same ids.")


# --- the whole --------------------------------------------------------------------------------------------------------


class Config(Section):
    """One experiment."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="Name of the run: everything goes to artifacts/<name>.")
    data: Data = Field(default_factory=Data)
    tokenizer: Tokenizer = Field(default_factory=Tokenizer)
    model: Model = Field(default_factory=Model)
    training: Training = Field(default_factory=Training)
    decoding: Decoding = Field(default_factory=Decoding)
    evaluation: Evaluation = Field(default_factory=Evaluation)
    export: Export = Field(default_factory=Export)

    @model_validator(mode="after")
    def _consistent(self) -> Config:
        if self.model.shared_embeddings and not self.tokenizer.joint:
            raise ValueError(
                "model.shared_embeddings needs one vocabulary for both sides: "
                "set tokenizer.joint to true, or model.shared_embeddings to false"
            )
        return self
