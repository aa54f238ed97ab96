"""The schema of a config file: every key, its type, its default and what it means.

Defaults live here and in the two files for the larger sections, `schema_data.py` and `schema_model.py`, and nowhere else.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pipeline.configuration.patterns import unknown_to_re2
from pipeline.configuration.schema_data import Data, Tokenizer
from pipeline.configuration.schema_model import Model
from pipeline.configuration.section import Fraction, NonNegativeFloat, PositiveFloat, PositiveInt, Section

# --- training ---------------------------------------------------------------------------------------------------------


class Diversify(Section):
    """More to learn from, made by two helpers: a model that translates as this one will, and one that translates back (stage diversify)."""

    minutes: PositiveFloat | None = Field(10.0, description="Training of each of the two; null = `epochs` instead.")
    epochs: PositiveInt = Field(10, description="Passes over the training split, of each of the two, where `minutes` is null.")
    dropout: Fraction | None = Field(None, description="Of the helpers, which train less long; null = as model.dropout.")
    beam_size: PositiveInt = Field(4, description="Of the search for their translations.")
    nearest: Annotated[int, Field(ge=0)] = Field(
        0,
        description="That many translations of the beam are learnt from, those that are nearest to what the corpus has (Kim and Rush, "
        "2016, 3.3), so that fewer are wrong, each in one of so many epochs; 0 = the likeliest one.",
    )
    weight: PositiveFloat = Field(
        1.0, description="How often what they have made of a pair is seen, of each helper, for each time that the pair itself is."
    )
    begin_with_helper: bool = Field(
        False,
        description="The last training begins with the weights of the helper that translates as this model will, not with random ones.",
    )

    @model_validator(mode="after")
    def _found(self) -> Diversify:
        if self.nearest > self.beam_size:
            raise ValueError(
                f"a search of beam_size {self.beam_size} has no {self.nearest} translations: raise beam_size, or lower nearest"
            )
        return self


class Training(Section):
    """How the model is trained."""

    epochs: PositiveInt = Field(20, description="Passes over the training split; of no effect where `minutes` is set.")
    minutes: PositiveFloat | None = Field(
        None,
        description="A budget of time instead of epochs: training measures its speed when it begins, and makes as many updates as these "
        "minutes are enough for on that machine, validations included.",
    )
    max_updates: PositiveInt | None = Field(
        None, description="At most this many updates, whatever `epochs` or `minutes` would allow: for a trial. Helpers keep to it, too."
    )
    batch_tokens: PositiveInt = Field(800, description="Target tokens a batch, padding counted.")
    accumulate: PositiveInt = Field(1, description="Batches an update of the weights: the effect of larger batches without their memory.")
    pad_multiple: PositiveInt = Field(
        1, description="Lengths are padded to a multiple of this: 1 pads least; 8 makes few shapes, for backends that compile each (JAX)."
    )
    learning_rate: PositiveFloat = Field(3e-3, description="Peak learning rate of Adam.")
    schedule: Literal["cosine", "inverse_sqrt", "linear", "constant", "plateau"] = Field(
        "cosine", description="Decay after the warm-up; plateau: by validations, see `plateau_factor`."
    )
    plateau_factor: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        0.5,
        description="Of schedule plateau: what the rate is multiplied by, each time that validations have not become better for a while.",
    )
    plateau_patience: PositiveInt = Field(2, description="Of schedule plateau: that many validations in a row without a better one.")
    warmup_steps: Annotated[int, Field(ge=0)] = Field(200, description="Updates over which the rate rises from 0 to its peak.")
    label_smoothing: Fraction = Field(0.1, description="Probability mass taken from the reference token (Szegedy et al., 2016).")
    consistency: NonNegativeFloat = Field(
        0.0,
        description="R-Drop (Liang et al., 2021): each pair is read twice, under dropout, and this is the weight of what the two "
        "predictions disagree in, such as 5; an update takes twice as long. 0 = none.",
    )
    clip_norm: PositiveFloat = Field(1.0, description="Bound of the gradient's global norm.")
    weight_decay: NonNegativeFloat = Field(
        0.0,
        description="Of AdamW (Loshchilov & Hutter, 2019), times the learning rate; not on biases and other single rows. 0.01 is usual.",
    )
    average: Fraction = Field(
        0.0,
        description="Decay of an exponential average of the weights, such as 0.999; the average is what is validated and kept as best. "
        "It begins shorter: min(average, (1 + updates) / (10 + updates)). 0 = none.",
    )
    diversify: Diversify | None = Field(
        None,
        description="Learn also from what helpers make of the training split: its sources translated, and its targets translated back "
        "(data diversification: Nguyen et al., 2020). For small corpora and long trainings; it trains two models before the last one.",
    )
    validations: PositiveInt = Field(10, description="How often the run is validated, spread evenly over the training.")
    validation_sentences: PositiveInt = Field(
        2000,
        description="Sentences of the validation split, at most, that are decoded greedily for the BLEU at each validation. Of a few "
        "hundred it is a matter of chance which weights are the best.",
    )
    patience: PositiveInt | None = Field(None, description="Stop after this many validations without a better one; null = never.")
    monitor: Literal["bleu", "loss"] = Field("bleu", description="What decides which weights are the best; at equal BLEU, the loss does.")
    save_minutes: PositiveFloat = Field(2.0, description="Minutes between the checkpoints that a killed run goes on from.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Of the matrix products; auto takes bfloat16 where the processor multiplies it faster."
    )
    seed: int = Field(1, ge=0, lt=2**32, description="Of initialisation, dropout, data order and sub-word sampling.")
    tensorboard: bool = Field(False, description="Write TensorBoard logs to <run>/tensorboard.")


# --- decoding, evaluation, export -------------------------------------------------------------------------------------


class Sampling(Section):
    """Translations by lot instead of the likeliest: each token is drawn from the model's probabilities."""

    temperature: PositiveFloat = Field(1.0, description="Logits are divided by this; below 1 the likely gets likelier.")
    top_k: Annotated[int, Field(ge=0)] = Field(0, description="Only that many tokens, the likeliest, are in the lot; 0 = all.")
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="Only the likeliest tokens that together have this probability are in the lot; 1 = all."
    )
    seed: int = Field(1, ge=0, lt=2**32, description="Of the lot.")


