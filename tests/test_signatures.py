"""What a SavedModel answers beside translations: several of each with their scores, and what was looked at; and what is in its graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_export import SETTINGS, random_run

from pipeline.configuration import Config
from pipeline.data.corpus import load_split
from pipeline.decoding.translator import Translator
from pipeline.support.run_directory import RunDirectory

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own


class Served:
    """A run, and its SavedModel."""

    def __init__(self, run: RunDirectory, config: Config, folder: Path) -> None:
        import tensorflow as tf

        from pipeline.exporters.saved_model import save_saved_model

        self.run, self.folder = run, folder
        self.translator = Translator.load(run, config, with_attention=True)
        save_saved_model(self.translator.model, self.translator.tokenizer, self.translator.search, config.data.cleaning, folder)
        self.signatures = tf.saved_model.load(str(folder)).signatures
        self.texts = [*load_split(run, "test")["source"][:12], "kalo {name} 🙂 mi", ""]

    def answer(self, signature: str, texts: list[str] | None = None) -> dict[str, np.ndarray]:
        import tensorflow as tf

        given = tf.constant(self.texts if texts is None else texts, tf.string)
        return {name: value.numpy() for name, value in self.signatures[signature](texts=given).items()}


@pytest.fixture(scope="module", params=["shared", pytest.param("separate", marks=pytest.mark.slow)])
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Served:
    root = tmp_path_factory.mktemp("runs")
    run, config = random_run(root / "toy", SETTINGS[request.param])
    return Served(run, config, root / "saved")


def decoded(array: Any) -> Any:
    return np.vectorize(lambda text: text.decode(), otypes=[object])(array).tolist()


def test_several_translations_with_their_scores(served: Served) -> None:
    config = served.run.load_config(["decoding.best=4"])
    expected = Translator.load(served.run, config).alternatives(served.texts)
    found = served.answer("best")
    assert found["translations"].shape == found["scores"].shape == (len(served.texts), 4)
    for row, (texts, scores) in enumerate(zip(decoded(found["translations"]), found["scores"], strict=True)):
        ours = expected[row]
        assert texts == [one.text for one in ours] + [""] * (4 - len(ours))
        if served.texts[row]:
            np.testing.assert_allclose(scores[: len(ours)], [one.score for one in ours], rtol=1e-4)
            assert np.all(scores[len(ours) :] < -1e8)
    assert decoded(served.answer("serving_default")["translations"]) == [one[0].text for one in expected]


def test_what_each_piece_looked_at(served: Served) -> None:
    found = served.answer("attention")
    assert decoded(found["translations"]) == [one.text for one in served.translator.translate(served.texts)]
    sources, targets, weights = decoded(found["source_pieces"]), decoded(found["target_pieces"]), found["weights"]
    assert weights.shape == (len(served.texts), len(targets[0]), len(sources[0]))
    tokenizer = served.translator.tokenizer
    encoded, kept = tokenizer.encode_source(served.texts)
    for row, ids in enumerate(encoded[:-1]):  # the last is blank
        shown = [tokenizer.slots.unmask(piece, kept[row]) for piece in tokenizer.source.pieces(ids)]
        assert [piece for piece in sources[row] if piece] == [*shown, "</s>"]
        tokens = len([piece for piece in targets[row] if piece])
        np.testing.assert_allclose(weights[row, :tokens].sum(axis=1), 1.0, atol=1e-5)
        assert np.all(weights[row, tokens:] == 0) and np.all(weights[row, :, len(ids) + 1 :] == 0)
        searched = served.translator.search_ids(np.array([[*ids, 3]], "int32"))
        np.testing.assert_allclose(weights[row, :tokens, : len(ids) + 1].sum(axis=0), searched.attention[0, 0], atol=1e-4)
    assert "{name}" in sources[12] and any("{name}" in piece for piece in targets[12])


def test_no_texts_and_one(served: Served) -> None:
    assert served.answer("attention", [])["weights"].shape[0] == 0
    assert served.answer("best", [])["translations"].shape == (0, 4)
    nothing = served.answer("attention", [""])
    assert nothing["translations"].tolist() == [b""] and not any(nothing["target_pieces"].ravel()) and not nothing["weights"].any()
    assert decoded(served.answer("best", ["kalo"])["translations"])[0][0] == served.translator.translate(["kalo"])[0].text


def test_nothing_of_a_device_is_in_the_graph(served: Served) -> None:
    """What is traced beside a graphics card must run without one, and the other way round."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((served.folder / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert not {node.op for node in nodes if "Cudnn" in node.op or node.op.startswith("_")}
    assert not {node.device for node in nodes if "GPU" in node.device.upper()}


def test_a_model_without_attention_has_no_such_signature(tmp_path: Path) -> None:
    plain = SETTINGS["shared"].replace("attention: {units: 12}", "attention: {kind: none}")
    run, config = random_run(tmp_path / "toy", plain)
    served = Served(run, config, tmp_path / "saved")
    assert sorted(served.signatures) == ["best", "ids", "serving_default"]
    assert decoded(served.answer("serving_default")["translations"]) == [one.text for one in served.translator.translate(served.texts)]


@pytest.mark.parametrize("kept", ["float16", "bfloat16"])
def test_weights_in_half_the_bytes_translate_as_the_model_with_these_weights(kept: str, tmp_path: Path) -> None:
    import tensorflow as tf

    from pipeline.exporters.saved_model import save_saved_model

    run, config = random_run(tmp_path / "toy", SETTINGS["shared"])
    translator = Translator.load(run, config)
    model, texts = translator.model, [*load_split(run, "test")["source"][:12], ""]
    save_saved_model(model, translator.tokenizer, translator.search, config.data.cleaning, tmp_path / "saved", kept)
    variables = sum(path.stat().st_size for path in (tmp_path / "saved" / "variables").iterdir())
    assert variables < 2.1 * model.count_params() + 50_000
    for weight in model.weights:
        weight.assign(tf.cast(tf.cast(weight.value, kept), tf.float32))
    found = tf.saved_model.load(str(tmp_path / "saved")).signatures
    expected = [one.text for one in translator.translate(texts)]
    assert decoded(found["serving_default"](texts=tf.constant(texts))["translations"].numpy()) == expected
    weights = found["attention"](texts=tf.constant(texts[:1]))["weights"].numpy()
    assert weights.sum(axis=-1)[0, 0] == pytest.approx(1.0, abs=1e-5)


@pytest.mark.slow
def test_xla_compiles_the_same_translations_for_few_shapes(tmp_path: Path) -> None:
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    from pipeline.exporters.saved_model import save_saved_model

    run, config = random_run(tmp_path / "toy", SETTINGS["shared"])
    translator = Translator.load(run, config)
    parts = translator.model, translator.tokenizer, translator.search, config.data.cleaning
    save_saved_model(*parts, tmp_path / "saved", xla=True)
    signatures = tf.saved_model.load(str(tmp_path / "saved")).signatures
    texts = [*load_split(run, "test")["source"][:10], "", "kalo {name} 🙂 mi"]
    for count in (1, 3, len(texts)):
        found = signatures["serving_default"](texts=tf.constant(texts[:count]))
        assert decoded(found["translations"].numpy()) == [one.text for one in translator.translate(texts[:count])]
    assert signatures["serving_default"](texts=tf.constant([], tf.string))["translations"].shape == (0,)
    graph = saved_model_pb2.SavedModel.FromString((tmp_path / "saved" / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    assert any(function.attr["_XlaMustCompile"].b for function in graph.library.function)
