"""Each picture, from a run's `Reader` to a figure; what the command, the page of a run, TensorBoard and the notebooks show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.data.batches import Batch, encode_split, plan_epoch
from pipeline.inspect.activity import activities
from pipeline.inspect.beam_tree import beam_tree
from pipeline.inspect.drawing import decay_curves, gate_curves, matrices, strips, unit_map, word_map
from pipeline.inspect.drawing_tree import tree_figure
from pipeline.inspect.embeddings import Embeddings
from pipeline.inspect.reading import Reader, Reading
from pipeline.inspect.saliency import saliency
from pipeline.inspect.through_time import gradients_by_distance
from pipeline.inspect.tracking import Tracker, decoder_states, trackers
from pipeline.inspect.words import joined, words_of
from pipeline.runtime.errors import UserError

if TYPE_CHECKING:
    from datasets import Dataset
    from matplotlib.figure import Figure

_LOOKED_THROUGH = 600
"""Sentences among which units are looked for."""

_BY_ROW = "gradient x input, by row"

_LONGEST = 64
"""Sentences whose gradients are followed back: the longest of a split."""


def attention_picture(reading: Reading, words: bool = False) -> Figure:
    """What each target piece, or word, looked at."""
    return _beside({"attention": reading.attention}, reading, words)


def saliency_picture(reader: Reader, reading: Reading, words: bool = False) -> Figure:
    """Attention, and beside it what each target piece, or word, hung on: each row by its strongest cell.

    A piece that could not well have been another one hangs on nothing much; its row would be white beside one that could. A model without
    attention has the right half alone.
    """
    attention = {"attention": reading.attention} if reading.attention.any() else {}
    return _beside({**attention, _BY_ROW: saliency(reader.model, reading)}, reading, words)


def gates_picture(reader: Reader, reading: Reading) -> Figure:
    """The gates of all layers."""
    return gate_curves(activities(reader.model, reading), reading.source, reading.target)


def units_picture(reader: Reader, reading: Reading, layer: str | None = None) -> Figure:
    """The liveliest units of a layer, of the topmost without `layer`.

    Raises:
        UserError: there is no layer of that name.
    """
    found = {activity.layer: activity for activity in activities(reader.model, reading)}
    if layer is not None and layer not in found:
        raise UserError(f"there is no layer '{layer}'. Layers: {'; '.join(found)}.")
    return unit_map(found[layer or list(found)[-1]], reading.source, reading.target)


def beam_picture(reader: Reader, text: str, beam_size: int | None = None) -> Figure:
    """The search for a translation as a tree."""
    return tree_figure(beam_tree(reader, text, beam_size))


def found_trackers(reader: Reader, table: Dataset, layer: int = 0) -> list[Tracker]:
    """Which units of a layer of the decoder track something, by the sentences of a split."""
    batches = _batches(reader, table, _LOOKED_THROUGH)
    pieces = [reader.tokenizer.target.pieces(ids[: np.count_nonzero(ids) - 1]) for batch in batches for ids in batch.target_ids]
    return trackers(decoder_states(reader.model, batches, layer), pieces)


def trackers_picture(reader: Reader, found: Sequence[Tracker], reading: Reading, layer: int = 0) -> Figure:
    """A translation coloured by each of these units."""
    [states] = decoder_states(reader.model, [Batch(reading.source_ids, reading.target_inputs, reading.target_ids)], layer)
    pieces = reading.target[:-1]
    return strips([(f"{one.feature}: unit {one.unit}, correlation {one.correlation:+.2f}", pieces, states[:, one.unit]) for one in found])


def decays(readers: Mapping[str, Reader], tables: Mapping[str, Dataset]) -> dict[str, NDArray[np.float64]]:
    """Of each model how far back the gradient of the last token reaches, on the longest sentences of its split."""
    batches = {name: _batches(reader, tables[name], _LONGEST, longest=True) for name, reader in readers.items()}
    return {name: gradients_by_distance(reader.model, batches[name]) for name, reader in readers.items()}


def decay_picture(readers: Mapping[str, Reader], tables: Mapping[str, Dataset]) -> Figure:
    """`decays` as curves."""
    return decay_curves(decays(readers, tables))


def embeddings_picture(reader: Reader, side: str = "target", count: int = 150) -> Figure:
    """A map of the most frequent pieces that begin words."""
    embeddings = Embeddings(reader, side)
    ids = embeddings.frequent(count)
    return word_map(embeddings.map(ids), embeddings.names(ids))


def _beside(panels: Mapping[str, NDArray[np.float32]], reading: Reading, words: bool) -> Figure:
    source, target = reading.source, reading.target
    if words:
        panels = {title: joined(matrix, source, target) for title, matrix in panels.items()}
        source, target = words_of(source), words_of(target)
    if _BY_ROW in panels:
        found = panels[_BY_ROW]
        panels = {**panels, _BY_ROW: found / np.maximum(np.abs(found).max(axis=1, keepdims=True), 1e-9)}
    return matrices(panels, source, target)


def _batches(reader: Reader, table: Dataset, count: int, longest: bool = False) -> list[Batch]:
    """The first, or the longest, sentences of a split that the model can read, in batches of about equal length."""
    pairs = encode_split(table, reader.tokenizer)
    kept = pairs.within(reader.config.model.max_tokens)
    if longest:
        kept = kept[np.argsort(-pairs.target_lengths[kept], kind="stable")]
    chosen = pairs.select(kept[:count])
    return [chosen.batch(indices) for indices in plan_epoch(chosen, 2000, seed=0)]
