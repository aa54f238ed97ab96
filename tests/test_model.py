"""The network: its numbers against NumPy, its gradients against automatic differentiation, and what must not change either."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from test_recurrence import arrays, filled, numpy_outputs

from pipeline.configuration.schema_model import Model
from pipeline.model.build import build_model
from pipeline.model.seq2seq import Seq2Seq
from pipeline.training.setup import decays

E, D, A = 6, 5, 4  # D of `test_recurrence`, for encoder and decoder
SOURCE_V, TARGET_V, JOINT_V = 11, 13, 12
BOS, EOS = 2, 3

# float32 sums of a few dozen terms in another order: a thousand times what was seen is still far below any mistake.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def model_of(layers: int = 1, joint: bool = False, dropout: float = 0.0, vocabulary: int | None = None, **options: Any) -> Seq2Seq:
    """A small model; with `joint` one embedding table serves source, target and output."""
    settings = Model(
        embedding_size=E,
        encoder={"units": D},
        attention={"units": A},
        decoder={"units": D, "layers": layers},
        shared_embeddings=joint,
        tied_output=joint,
        dropout=dropout,
    )
    source, target = (vocabulary, vocabulary) if vocabulary else (JOINT_V, JOINT_V) if joint else (SOURCE_V, TARGET_V)
    return build_model(settings, source, target, **options)


def small_model(layers: int = 1, joint: bool = False, seed: int = 1, **options: Any) -> Seq2Seq:
    """The same with few random weights."""
    return filled(model_of(layers, joint, **options), seed)


def sentences(lengths: Sequence[int], width: int, seed: int) -> np.ndarray:
    """[B, width] ids of sentences of `lengths` tokens: EOS last, then padding."""
    generator = np.random.default_rng(seed)
    ids = np.zeros((len(lengths), width), np.int32)
    for row, length in zip(ids, lengths, strict=True):
        row[:length] = [*generator.integers(4, 11, length - 1), EOS]
    return ids


def pairs(source_width: int = 6, target_width: int = 5) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Three sentence pairs, padded to the widths: what `call` takes, and the target ids."""
    source_ids = sentences([6, 1, 3], source_width, seed=2)
    target_ids = sentences([2, 5, 4], target_width, seed=3)
    shifted = np.concatenate([np.full((3, 1), BOS, np.int32), target_ids[:, :-1]], axis=1)
    return {"source_ids": source_ids, "target_inputs": np.where(shifted == EOS, 0, shifted)}, target_ids


def logits_of(model: Seq2Seq, inputs: dict[str, np.ndarray], **options: bool) -> np.ndarray:
    """[B, T, V] by teacher forcing."""
    return np.array(model.logits(model(inputs, **options)))


def loss_and_gradients(model: Seq2Seq, inputs: dict[str, np.ndarray], target_ids: np.ndarray) -> tuple[float, list[np.ndarray]]:
    with tf.GradientTape() as tape:
        loss = model.compute_loss(y=target_ids, y_pred=model(inputs), training=False)
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    return float(loss), [np.array(tf.convert_to_tensor(gradient)) for gradient in gradients]


# --- the same in NumPy ------------------------------------------------------------------------------------------------


def softmax(x):
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def numpy_both_ways(inputs, kernel, bias, recurrent_kernel):
    """One sentence [T, X] without padding -> [T, 2 D], read from both ends."""
    kernels, biases = np.split(kernel, 2, axis=1), np.split(bias, 2)
    forward = numpy_outputs("gru", inputs, kernels[0], biases[0], recurrent_kernel[0])
    backward = numpy_outputs("gru", inputs[::-1], kernels[1], biases[1], recurrent_kernel[1])
    return np.concatenate([forward, backward[::-1]], axis=1)


def numpy_attention(queries, memory, query_kernel, memory_kernel, bias, direction, scale):
    """One sentence without padding: queries [T, D], memory [S, H] -> context [T, H], weights [T, S]."""
    v = scale * direction / np.linalg.norm(direction)
    scores = [[v @ np.tanh(query @ query_kernel + token @ memory_kernel + bias) for token in memory] for query in queries]
    weights = softmax(np.array(scores))
    return weights @ memory, weights


