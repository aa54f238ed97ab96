"""A model whose matrices are rounded once says what it said when they were rounded for each product, and translates for the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from test_export import SETTINGS, random_run
from test_family import SMALL, changed
from test_model import filled

from pipeline.configuration.schema_model import Model
from pipeline.data.corpus import load_split
from pipeline.decoding.rounded import round_matrices
from pipeline.decoding.text_stream import TextTranslator
from pipeline.decoding.translator import Translator
from pipeline.model.build import build_model
from pipeline.model.seq2seq import Seq2Seq
from pipeline.runtime.errors import UserError

V = 13
SOURCE = np.array([[5, 6, 7, 3], [8, 3, 0, 0]], "int32")


def said(model: Seq2Seq) -> list[Any]:
    """What it makes of a source, and of a token after it."""
    encoded = model.encode(SOURCE)
    state = ops.reshape(encoded.state, (2, 1, -1))
    logits, state, weights = model.decode_step(np.array([[2], [9]], "int32"), state, encoded)
    return [np.array(part) for part in (encoded.memory, encoded.keys, encoded.state, logits, state, weights)]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"tied_output": False, "shared_embeddings": False},
        {"encoder": {"words": True, "layer_norm": True, "layers": 2}, "decoder": {"layer_norm": True, "layers": 2}},
        {"encoder": {"kind": "self_attention", "units": 8, "heads": 2}, "attention": {"kind": "multi_head"}},
        {"encoder": {"cell": "lstm"}, "decoder": {"cell": "lstm", "order": "input_feeding"}, "attention": {"kind": "general"}},
    ],
)
def test_rounded_once_or_each_time_is_the_same(changes: dict[str, Any]) -> None:
    model = filled(build_model(Model(**changed(SMALL, changes)), V, V, precision="bfloat16"), 1)
    before, counted = said(model), model.count_params()
    round_matrices(model)
    for one, other in zip(before, said(model), strict=True):
        np.testing.assert_array_equal(one, other)
    assert model.count_params() == counted


def test_every_matrix_is_rounded() -> None:
    model = build_model(Model(**SMALL), V, V, precision="bfloat16")
    matrices = {id(weight) for weight in model.weights if len(weight.shape) > 1 and weight.name.endswith("kernel")}
    assert len(matrices) >= 7
    round_matrices(model)
    for layer in (model, model.decoder, model.decoder.attention, *model.decoder.layers, *model.encoder.layers):
        read = {name: value for name, value in vars(layer).items() if name.endswith("kernel")}
        assert read and not [name for name, value in read.items() if isinstance(value, keras.Variable) and id(value) in matrices]


def test_in_float32_nothing_changes() -> None:
    model = build_model(Model(**SMALL), V, V)
    round_matrices(model)
    assert model.tied_output and isinstance(model.decoder.readout_kernel, keras.Variable)


def test_commands_translate_with_it(tmp_path: Path) -> None:
    run, config = random_run(tmp_path / "toy", SETTINGS["shared"])
    sources = list(load_split(run, "test")["source"])
    exact = TextTranslator.load(run, config).alternatives(sources)
    rounded = TextTranslator.load(run, run.load_config(["decoding.precision=bfloat16"])).alternatives(sources)
    scores = [(one[0].score, other[0].score) for one, other in zip(rounded, exact, strict=True) if one[0].text == other[0].text]
    assert len(scores) > len(sources) / 2  # of new weights, to which all pieces are nearly alike
    assert [one for one, _ in scores] == pytest.approx([other for _, other in scores], rel=0.05)
    assert all(one != other for one, other in scores)
    # What is shown, exported and compared is the model itself, whatever the commands translate with.
    own = Translator.load(run, run.load_config(["decoding.precision=bfloat16"])).translate(sources)
    assert [one.text for one in own] == [one[0].text for one in exact]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["decoding.precision=int8"], "engine keras has no precision int8; it has: float32, bfloat16"),
        (["decoding.engine=litert", "decoding.precision=bfloat16"], "engine litert has no precision bfloat16; it has: float32, float16"),
    ],
)
def test_a_precision_that_the_engine_lacks_is_refused(tmp_path: Path, overrides: list[str], message: str) -> None:
    run, _ = random_run(tmp_path / "toy", SETTINGS["shared"])
    with pytest.raises(UserError, match=message):
        run.load_config(overrides)
