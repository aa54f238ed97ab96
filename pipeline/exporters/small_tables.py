"""Embeddings of an int8 file: looked up as the 8 bits that are stored, and only what is looked up is turned into float32.

The converter quantises what is multiplied; a table that rows are taken from it turns back into float32 as a whole, with every sentence,
which takes a third of the time of a short one. And a table that is also the output layer it stores twice. So the lookup is written out:
rows of int8, each times its scale. The bytes are the very ones that the output layer has, and then the converter stores them once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq

Tensor = Any

_LEVELS = 127  # symmetric: -127 to 127
_STEPS = 2**24  # of a scale: as fine as float32


def quantised(table: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Rows [V, E] to int8 and a scale for each row [V, 1], just as the converter quantises a kernel by output channels."""
    largest = np.abs(table.astype(np.float64)).max(axis=1, keepdims=True)
    scales = np.where(largest > 0, largest / _LEVELS, 1.0)
    return np.clip(np.rint(table / scales), -_LEVELS, _LEVELS).astype(np.int8), scales


@contextlib.contextmanager
def small_tables(model: Seq2Seq) -> Iterator[None]:
    """While it lasts, the model's embeddings look their rows up in int8."""
    embeddings = {id(layer): layer for layer in (model.source_embedding, model.target_embedding)}.values()
    for layer in embeddings:
        layer.call = _lookup(*quantised(np.asarray(layer.embeddings)))
    try:
        yield
    finally:
        for layer in embeddings:
            del layer.call  # the class's own again


def _lookup(rows: NDArray[np.int8], scales: NDArray[np.float64]) -> Callable[[Tensor], Tensor]:
    # Scales in whole numbers: a table of floating-point ones would be quantised in its turn, all with one scale.
    unit = float(scales.max()) / _STEPS
    steps = np.rint(scales / unit).astype(np.int32)

    def look_up(inputs: Tensor) -> Tensor:
        found = tf.cast(tf.gather(tf.constant(steps), inputs), tf.float32) * unit
        return tf.cast(tf.gather(tf.constant(rows), inputs), tf.float32) * found

    return look_up
