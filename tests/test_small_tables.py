"""Embeddings of an int8 file: rows of the bytes that the output layer has, which are stored once; and nothing of it stays in the model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_family import SMALL, V, changed

from pipeline.configuration.schema_model import Model
from pipeline.decoding.search import Search
from pipeline.exporters.small_tables import quantised, small_tables
from pipeline.model.build import build_model

WIDE = {"embedding_size": 96, "decoder": {"units": 8}}


def test_rows_are_as_near_as_eight_bits_allow() -> None:
    table = (np.random.default_rng(1).normal(size=(50, 16)) * np.logspace(-3, 3, 50)[:, None]).astype("float32")
    table[7] = 0.0
    rows, scales = quantised(table)
    assert rows.dtype == np.int8 and rows.min() == -127 and rows.max() == 127
    error = np.abs(rows * scales - table).max(axis=1)
    assert np.all(error <= 0.5001 * np.abs(table).max(axis=1) / 127)


@pytest.mark.parametrize("changes", [{}, {"shared_embeddings": False, "tied_output": False}], ids=["one table", "two tables"])
def test_the_model_looks_up_eight_bits_and_then_is_itself_again(changes: dict[str, Any]) -> None:
    model = build_model(Model.model_validate(changed(SMALL, changes)), V, V)
    ids = np.array([[1, 5, 12], [3, 0, 0]], "int32")
    exact = np.array(model.source_embedding(ids)), np.array(model.embed_target(ids))
    with small_tables(model):
        near = np.array(model.source_embedding(ids)), np.array(model.embed_target(ids))
    for one, other in zip(exact, near, strict=True):
        assert 0 < np.abs(one - other).max() < 0.01 * np.abs(one).max()
    np.testing.assert_array_equal(np.array(model.source_embedding(ids)), exact[0])
    np.testing.assert_array_equal(np.array(model.embed_target(ids)), exact[1])


@pytest.mark.filterwarnings("default")  # TensorFlow's own
def test_a_table_that_is_also_the_output_layer_is_stored_once() -> None:
    from ai_edge_litert import schema_py_generated as schema

    from pipeline.exporters import tflite

    pieces = 400
    model = build_model(Model.model_validate(changed(SMALL, WIDE)), pieces, pieces)
    with small_tables(model), tflite.traced(model, Search(2, 6, 1.0), max_tokens=8) as graph:
        content = tflite.convert(graph, "int8")
    file = schema.Model.GetRootAs(content, 0)
    sizes = [file.Buffers(number).DataLength() for number in range(file.BuffersLength())]
    assert sizes.count(pieces * 96) == 1
    assert max(sizes) == pieces * 96