def numpy_model(model: Seq2Seq, source_ids: np.ndarray, target_inputs: np.ndarray) -> np.ndarray:
    """One pair without padding -> logits [T, V], from the weights alone."""
    decoder = model.decoder
    source_table, target_table = (np.array(table.embeddings) * E**0.5 for table in (model.source_embedding, model.target_embedding))
    memory = numpy_both_ways(source_table[source_ids], *arrays(model.encoder.layers[0]))
    summary = np.concatenate([memory[-1, :D], memory[0, D:]])
    bridge_kernel, bridge_bias = arrays(decoder.bridge)
    states = np.split(np.tanh(summary @ bridge_kernel + bridge_bias), len(decoder.layers))
    lowest, *uppers = decoder.layers
    output = numpy_outputs("gru", target_table[target_inputs], *arrays(lowest), initial=states[0])
    context, _ = numpy_attention(output, memory, *arrays(decoder.attention))
    for upper, state in zip(uppers, states[1:], strict=True):
        output = output + numpy_outputs("gru", np.concatenate([output, context], axis=1), *arrays(upper), initial=state)
    readout = np.tanh(np.concatenate([output, context], axis=1) @ np.array(decoder.readout_kernel) + np.array(decoder.readout_bias))
    kernel = np.array(model.target_embedding.embeddings).T if model.tied_output else np.array(model.output_kernel)
    return readout @ kernel + np.array(model.output_bias)


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("joint", [False, True])
def test_the_whole_network_is_what_its_parts_say(layers: int, joint: bool) -> None:
    model = small_model(layers, joint)
    inputs, target_ids = pairs()
    logits = logits_of(model, inputs)
    assert logits.shape == (3, 5, JOINT_V if joint else TARGET_V)
    for i, (source, target) in enumerate(zip(inputs["source_ids"], target_ids, strict=True)):
        source_length, target_length = np.count_nonzero(source), np.count_nonzero(target)
        expected = numpy_model(model, source[:source_length], inputs["target_inputs"][i, :target_length])
        np.testing.assert_allclose(logits[i, :target_length], expected, **CLOSE)


# --- padding, batches and steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2])
def test_padding_changes_nothing(layers: int) -> None:
    model = small_model(layers)
    inputs, target_ids = pairs()
    more_inputs, more_target_ids = pairs(source_width=11, target_width=9)
    logits, more_logits = logits_of(model, inputs), logits_of(model, more_inputs)
    np.testing.assert_allclose(logits[target_ids > 0], more_logits[more_target_ids > 0], atol=1e-6)

    loss, gradients = loss_and_gradients(model, inputs, target_ids)
    more_loss, more_gradients = loss_and_gradients(model, more_inputs, more_target_ids)
    assert loss == pytest.approx(more_loss, abs=1e-6)
    for weight, one, other in zip(model.trainable_weights, gradients, more_gradients, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6, err_msg=weight.path)


def test_a_sentence_of_padding_changes_nothing() -> None:
    model = small_model()
    inputs, target_ids = pairs()
    padded = {name: np.pad(ids, ((0, 1), (0, 0))) for name, ids in inputs.items()}
    loss, gradients = loss_and_gradients(model, inputs, target_ids)
    padded_loss, padded_gradients = loss_and_gradients(model, padded, np.pad(target_ids, ((0, 1), (0, 0))))
    assert loss == pytest.approx(padded_loss, abs=1e-6)
    for weight, one, other in zip(model.trainable_weights, gradients, padded_gradients, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6, err_msg=weight.path)


def test_a_batch_is_its_sentences() -> None:
    model = small_model(layers=2)
    inputs, target_ids = pairs()
    logits = logits_of(model, inputs)
    for i in range(3):
        source_length = max(2, np.count_nonzero(inputs["source_ids"][i]))  # Keras warns of a softmax over one
        target_length = np.count_nonzero(target_ids[i])
        alone = logits_of(
            model,
            {
                "source_ids": inputs["source_ids"][i : i + 1, :source_length],
                "target_inputs": inputs["target_inputs"][i : i + 1, :target_length],
            },
        )
        np.testing.assert_allclose(logits[i, :target_length], alone[0], atol=1e-6)


def test_the_future_of_the_target_is_not_seen() -> None:
    model = small_model(layers=2)
    inputs, _ = pairs()
    logits = logits_of(model, inputs)
    other = inputs["target_inputs"].copy()
    other[:, 3:] = 9
    changed = logits_of(model, {**inputs, "target_inputs": other})
    assert np.array_equal(logits[:, :3], changed[:, :3])
    assert np.abs(logits[:, 3:] - changed[:, 3:]).max() > 0.01


