"""The sections `data` and `tokenizer` of a config: what is learnt from, and in which pieces."""

from __future__ import annotations

import re
import string
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.configuration.section import Fraction, PositiveFloat, PositiveInt, Section

MOST_SLOTS = 6400
"""Characters of Unicode's private use area, each a slot."""


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
        min_length=1,
        description="The data set's split -> ours; null leaves its pairs to be split by hash, as are those of a data set with nothing but "
        "train where this key is left out.",
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
            r"https?://[^\s<>\"')\]]*[^\s<>\"')\].,:;!?]",
            r"</?[A-Za-z][^<>]*>",
            r"\{\{?[A-Za-z0-9_.]+\}\}?",
            r"%\([A-Za-z0-9_]+\)[-+ #0-9.]*[diouxXeEfFgGcrs]",
            r"%(?:\d+\$)?(?:[dsfg]\b|@)",
        ],
        description="Regular expressions, each of a kind of placeholder; without look-around and back-references. What matches one "
        "stands in the translation as often and letter for letter: the model sees a slot of that kind instead (pipeline/runtime/slots.py).",
    )
    keep_numbers: bool = Field(False, description="Numbers are a kind of placeholder, too.")
    slots: Annotated[int, Field(ge=0)] = Field(
        8,
        description="Placeholders of one kind that a sentence may have; a text with more is cut. 0 = placeholders, and characters that "
        "the vocabulary lacks, are ordinary text.",
    )
    sampling: Annotated[float, Field(ge=0.0, le=1.0)] = Field(
        0.0, description="Sub-word regularisation in training (Kudo, 2018): share of sentences that get a sampled segmentation."
    )
    sampling_alpha: PositiveFloat = Field(0.2, description="Smoothing of the sampling (unigram) or merge drop-out (bpe).")

    @field_validator("placeholders")
    @classmethod
    def _compile(cls, value: list[str]) -> list[str]:
        for pattern in value:
            try:
                compiled = re.compile(pattern, re.ASCII)
            except (re.error, ValueError) as error:
                raise ValueError(f"{pattern!r} is not a regular expression: {error}") from None
            if compiled.match("") or not all(match[0] for match in compiled.finditer(string.printable)):  # such as \b
                raise ValueError(f"{pattern!r} matches the empty string")
        return value

    @model_validator(mode="after")
    def _enough_characters(self) -> Tokenizer:
        kinds = len(self.placeholders) + self.keep_numbers + 1
        if kinds * self.slots > MOST_SLOTS:
            raise ValueError(f"{kinds} kinds of {self.slots} slots are more than {MOST_SLOTS}; lower 'slots'")
        return self