class Decoding(Section):
    """How translations are searched for; the formula of a score stands in `pipeline/decoding/search.py`."""

    beam_size: PositiveInt = Field(4, description="K, hypotheses kept; 1 = greedy.")
    best: PositiveInt = Field(1, description="N, translations of each sentence; with more than beam_size, the beam is as wide as this.")
    length_penalty: NonNegativeFloat = Field(
        1.0, description="alpha of ((5 + length) / 6) ** alpha, which divides a hypothesis's log probability (Wu et al., 2016, eq. 14)."
    )
    coverage_penalty: NonNegativeFloat = Field(
        0.0, description="beta of the penalty for source tokens that were not looked at (the same equation); 0.2 is usual, 0 = none."
    )
    max_tokens: PositiveInt = Field(100, description="Limit of a translation in pieces.")
    min_length_ratio: NonNegativeFloat = Field(0.0, description="No translation has fewer than this many times the source's pieces.")
    max_length_ratio: PositiveFloat | None = Field(
        2.0,
        description="No translation has more than this many times the source's pieces and 10; null = max_tokens alone, and a search that "
        "goes on longer: the longer a translation may still get, the later it is certain that none is better.",
    )
    no_repeat_ngram: Annotated[int, Field(ge=0)] = Field(
        0, description="No sequence of so many pieces stands twice in a translation; 0 = anything may be repeated."
    )
    patience: PositiveFloat | None = Field(
        None,
        description="p: no search for a better translation once p times beam_size have ended (Kasai et al., 2022; many toolkits stop so, "
        "with p = 1); null = until it is certain that none is better, which takes longer.",
    )
    keep_placeholders: bool = Field(
        True,
        description="Each placeholder of the source stands in the translation exactly as often (tokenizer.placeholders); false = as "
        "the model likes, to see what the rule is worth.",
    )
    unknown: Literal["copy", "mark"] = Field(
        "copy", description="Characters that the vocabulary lacks, such as emoji: copied into the translation, or left to the model as ⁇."
    )
    sampling: Sampling | None = Field(None, description="Draw translations by lot, beam_size set aside; null = search for the likeliest.")
    engine: Literal["keras", "litert"] = Field(
        "keras", description="What translates: the model, or the run's exported .tflite file, of which int8 is faster on a CPU."
    )
    precision: Literal["float32", "bfloat16", "float16", "int8"] | None = Field(
        None,
        description="Of engine keras: that of the matrix products, float32 or, faster on processors that multiply it, bfloat16; null = "
        "float32. Of engine litert: which of the .tflite files, float32, float16 or int8; null = the smallest there is.",
    )
    batch_sentences: PositiveInt = Field(128, description="Sentences decoded at once, at most.")
    shortlist: Annotated[int, Field(ge=64)] | None = Field(
        None,
        description="N: of each batch of sentences without placeholders only so many pieces may be written, the most frequent and the "
        "likeliest translations of what stands in them: faster in bulk, and a little less exact; null = all pieces.",
    )

    @model_validator(mode="after")
    def _fitting(self) -> Decoding:
        known = {"keras": ("float32", "bfloat16"), "litert": ("float32", "float16", "int8")}[self.engine]
        if self.precision is not None and self.precision not in known:
            raise ValueError(f"engine {self.engine} has no precision {self.precision}; it has: {', '.join(known)}")
        if self.shortlist is not None:
            others: dict[str, object] = {
                "engine: litert": self.engine != "keras",
                "sampling": self.sampling,
                "no_repeat_ngram": self.no_repeat_ngram,
                "min_length_ratio": self.min_length_ratio,
                "keep_placeholders: false": not self.keep_placeholders,
            }
            if given := [name for name, value in others.items() if value]:
                raise ValueError(f"shortlist does not go with {', '.join(given)}: set it to null")
        return self

    @property
    def products(self) -> str:
        """ "float32" or "bfloat16": the precision of the matrix products where the model itself translates."""
        return self.precision if self.engine == "keras" and self.precision is not None else "float32"

    @property
    def beams(self) -> int:
        """Hypotheses of a search: as many as translations are wanted, at least; by lot, no more: each is a translation."""
        return self.best if self.sampling is not None else max(self.beam_size, self.best)

    @property
    def method(self) -> str:
        """How translations are found, in two words."""
        return "by lot" if self.sampling is not None else f"beam {self.beams}"