# --- loss -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_loss_is_a_mean_over_real_tokens(smoothing: float, joint: bool) -> None:
    model = small_model(joint=joint, label_smoothing=smoothing)
    inputs, target_ids = pairs()
    log_probs = np.log(softmax(logits_of(model, inputs).astype(np.float64)))
    losses = [
        -((1 - smoothing) * log_probs[b, t, target_ids[b, t]] + smoothing * log_probs[b, t].mean())
        for b, t in np.argwhere(target_ids)  # real tokens
    ]
    assert len(losses) == 2 + 5 + 4
    assert float(model.compute_loss(y=target_ids, y_pred=model(inputs))) == pytest.approx(np.mean(losses), rel=1e-5)
    plain = [-log_probs[b, t, target_ids[b, t]] for b, t in np.argwhere(target_ids)]
    assert float(model.compute_loss(y=target_ids, y_pred=model(inputs), training=False)) == pytest.approx(np.mean(plain), rel=1e-5)


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"layers": 2}, {"joint": True}], ids=str)
def test_weights_come_back(tmp_path: Path, options: dict[str, bool]) -> None:
    inputs, _ = pairs()
    model, other = small_model(**options, seed=1), small_model(**options, seed=2)
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    assert np.abs(logits_of(model, inputs) - logits_of(other, inputs)).max() > 0.1
    other.load_weights(path)
    assert np.array_equal(logits_of(model, inputs), logits_of(other, inputs))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    small_model(layers=2).save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match="could not be loaded"):
        small_model(layers=1, joint=True).load_weights(tmp_path / "model.weights.h5")


def parameters(**options: bool) -> int:
    settings = Model(
        embedding_size=E, encoder={"units": D}, attention={"units": A}, decoder={"units": D, "layers": 1},
        **{"shared_embeddings": False, "tied_output": False} | options,
    )  # fmt: skip
    return build_model(settings, 50, 50).count_params()


def test_shared_tables_are_counted_once() -> None:
    assert parameters() - parameters(shared_embeddings=True) == 50 * E
    # Tied: no output matrix, and a readout of E instead of D units.
    untied_output, tied_readout = D * 50, (D + 2 * D + 1) * (E - D)
    assert parameters() - parameters(tied_output=True) == untied_output - tied_readout
    assert parameters() - parameters(shared_embeddings=True, tied_output=True) == 50 * E + untied_output - tied_readout


def test_bfloat16_is_near_float32() -> None:
    """8 bits of mantissa: logits of about 1 within 0.05, gradients in nearly the same direction."""
    inputs, target_ids = pairs()
    exact, rounded = small_model(layers=2), small_model(layers=2, precision="bfloat16")
    logits, rounded_logits = logits_of(exact, inputs), logits_of(rounded, inputs)
    assert rounded_logits.dtype == np.float32
    assert 0 < np.abs(logits - rounded_logits).max() < 0.05
    loss, gradients = loss_and_gradients(exact, inputs, target_ids)
    rounded_loss, rounded_gradients = loss_and_gradients(rounded, inputs, target_ids)
    assert rounded_loss == pytest.approx(loss, abs=0.02)
    one, other = (np.concatenate([gradient.ravel() for gradient in both]) for both in (gradients, rounded_gradients))
    assert np.all(np.isfinite(other))
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.999
    assert all(weight.dtype == "float32" for weight in rounded.weights)


def test_dropout_is_for_training_only() -> None:
    model = small_model(dropout=0.5)
    inputs, _ = pairs()
    keras.utils.set_random_seed(1)
    assert np.array_equal(model(inputs), model(inputs))
    assert np.array_equal(model(inputs), small_model()(inputs))
    assert np.abs(logits_of(model, inputs, training=True) - logits_of(model, inputs, training=True)).max() > 0.01


def test_the_memory_may_have_the_words_themselves() -> None:
    settings = {"embedding_size": E, "encoder": {"units": D}, "attention": {"units": A}, "decoder": {"units": D}}
    inputs, _ = pairs()
    plain = filled(build_model(Model(**settings), JOINT_V, JOINT_V), 1)
    model = filled(build_model(Model(**settings | {"encoder": {"units": D, "words": True}}), JOINT_V, JOINT_V), 1)
    encoded = model.encode(inputs["source_ids"])
    words = np.array(model.source_embedding(inputs["source_ids"])) * E**0.5
    assert encoded.memory.shape[-1] == 2 * D + E == plain.encode(inputs["source_ids"]).memory.shape[-1] + E
    np.testing.assert_allclose(encoded.memory[..., 2 * D :], words, **CLOSE)
    assert Model(**settings | {"encoder": {"units": D, "words": True}}).memory_size == 2 * D + E


