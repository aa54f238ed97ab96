"""A trained model with its matrices rounded once: a search, which multiplies them for every token, would round them as often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import keras
from keras import ops

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq


def round_matrices(model: Seq2Seq) -> None:
    """Replaces the matrices of products by what `matmul` makes of them in the model's precision; all numbers stay as they were.

    In float32 nothing happens. Afterwards the model is for translating alone: it keeps its weights, but reads the rounded matrices, so
    neither training nor loading others would change what it says.
    """
    if model.precision == "float32":
        return
    if model.tied_output:
        model.output_kernel = ops.transpose(ops.cast(model.target_embedding.embeddings, model.precision))
        model.tied_output = False
    for layer in _layers_of(model):
        for name, value in list(vars(layer).items()):
            if isinstance(value, keras.Variable) and name.endswith("kernel") and len(value.shape) > 1:
                setattr(layer, name, ops.cast(value, model.precision))


def _layers_of(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """It, and all that it is made of."""
    yield layer
    for name, value in vars(layer).items():
        for part in value if isinstance(value, list) and not name.startswith("_") else [value]:
            if isinstance(part, keras.layers.Layer):
                yield from _layers_of(part)