class Evaluation(Section):
    """What is scored."""

    splits: list[Literal["train", "validation", "test"]] = Field(["test"], min_length=1)
    samples: Annotated[int, Field(ge=0)] = Field(10, description="Sample translations printed.")
    tokenized_bleu: bool = Field(
        False,
        description="Also BLEU of lower-cased, Moses-tokenised text, as papers on Multi30k report it (needs: pip install sacremoses).",
    )
    comet: str | None = Field(
        None,
        description="Also COMET, by this command: comet-score of the package unbabel-comet, which needs an environment of its own, with "
        "its options (pipeline/scoring/comet.py).",
    )


class Export(Section):
    """What is exported."""

    saved_model: bool = Field(True, description="SavedModel, text in, text out.")
    saved_model_weights: Literal["float32", "float16", "bfloat16"] = Field(
        "float32", description="How the SavedModel keeps its weights; it computes in float32. Half the bytes cost it the model's very ids."
    )
    saved_model_xla: bool = Field(
        False,
        description="Let XLA compile the SavedModel's search, for batches and lengths padded to powers of two. For GPUs: CPUs lose by it.",
    )
    tflite: list[Literal["float32", "float16", "int8"]] = Field(["float32", "int8"])
    tflite_text: list[Literal["float32", "float16", "int8"]] = Field(
        [], description="Also files with text in and out, for apps whose runtime has TensorFlow Text's operators; unigram tokenizers only."
    )
    web: bool = Field(False, description="A page that translates in a browser (needs npm, once); the same as export --web.")
    beam_size: PositiveInt = Field(4, description="Beam of the exported search.")
    batch_sentences: PositiveInt = Field(
        1,
        description="Sentences that --engine litert gives a .tflite file at once, for its signature translate_many; 1 = no such signature. "
        "Narrow beams gain by it, up to four hypotheses in all: 4 with a beam of 1. Each interpreter needs the weights' memory once more.",
    )
    parity_sentences: PositiveInt = Field(
        1000,
        description="Test sentences that all float32 artefacts must translate to the same ids; of two translations with one score, to five "
        "digits, rounding may choose either, in a sentence of a hundred.",
    )
    max_bleu_loss: NonNegativeFloat = Field(
        0.2,
        description="BLEU that an artefact may lose on these sentences; a larger loss, unless it may be chance, fails the export.",
    )


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
        if self.decoding.coverage_penalty and self.model.attention.kind == "none":
            raise ValueError("decoding.coverage_penalty needs an attention to go by: set it to 0, or model.attention.kind to another kind")
        if self.model.shared_embeddings and not self.tokenizer.joint:
            raise ValueError(
                "model.shared_embeddings needs one vocabulary for both sides: "
                "set tokenizer.joint to true, or model.shared_embeddings to false"
            )
        for pattern in self.tokenizer.placeholders if self.export.saved_model else []:
            if part := unknown_to_re2(pattern):
                raise ValueError(
                    f"tokenizer.placeholders: {pattern!r} has {part!r}, which TensorFlow's regular expressions (RE2) do not know: "
                    "write it without, or set export.saved_model to false"
                )
        if self.training.consistency and not self.model.dropout:
            raise ValueError(
                "training.consistency makes two readings under dropout agree, and without dropout they do: "
                "set model.dropout above 0, or training.consistency to 0"
            )
        if self.export.tflite_text and self.tokenizer.type != "unigram":
            raise ValueError(
                "export.tflite_text needs a unigram tokenizer, the only one that has an operator for phones: "
                "set tokenizer.type to unigram, or leave export.tflite_text empty"
            )
        return self
