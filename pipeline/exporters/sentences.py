"""The sentences that all artefacts are compared on."""

from __future__ import annotations

from pipeline.configuration import Config
from pipeline.data.corpus import load_split
from pipeline.data.subwords import Tokenizer
from pipeline.decoding.text_stream import clean_line
from pipeline.exporters.parity import Sentences
from pipeline.runtime.errors import UserError
from pipeline.runtime.segmentation import RUN_OF_SPACES
from pipeline.scoring.systems import sample_indices
from pipeline.support.run_directory import RunDirectory

_LOOKED_AT = 20
"""Sentences looked at for each that is wanted: some are too long, and a split may have millions."""


def choose_sentences(run: RunDirectory, config: Config, tokenizer: Tokenizer) -> Sentences:
    """`config.export.parity_sentences` of the test split, spread evenly over it; of another split where the test split is empty.

    Sentences longer than the model's limit are passed over: a .tflite takes none of them.

    Raises:
        UserError: the run has no sentences.
    """
    wanted = config.export.parity_sentences
    for split in ("test", "validation", "train"):
        table = load_split(run, split)
        rows = table.select(sample_indices(len(table), wanted * _LOOKED_AT))[:] if len(table) else {"source": [], "target": []}
        texts = [RUN_OF_SPACES.sub(" ", clean_line(text, config.data.cleaning)) for text in rows["source"]]
        encoded, _ = tokenizer.encode_source(texts)
        fitting = [row for row, ids in enumerate(encoded) if 0 < len(ids) <= config.model.max_tokens and tokenizer.slots.fits(texts[row])]
        if fitting:
            chosen = [fitting[index] for index in sample_indices(len(fitting), wanted)]
            return Sentences(
                split,
                [texts[row] for row in chosen],
                [encoded[row] for row in chosen],
                [rows["target"][row] for row in chosen],
                config.data.target_language,
            )
    raise UserError(f"{run.data}: has no sentence of at most {config.model.max_tokens} pieces (model.max_tokens) to try the export on.")
