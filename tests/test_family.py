"""Every architecture that a config can name: it trains, comes back from its file, decodes as it was trained, and fits a phone."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any, get_args

import keras
import numpy as np
import pytest
from test_model import CLOSE, logits_of, loss_and_gradients, pairs

from pipeline.configuration import schema_model as schema
from pipeline.configuration.schema_model import Model
from pipeline.configuration.section import Section
from pipeline.decoding.search import Search
from pipeline.decoding.search_model import search_translations
from pipeline.model.attention_kinds import ATTENTIONS
from pipeline.model.bridge import BRIDGES
from pipeline.model.build import ENCODERS, build_model
from pipeline.model.cells import CELLS
from pipeline.model.decoder_orders import DECODERS
from pipeline.model.initialization import KERNELS, RECURRENT
from pipeline.model.seq2seq import Seq2Seq
from pipeline.runtime.errors import UserError

V = 13
Settings = dict[str, Any]


def changed(settings: Settings, changes: Settings) -> Settings:
    """Nested settings with some replaced."""
    merged = dict(settings)
    for key, value in changes.items():
        merged[key] = changed(merged.get(key, {}), value) if isinstance(value, dict) else value
    return merged


SMALL: Settings = {
    "embedding_size": 8,
    "encoder": {"units": 4},
    "attention": {"units": 6, "heads": 2},
    "decoder": {"units": 8},
    "dropout": 0.1,
    "max_tokens": 10,
}

# Every choice with every other that it touches; the rest of the table is in one of these as well.
CELL_AND_SHAPE = [
    {
        "encoder": {"cell": cell, "layers": layers, "bidirectional": bidirectional, "residual": layers > 1, "layer_norm": layer_norm},
        "decoder": {"cell": cell, "layers": layers, "residual": bidirectional, "layer_norm": layer_norm},
    }
    for cell, layers, bidirectional, layer_norm in product(CELLS, [1, 3], [True, False], [False, True])
]
ATTENTION_AND_ORDER = [
    {"attention": {"kind": kind, "coverage": coverage}, "decoder": {"order": order, "bridge": bridge}}
    for (kind, order), coverage in product(product(ATTENTIONS, DECODERS), [False, True])
    for bridge in ["mean" if coverage else "last"]
    if not (kind == "none" and coverage)
]
OTHERS: list[Settings] = [
    {"decoder": {"bridge": "zeros"}},
    {"encoder": {"words": True}},
    {"encoder": {"words": True, "layers": 2}, "attention": {"kind": "multi_head"}, "decoder": {"bridge": "mean"}},
    {"encoder": {"cell": "lstm"}, "decoder": {"cell": "gru", "order": "bahdanau"}},
    {"decoder": {"cell": "lstm", "order": "input_feeding", "layers": 3, "residual": False}},
    {"decoder": {"cell": "lstm", "order": "bahdanau", "layers": 1}},
    {"encoder": {"kind": "self_attention", "units": 8, "heads": 2, "layers": 2}},
    {"encoder": {"kind": "self_attention", "units": 8, "heads": 2, "layers": 1}, "decoder": {"order": "bahdanau", "bridge": "mean"}},
    {"initialization": {"kernel": "he", "recurrent": "identity"}, "encoder": {"cell": "relu"}, "decoder": {"cell": "relu"}},
    {"initialization": {"recurrent": "xavier", "forget_bias": 2.0}, "encoder": {"cell": "lstm"}},
    {"shared_embeddings": False, "tied_output": False},
]
FAMILY = [*CELL_AND_SHAPE, *ATTENTION_AND_ORDER, *OTHERS]


def name_of(changes: Settings) -> str:
    flat = [f"{key}={value}" for section in changes.values() if isinstance(section, dict) for key, value in section.items()]
    return ",".join(flat or map(str, changes))


# One of each kind for a quick run; the rest with the slow ones.
architectures = pytest.mark.parametrize(
    "changes",
    [
        pytest.param(changes, id=name_of(changes), marks=[] if number % 7 == 0 else pytest.mark.slow)
        for number, changes in enumerate(FAMILY)
    ],
)


def model_of(changes: Settings, **options: Any) -> Seq2Seq:
    return build_model(Model.model_validate(changed(SMALL, changes)), V, V, **options)


@architectures
def test_it_trains_is_kept_and_fits_a_phone(changes: Settings, tmp_path: Path) -> None:
    """Two updates, weights written and read, the .tflite with the search inside: the same ids."""
    from ai_edge_litert.interpreter import Interpreter

    from pipeline.exporters.tflite import convert, traced

    keras.utils.set_random_seed(1)
    model = model_of(changes, label_smoothing=0.1)
    inputs, target_ids = pairs()
    before = [np.array(weight) for weight in model.trainable_weights]
    model.compile(optimizer=keras.optimizers.Adam(0.01, global_clipnorm=1.0), jit_compile=False)
    model.optimizer.build(model.trainable_weights)  # else the step is traced twice
    losses = [model.train_on_batch(inputs, target_ids) for _ in range(2)]
    assert np.all(np.isfinite(losses))
    unmoved = [w.path for w, b in zip(model.trainable_weights, before, strict=True) if np.array_equal(w, b)]
    assert not unmoved

    model.save_weights(tmp_path / "model.weights.h5")
    other = model_of(changes)
    other.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_array_equal(logits_of(other, inputs), logits_of(model, inputs))

    search = Search(beam_size=3, max_tokens=8, length_penalty=1.0)
    with traced(other, search, max_tokens=10) as folder:
        content = convert(folder, "float32")
    interpreter = Interpreter(model_content=content, num_threads=1)
    translate = interpreter.get_signature_runner("translate")
    for sentence in inputs["source_ids"][[0, 2]]:  # not the empty one, which the host answers
        length = int(np.count_nonzero(sentence))
        padded = np.zeros((1, 11), np.int32)
        padded[0, :length] = sentence[:length]
        expected = search_translations(model, sentence[None, :length], search)
        found = translate(source_ids=padded, length=np.array([length], np.int32))
        np.testing.assert_array_equal(found["ids"], expected.ids[:, 0])
        np.testing.assert_allclose(found["score"], expected.scores[:, 0], **CLOSE)


@architectures
def test_step_by_step_is_teacher_forcing(changes: Settings) -> None:
    """K hypotheses a sentence, all different, one token at a time: the logits of reading each as a reference."""
    model = model_of(changes)
    source_ids = pairs()[0]["source_ids"]
    hypotheses, steps = 2, 4
    prefixes = np.random.default_rng(5).integers(4, 11, (3, hypotheses, steps)).astype("int32")
    forced = logits_of(model, {"source_ids": np.repeat(source_ids, hypotheses, axis=0), "target_inputs": prefixes.reshape(-1, steps)})
    forced = forced.reshape(3, hypotheses, steps, V)
    encoded = model.encode(source_ids)
    state = np.repeat(np.array(encoded.state)[:, None], hypotheses, axis=1)
    for t in range(steps):
        logits, state, weights = model.decode_step(prefixes[:, :, t], state, encoded)
        np.testing.assert_allclose(logits, forced[:, :, t], **CLOSE)
        assert np.all(np.array(weights)[np.broadcast_to(source_ids[:, None] == 0, weights.shape)] == 0.0)
        if model.decoder.attention.context_size:
            np.testing.assert_allclose(np.sum(weights, axis=-1), 1.0, atol=1e-6)


@architectures
def test_padding_changes_nothing(changes: Settings) -> None:
    model = model_of(changes)
    inputs, target_ids = pairs()
    more_inputs, more_target_ids = pairs(source_width=9, target_width=7)
    loss, gradients = loss_and_gradients(model, inputs, target_ids)
    more_loss, more_gradients = loss_and_gradients(model, more_inputs, more_target_ids)
    assert loss == pytest.approx(more_loss, abs=1e-6)
    for weight, one, other in zip(model.trainable_weights, gradients, more_gradients, strict=True):
        # Sums over a padded width are taken in another order: what that may change grows with the gradients themselves.
        np.testing.assert_allclose(one, other, atol=1e-5 * max(1.0, np.abs(one).max()), err_msg=weight.path)


@pytest.mark.parametrize(
    ("section", "key", "names"),
    [
        (schema.Encoder, "kind", ENCODERS),
        (schema.Encoder, "cell", CELLS),
        (schema.Decoder, "cell", CELLS),
        (schema.Decoder, "order", DECODERS),
        (schema.Decoder, "bridge", BRIDGES),
        (schema.Attention, "kind", ATTENTIONS),
        (schema.Initialization, "kernel", KERNELS),
        (schema.Initialization, "recurrent", RECURRENT),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_config_knows_every_name_of_the_code(section: type[Section], key: str, names: dict[str, Any]) -> None:
    assert set(get_args(section.model_fields[key].annotation)) == set(names)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"attention": {"kind": "none", "coverage": True}}, "attention.coverage needs an attention"),
        ({"attention": {"kind": "none"}, "decoder": {"bridge": "zeros"}}, "would know nothing of the source"),
        ({"attention": {"kind": "dot"}, "decoder": {"units": 6}}, r"decoder states \(6 units\) with the memory \(8\)"),
        ({"attention": {"kind": "multi_head", "heads": 4}}, r"attention.heads \(4\) must divide attention.units \(6\)"),
        ({"encoder": {"kind": "self_attention", "units": 6, "heads": 2}}, r"residual.*encoder.units \(6\) and embedding_size \(8\)"),
        ({"encoder": {"kind": "self_attention", "units": 8, "heads": 3}}, r"encoder.heads \(3\) must divide encoder.units \(8\)"),
        ({"encoder": {"cell": "gruu"}}, "'gru', 'lstm', 'tanh' or 'relu'"),
        ({"attention": {"kind": "bahdanau"}}, "'additive', 'dot', 'general', 'multi_head' or 'none'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_parts_that_do_not_fit_are_refused_with_the_reason(changes: Settings, message: str, tmp_path: Path) -> None:
    from ruamel.yaml import YAML

    from pipeline.configuration import load_config

    path = tmp_path / "config.yaml"
    YAML().dump({"name": "run", "model": changed(SMALL, changes)}, path)
    with pytest.raises(UserError, match=message):
        load_config(path)