def test_with_consistency_training_reads_twice_under_dropout() -> None:
    """Each sentence's two readings differ, and cost more the more they are to agree; validation reads once."""
    keras.utils.set_random_seed(1)
    settings = Model(embedding_size=16, encoder={"units": 16}, decoder={"units": 16}, shared_embeddings=False, dropout=0.3)
    model = build_model(settings, SOURCE_V, TARGET_V, consistency=1.0)
    inputs, target_ids = pairs()
    readout = np.asarray(model(inputs, training=True))
    assert len(readout) == 2 * len(target_ids)
    assert np.all(np.any(readout[: len(target_ids)] != readout[len(target_ids) :], axis=(1, 2)))
    agreeing = float(model.compute_loss(y=target_ids, y_pred=readout))
    model.consistency = 5.0
    assert float(model.compute_loss(y=target_ids, y_pred=readout)) > agreeing
    assert model(inputs).shape[0] == len(target_ids)


@pytest.mark.parametrize("sentences", [3, 1])
@pytest.mark.parametrize("consistency", [0.0, 2.0])
def test_two_halves_side_by_side_learn_what_the_batch_teaches(sentences: int, consistency: float) -> None:
    """Loss and gradients are the same whether a batch is read whole or in halves; without dropout, which falls otherwise in each."""
    inputs, target_ids = pairs()
    inputs, target_ids = {name: ids[:sentences] for name, ids in inputs.items()}, target_ids[:sentences]
    found = []
    for side_by_side in (False, True):
        model = filled(model_of(layers=2, label_smoothing=0.1, consistency=consistency, side_by_side=side_by_side), 1)
        with tf.GradientTape() as tape:
            loss = model.compute_loss(y=target_ids, y_pred=model(inputs, training=True))
        weights = [weight.value for weight in model.trainable_weights]
        found.append([loss, *(tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, weights))])
    for halves, whole in zip(*found, strict=True):
        np.testing.assert_allclose(halves, whole, **CLOSE)


@pytest.mark.parametrize(("layers", "precision", "consistency"), [(2, "float32", 0.0), (1, "bfloat16", 0.0), (1, "float32", 2.0)])
def test_training_lowers_the_loss(layers: int, precision: str, consistency: float) -> None:
    """The usual Keras means: compile, fit; from new weights, at about log V, to a few pairs known by heart."""
    keras.utils.set_random_seed(1)
    settings = Model(
        embedding_size=16, encoder={"units": 16}, attention={"units": 16}, decoder={"units": 16, "layers": layers},
        shared_embeddings=False, tied_output=False, dropout=0.1,
    )  # fmt: skip
    model = build_model(settings, SOURCE_V, TARGET_V, label_smoothing=0.1, consistency=consistency, precision=precision)
    inputs, target_ids = pairs()
    model.compile(optimizer=keras.optimizers.Adam(0.02, global_clipnorm=1.0))
    before = model.evaluate(inputs, target_ids, verbose=0)
    assert before == pytest.approx(np.log(TARGET_V), abs=0.5)
    losses = model.fit(inputs, target_ids, epochs=30, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    assert model.evaluate(inputs, target_ids, verbose=0) < 0.2
    assert all(np.any(weight) for weight in model.trainable_weights)  # a bias that stays 0 is a bias without a gradient


def test_weight_decay_leaves_gains_and_biases_alone() -> None:
    encoder = {"layers": 2, "layer_norm": True, "bidirectional": True, "units": D}
    model = build_model(Model(embedding_size=E, encoder=encoder, decoder={"units": D, "layer_norm": True}), SOURCE_V, SOURCE_V)
    model({"source_ids": np.ones((1, 3), np.int32), "target_inputs": np.ones((1, 3), np.int32)})
    decaying = {weight.path for weight in model.trainable_variables if decays(weight)}
    assert any("recurrent_kernel" in path for path in decaying) and any("embeddings" in path for path in decaying)
    assert not [path for path in decaying if "scale" in path or "bias" in path]
    assert [weight.path for weight in model.trainable_variables if "scale" in weight.path]
