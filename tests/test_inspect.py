"""Looking into a model: what the pictures show is what the model does. Models with new weights, on the toy's sentences."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from toy_training import started

from pipeline.data.batches import Batch, pad
from pipeline.data.subwords import BOS, Tokenizer
from pipeline.decoding.search_model import attention_weights
from pipeline.decoding.translation import Translation
from pipeline.decoding.weights import keep_weights
from pipeline.inspect import pictures
from pipeline.inspect.activity import activities
from pipeline.inspect.beam_tree import Node, beam_tree
from pipeline.inspect.embeddings import Embeddings
from pipeline.inspect.reading import END, Reader, Reading
from pipeline.inspect.saliency import own_log_probs, saliency
from pipeline.inspect.through_time import gradients_by_distance, last_losses, state_gradients
from pipeline.inspect.tracking import decoder_states, trackers
from pipeline.runtime.errors import UserError
from pipeline.support.run_directory import RunDirectory
from pipeline.training.setup import new_model

CELLS = {
    "gru": (),
    "lstm": ("model.encoder.cell=lstm", "model.decoder.cell=lstm", "model.encoder.layers=2"),
    "tanh": ("model.encoder.cell=tanh", "model.decoder.cell=tanh", "model.encoder.bidirectional=false"),
    "normalised": ("model.encoder.layer_norm=true", "model.decoder.layer_norm=true", "model.decoder.layers=3"),
    "bahdanau": ("model.decoder.order=bahdanau", "model.attention.coverage=true"),
    "feeding": ("model.decoder.order=input_feeding",),
    "self-attention": ("model.encoder.kind=self_attention", "model.encoder.heads=2"),
    "none": ("model.attention.kind=none",),
}
TEXT = "a b c d"


@pytest.fixture(scope="module", params=CELLS)
def reader(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Reader:
    folder = tmp_path_factory.mktemp(request.param)
    started(folder, *CELLS[request.param])
    run = RunDirectory(folder / "toy")
    config, tokenizer = run.load_config([]), Tokenizer.load(run.tokenizer)
    keras.utils.set_random_seed(3)
    model = new_model(config, tokenizer.source.size, tokenizer.target.size)
    if "layer_norm" not in str(CELLS[request.param]):
        for weight in model.trainable_weights:  # further from 0, so that there is something to see
            weight.assign(1.2 * weight)
    keep_weights(model, tokenizer, run)
    return Reader.load(run)


def test_a_text_is_cleaned_as_for_translating(reader: Reader) -> None:
    found, expected = reader.read("a\u00a0b\tc\u200b\n d", " d\u3000c b a "), reader.read(TEXT, "d c b a")
    assert (found.text, found.translation, found.source, found.target) == (TEXT, "d c b a", expected.source, expected.target)
    assert beam_tree(reader, "a\u00a0b\tc\u200b\n d") == beam_tree(reader, TEXT)


@pytest.fixture
def reading(reader: Reader) -> Reading:
    return reader.read(TEXT, "d c b a")


def batch(reader: Reader, *texts: str) -> Batch:
    source = pad(reader.tokenizer.source.encode(list(texts)))
    target = pad(reader.tokenizer.target.encode([text[::-1] for text in texts]))
    inputs = np.concatenate([np.full((len(texts), 1), BOS, np.int32), np.where(target[:, 1:] > 0, target[:, :-1], 0)], axis=1)
    return Batch(source, inputs, target)


def test_attention_rows_sum_to_one_and_are_zero_at_padding(reader: Reader) -> None:
    some = batch(reader, "a b c d", "a b", "j")
    weights = np.asarray(attention_weights(reader.model, *map(ops.convert_to_tensor, (some.source_ids, some.target_inputs))))
    padding = np.broadcast_to((some.source_ids == 0)[:, None], weights.shape)
    assert padding.any()
    assert np.all(weights[padding] == 0.0)
    expected = 0.0 if reader.config.model.attention.kind == "none" else 1.0
    np.testing.assert_allclose(weights.sum(axis=-1), expected, atol=1e-5)


def test_a_reading_has_the_pieces_and_their_probabilities(reader: Reader, reading: Reading) -> None:
    assert reading.source[-1] == reading.target[-1] == END
    assert "".join(reading.source[:-1]).replace("▁", " ").strip() == TEXT
    assert reading.attention.shape == (len(reading.target), len(reading.source))
    assert np.all((reading.probabilities > 0) & (reading.probabilities < 1))


def test_the_model_s_own_translation_has_the_log_probability_of_the_search(reader: Reader) -> None:
    [found] = reader.translator.translate([TEXT])
    own = reader.read(TEXT)
    assert own.translation == found.text
    written = own.probabilities if found.complete else own.probabilities[:-1]
    assert np.log(written).sum() == pytest.approx(found.log_prob, rel=1e-4)


def test_what_cannot_be_read_is_refused(reader: Reader) -> None:
    with pytest.raises(UserError, match="no text to look at"):
        reader.read("  ")
    with pytest.raises(UserError, match="20 is the limit"):
        reader.read("a b c d e f g h i j " * 3)


def test_a_translation_of_the_model_s_own_may_be_long(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    [ids] = reader.tokenizer.target.encode(["a b c d " * 30])
    own = Translation("a b c d " * 30, 0.0, ids, False)
    monkeypatch.setattr(reader.translator, "translate", lambda texts: [own])
    assert len(ids) > reader.config.model.max_tokens
    assert len(reader.read(TEXT).target) == len(ids) + 1


@pytest.mark.parametrize("words", [False, True])
def test_saliency_is_drawn_by_the_strongest_cell_of_each_row(
    reader: Reader, reading: Reading, words: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reader.config.model.encoder.layer_norm:
        return  # refused: see below
    drawn: list[Any] = []
    monkeypatch.setattr(pictures, "matrices", lambda panels, source, target: drawn.append(panels))
    pictures.saliency_picture(reader, reading, words)
    strongest = np.abs(drawn[0]["gradient x input, by row"]).max(axis=1)
    assert np.allclose(strongest, 1.0)


def test_of_one_sentence_no_units_are_found() -> None:
    assert trackers([], []) == [] == trackers([np.ones((3, 4), np.float32)], [["a", "b", "c"]])


def test_saliency_agrees_with_finite_differences(reader: Reader, reading: Reading) -> None:
    """Each embedding made a little larger and a little smaller, and the probabilities looked at: within 1 %."""
    if reader.config.model.encoder.layer_norm:
        with pytest.raises(UserError, match=r"encoder\.layer_norm"):
            saliency(reader.model, reading)
        return
    found = saliency(reader.model, reading)
    steps, length = len(reading.target), len(reading.source)
    assert found.shape == (steps, length)
    embedded = np.repeat(np.asarray(reader.model.embed_source(ops.convert_to_tensor(reading.source_ids))), steps, axis=0)

    def slope(place: int) -> np.ndarray:
        size = 1e-3  # ReLUs have corners: the self-attention encoder's are met by larger steps
        changes = np.ones((2, 1, length, 1), np.float32)
        changes[:, :, place] += np.array([size, -size])[:, None, None]
        more, less = (np.asarray(own_log_probs(reader.model, reading, ops.convert_to_tensor(embedded * some))) for some in changes)
        return (more - less) / (2 * size)

    expected = np.stack([slope(place) for place in range(length)], axis=1)
    assert np.max(np.abs(expected)) > 0.01
    assert np.linalg.norm(found - expected) < 0.01 * np.linalg.norm(expected)


def test_gradients_through_time_agree_with_finite_differences(reader: Reader) -> None:
    """Along random directions, at every state: within 1 %."""
    some = batch(reader, "a b c d", "c a b j")
    gradients = state_gradients(reader.model, some)
    assert gradients.shape[:2] == some.target_ids.shape
    encoded = reader.model.encode(ops.convert_to_tensor(some.source_ids))
    generator = np.random.default_rng(1)
    found, expected = [], []
    for index in range(gradients.shape[1]):
        direction = generator.normal(size=gradients[:, index].shape).astype(np.float32)
        if reader.config.model.attention.coverage:
            direction[:, -some.source_ids.shape[1] :] = 0.0  # what attention has covered is no state of a layer
        step = np.zeros_like(gradients)
        step[:, index] = 0.01 * direction
        more, less = (np.asarray(last_losses(reader.model, some, encoded, ops.convert_to_tensor(sign * step))) for sign in (1, -1))
        expected.append((more - less) / 0.02)
        found.append((gradients[:, index] * direction).sum(axis=-1))
    assert np.max(np.abs(expected)) > 1e-3
    assert np.linalg.norm(np.subtract(found, expected)) < 0.01 * np.linalg.norm(expected)


def test_the_gradient_s_decay_begins_at_one_and_does_not_hang_on_padding(reader: Reader) -> None:
    alone = gradients_by_distance(reader.model, [batch(reader, "a b c d")], 6)
    beside = gradients_by_distance(reader.model, [batch(reader, "a b c d"), batch(reader, "a b c d", "a b c d")], 6)
    assert alone[0] == pytest.approx(1.0)
    assert np.isnan(alone[-1])
    np.testing.assert_allclose(alone, beside, rtol=1e-4)


def test_activities_are_the_model_s_own_states(reader: Reader, reading: Reading) -> None:
    found = {activity.layer: activity for activity in activities(reader.model, reading)}
    decoder = [name for name in found if name.startswith("decoder")]
    assert len(decoder) == reader.config.model.decoder.layers
    one = Batch(reading.source_ids, reading.target_inputs, reading.target_ids)
    for layer, name in enumerate(decoder):
        [states] = decoder_states(reader.model, [one], layer)
        np.testing.assert_allclose(found[name].shown[1:], states, atol=1e-5)
    if reader.config.model.encoder.kind == "self_attention":
        assert len(found) == len(decoder)
        return
    top = [found[name].shown for name in found if name.startswith(f"encoder {reader.config.model.encoder.layers}")]
    memory = np.asarray(reader.model.encode(ops.convert_to_tensor(reading.source_ids)).memory)[0]
    np.testing.assert_allclose(np.concatenate(top, axis=-1), memory, atol=1e-5)


def test_gates_are_between_closed_and_open(reader: Reader, reading: Reading) -> None:
    expected = {"gru": {"update", "reset"}, "lstm": {"input", "forget", "output"}, "tanh": set()}
    for activity in activities(reader.model, reading):
        assert set(activity.gates) == expected[reader.config.model.decoder.cell]
        for values in activity.gates.values():
            assert values.shape == activity.shown.shape
            assert 0 <= values.min() < values.max() <= 1


def test_the_tree_of_a_search_has_its_translation_as_the_best_path(reader: Reader) -> None:
    root = beam_tree(reader, TEXT)
    [found] = reader.translator.translate([TEXT])
    path: list[Node] = []
    node = root
    while following := [child for child in node.children if child.best]:
        [node] = following
        path.append(node)
    expected = reader.tokenizer.target.pieces(found.ids) + [END] * found.complete
    assert [node.piece for node in path] == expected
    assert path[-1].score == pytest.approx(found.score, abs=1e-5)
    assert path[-1].log_prob == pytest.approx(found.log_prob, abs=1e-4)
    assert root.leaves >= reader.translator.search.beam_size
    assert root.depth >= len(path)


def test_a_beam_of_one_is_a_tree_without_branches(reader: Reader) -> None:
    assert beam_tree(reader, TEXT, beam_size=1).leaves == 1


def test_neighbours_are_those_whose_embeddings_point_the_same_way(reader: Reader) -> None:
    subwords = reader.tokenizer.target
    [[first], [second]] = (subwords.encode([word])[0] for word in ("a", "b"))
    table = reader.model.target_embedding.embeddings
    before = np.asarray(table).copy()
    try:
        table.assign(np.where(np.arange(len(before))[:, None] == second, 3.0 * before[first], before))
        [(piece, cosine), *_] = Embeddings(reader).neighbours("a")
        assert piece.strip("▁") == "b"
        assert cosine == pytest.approx(1.0, abs=1e-5)
    finally:
        table.assign(before)
    with pytest.raises(UserError, match="no piece of the vocabulary"):
        Embeddings(reader).neighbours("abcdefghij")
