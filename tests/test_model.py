"""The network: its numbers against NumPy, its gradients against automatic differentiation, and what must not change either."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.model.attention import BahdanauAttention
from pipeline.model.cells import GRU, OrthogonalBlocks
from pipeline.model.losses import token_cross_entropy
from pipeline.model.recurrence import HOLD, gru_sequence, gru_step
from pipeline.model.seq2seq import Seq2Seq

E, UNITS, D, A = 6, 5, 7, 4
SOURCE_V, TARGET_V, JOINT_V = 11, 13, 12
BOS, EOS = 2, 3

# float32 sums of a few dozen terms in another order: a thousand times what was seen is still far below any mistake.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def filled(layer, seed: int = 1, scale: float = 0.4):
    """The layer with random weights, biases too: zeros would hide where a bias goes."""
    generator = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(generator.normal(scale=scale, size=weight.shape))
    return layer


def small_model(layers: int = 1, joint: bool = False, seed: int = 1, **options) -> Seq2Seq:
    """A model of few random weights; with `joint` one embedding table serves source, target and output."""
    model = Seq2Seq(
        JOINT_V if joint else SOURCE_V,
        JOINT_V if joint else TARGET_V,
        embedding_size=E,
        encoder_units=UNITS,
        decoder_units=D,
        decoder_layers=layers,
        attention_units=A,
        shared_embeddings=joint,
        tied_output=joint,
        **options,
    )
    return filled(model, seed)


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


def loss_and_gradients(model: Seq2Seq, inputs: dict[str, np.ndarray], target_ids: np.ndarray) -> tuple[float, list[np.ndarray]]:
    with tf.GradientTape() as tape:
        loss = token_cross_entropy(target_ids, model(inputs))
    gradients = tape.gradient(loss, [weight.value for weight in model.trainable_weights])
    return float(loss), [np.array(tf.convert_to_tensor(gradient)) for gradient in gradients]


# --- the same in NumPy ------------------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(x):
    exponentials = np.exp(x - x.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def numpy_gru(inputs, state, kernel, input_bias, recurrent_kernel, recurrent_bias):
    """One sentence [T, X], state [D] -> [T, D] (Cho et al., 2014, with the reset after the recurrent product)."""
    states = []
    for x in inputs:
        z, r, n = np.split(x @ kernel + input_bias, 3)
        z_h, r_h, n_h = np.split(state @ recurrent_kernel, 3)
        candidate = np.tanh(n + sigmoid(r + r_h) * (n_h + recurrent_bias[0]))
        update = sigmoid(z + z_h)
        state = (1 - update) * state + update * candidate
        states.append(state)
    return np.array(states)


def numpy_both_ways(inputs, kernel, input_bias, recurrent_kernel, recurrent_bias):
    """One sentence [T, X] without padding -> [T, 2 D], read from both ends."""
    kernels, biases = np.split(kernel, 2, axis=1), np.split(input_bias, 2)
    zeros = np.zeros(recurrent_kernel.shape[1])
    forward = numpy_gru(inputs, zeros, kernels[0], biases[0], recurrent_kernel[0], recurrent_bias[0])
    backward = numpy_gru(inputs[::-1], zeros, kernels[1], biases[1], recurrent_kernel[1], recurrent_bias[1])
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
    memory = numpy_both_ways(source_table[source_ids], *arrays(model.encoder.recurrent))
    summary = np.concatenate([memory[-1, :UNITS], memory[0, UNITS:]])
    states = np.split(np.tanh(summary @ np.array(decoder.bridge_kernel) + np.array(decoder.bridge_bias)), 1 + len(decoder.uppers))
    output = numpy_gru(target_table[target_inputs], states[0], *arrays(decoder.lowest))
    context, _ = numpy_attention(output, memory, *arrays(decoder.attention))
    for upper, state in zip(decoder.uppers, states[1:], strict=True):
        output = output + numpy_gru(np.concatenate([output, context], axis=1), state, *arrays(upper))
    readout = np.tanh(np.concatenate([output, context], axis=1) @ np.array(decoder.readout_kernel) + np.array(decoder.readout_bias))
    kernel = np.array(model.target_embedding.embeddings).T if model.tied_output else np.array(model.output_kernel)
    return readout @ kernel + np.array(model.output_bias)


def arrays(layer) -> list[np.ndarray]:
    """Weights in float64, in the order in which `build` makes them."""
    return [np.array(weight, dtype=np.float64) for weight in layer.weights]


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_gru_computes_its_equations() -> None:
    generator = np.random.default_rng(1)
    layer = GRU(D)
    layer.build((None, None, E))
    filled(layer)
    inputs, initial = generator.normal(size=(3, 5, E)).astype("float32"), generator.normal(size=(3, D)).astype("float32")
    outputs, last = layer(inputs, initial=initial)
    for i in range(3):
        expected = numpy_gru(inputs[i], initial[i], *arrays(layer))
        np.testing.assert_allclose(outputs[i], expected, **CLOSE)
        np.testing.assert_allclose(last[i], expected[-1], **CLOSE)
    np.testing.assert_allclose(layer(inputs)[0][0], numpy_gru(inputs[0], np.zeros(D), *arrays(layer)), **CLOSE)
    np.testing.assert_allclose(layer.step(inputs[:, 0], initial), outputs[:, 0], **CLOSE)


def test_bidirectional_gru_reads_each_sentence_from_both_of_its_ends() -> None:
    layer = GRU(D, bidirectional=True)
    layer.build((None, None, E))
    filled(layer)
    inputs = np.random.default_rng(1).normal(size=(3, 6, E)).astype("float32")
    lengths = [6, 1, 4]
    outputs, last = layer(inputs, token_mask=np.arange(6) < np.array(lengths)[:, None])
    for i, length in enumerate(lengths):
        expected = numpy_both_ways(inputs[i, :length], *arrays(layer))
        np.testing.assert_allclose(outputs[i, :length], expected, **CLOSE)
        np.testing.assert_allclose(last[i], np.concatenate([expected[-1, :D], expected[0, D:]]), **CLOSE)


def test_attention_computes_its_equation() -> None:
    generator = np.random.default_rng(1)
    layer = BahdanauAttention(A)
    layer.build(D, 2 * UNITS)
    filled(layer, scale=1.0)
    layer.scale.assign(2.5)
    query, memory = generator.normal(size=(3, 4, D)).astype("float32"), generator.normal(size=(3, 6, 2 * UNITS)).astype("float32")
    lengths = [6, 1, 4]
    context, weights = layer(query, layer.project(memory), memory, np.arange(6) < np.array(lengths)[:, None])
    for i, length in enumerate(lengths):
        expected_context, expected_weights = numpy_attention(query[i], memory[i, :length], *arrays(layer))
        np.testing.assert_allclose(weights[i, :, :length], expected_weights, **CLOSE)
        np.testing.assert_allclose(context[i], expected_context, **CLOSE)
        assert not np.any(weights[i, :, length:])


def test_attention_sums_to_one_and_ignores_padding_whatever_stands_there() -> None:
    layer = BahdanauAttention(A)
    layer.build(D, 2 * UNITS)
    filled(layer)
    layer.scale.assign(1000.0)  # scores of hundreds: padding must not win against the most unlikely token
    generator = np.random.default_rng(1)
    query, memory = generator.normal(size=(2, 5, D)).astype("float32"), generator.normal(size=(2, 8, 2 * UNITS)).astype("float32")
    mask = np.arange(8) < np.array([[3], [8]])
    _, weights = layer(query, layer.project(memory), memory, mask)
    np.testing.assert_allclose(np.sum(weights, axis=-1), 1.0, atol=1e-6)
    assert np.all(np.array(weights)[~np.broadcast_to(mask[:, None], weights.shape)] == 0.0)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("joint", [False, True])
def test_the_whole_network_is_what_its_parts_say(layers: int, joint: bool) -> None:
    model = small_model(layers, joint)
    inputs, target_ids = pairs()
    logits = np.array(model(inputs))
    assert logits.shape == (3, 5, JOINT_V if joint else TARGET_V)
    for i, (source, target) in enumerate(zip(inputs["source_ids"], target_ids, strict=True)):
        source_length, target_length = np.count_nonzero(source), np.count_nonzero(target)
        expected = numpy_model(model, source[:source_length], inputs["target_inputs"][i, :target_length])
        np.testing.assert_allclose(logits[i, :target_length], expected, **CLOSE)


def test_recurrent_kernels_start_orthogonal() -> None:
    kernels = np.array(OrthogonalBlocks(seed=1)((2, D, 3 * D)))
    blocks = [block for kernel in kernels for block in np.split(kernel, 3, axis=1)]
    for block in blocks:
        np.testing.assert_allclose(block.T @ block, np.eye(D), atol=1e-5)
    assert all(np.abs(a - b).max() > 0.1 for i, a in enumerate(blocks) for b in blocks[:i])


# --- the hand-written gradient ----------------------------------------------------------------------------------------


def unrolled(inputs, initial, kernel, bias):
    """`gru_sequence`, one step at a time, for automatic differentiation."""
    state, states = initial, []
    for t in range(inputs.shape[0]):
        state = gru_step(inputs[t], state, kernel, bias)
        states.append(state)
    return tf.stack(states), state


def recurrence(lead: tuple[int, ...], steps: int, batch: int = 3) -> list[tf.Tensor]:
    """Random inputs, h_0, U and b of `gru_sequence`; the second sentence of the batch is padding from the third step on."""
    generator = np.random.default_rng(steps)
    shapes = [(steps, *lead, batch, 3 * D), (*lead, batch, D), (*lead, D, 3 * D), (*lead, 1, D)]
    inputs, *rest = (generator.normal(scale=0.7, size=shape) for shape in shapes)
    inputs[2:, ..., 1, :D] += HOLD
    return [tf.constant(value, tf.float32) for value in (inputs, *rest)]


def results_and_gradients(function, arguments: Sequence[tf.Tensor], parts: tuple[float, float] = (1.0, 1.0)):
    """States and last state, and the gradients of a random weighing of them: no step and no unit counts as another does."""
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        found = function(*arguments)
        weights = [part * tf.random.stateless_normal(tf.shape(result), seed=[1, 2]) for part, result in zip(parts, found, strict=True)]
        weighed = tf.add_n([tf.reduce_sum(result * weight) for result, weight in zip(found, weights, strict=True)])
    return found, tape.gradient(weighed, arguments)


def assert_same_gradients(found, expected) -> None:
    for one, other in zip(found[0], expected[0], strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)
    for name, one, other in zip(("inputs", "initial", "kernel", "bias"), found[1], expected[1], strict=True):
        assert np.abs(other).max() > 0.01, name
        np.testing.assert_allclose(one, other, **CLOSE, err_msg=name)


@pytest.mark.parametrize("parts", [(1.0, 0.0), (0.0, 1.0), (1.0, 1.0)], ids=["states", "last state", "both"])
@pytest.mark.parametrize("steps", [1, 2, 9])
@pytest.mark.parametrize("lead", [(), (2,)], ids=["one direction", "two directions"])
def test_gradient_through_time_is_that_of_automatic_differentiation(lead: tuple[int, ...], steps: int, parts: tuple[float, float]) -> None:
    arguments = recurrence(lead, steps)
    assert_same_gradients(results_and_gradients(gru_sequence, arguments, parts), results_and_gradients(unrolled, arguments, parts))


@pytest.mark.parametrize("only", [0, 1], ids=["states", "last state"])
def test_a_result_that_is_not_used_has_no_gradient(only: int) -> None:
    """The decoder never looks at the last state: its gradient is missing, not zero."""
    arguments = recurrence((), 5)
    gradients = []
    for function in (gru_sequence, unrolled):
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            weighed = tf.reduce_sum(tf.square(function(*arguments)[only]))
        gradients.append(tape.gradient(weighed, arguments))
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


@pytest.mark.parametrize("lead", [(), (2,)], ids=["one direction", "two directions"])
def test_one_graph_serves_every_length_and_batch_size(lead: tuple[int, ...]) -> None:
    shapes = [(None, *lead, None, 3 * D), (*lead, None, D), (*lead, D, 3 * D), (*lead, 1, D)]
    compiled = tf.function(
        lambda *arguments: results_and_gradients(gru_sequence, arguments), input_signature=[tf.TensorSpec(shape) for shape in shapes]
    )
    for steps, batch in ((1, 3), (6, 2), (4, 5)):
        arguments = recurrence(lead, steps, batch)
        assert_same_gradients(compiled(*arguments), results_and_gradients(unrolled, arguments))
    assert compiled.experimental_get_tracing_count() == 1


def test_padding_gets_no_gradient_and_passes_the_state_on() -> None:
    (states, last), gradients = results_and_gradients(gru_sequence, recurrence((), 6))
    assert np.array_equal(states[1, 1], states[5, 1])  # held to the last bit
    assert np.array_equal(states[5], last)
    assert not np.any(gradients[0][2:, 1])
    assert np.all(np.any(np.array(gradients[0][2:, 0]), axis=-1))


# --- padding, batches and steps ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [1, 2])
def test_padding_changes_nothing(layers: int) -> None:
    model = small_model(layers)
    inputs, target_ids = pairs()
    more_inputs, more_target_ids = pairs(source_width=11, target_width=9)
    logits, more_logits = np.array(model(inputs)), np.array(model(more_inputs))
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
    logits = np.array(model(inputs))
    for i in range(3):
        source_length = max(2, np.count_nonzero(inputs["source_ids"][i]))  # Keras warns of a softmax over one
        target_length = np.count_nonzero(target_ids[i])
        alone = model(
            {
                "source_ids": inputs["source_ids"][i : i + 1, :source_length],
                "target_inputs": inputs["target_inputs"][i : i + 1, :target_length],
            }
        )
        np.testing.assert_allclose(logits[i, :target_length], alone[0], atol=1e-6)


@pytest.mark.parametrize("layers", [1, 2])
def test_step_by_step_is_teacher_forcing(layers: int) -> None:
    """K hypotheses a sentence, all different, one token at a time: the logits of reading each as a reference."""
    model = small_model(layers)
    source_ids = pairs()[0]["source_ids"]
    hypotheses, steps = 4, 6
    prefixes = np.random.default_rng(5).integers(4, 11, (3, hypotheses, steps)).astype("int32")
    prefixes[:, :, 0] = BOS
    forced = model({"source_ids": np.repeat(source_ids, hypotheses, axis=0), "target_inputs": prefixes.reshape(-1, steps)})
    forced = np.array(forced).reshape(3, hypotheses, steps, TARGET_V)

    encoded = model.encode(source_ids)
    state = np.repeat(np.array(encoded.state)[:, None], hypotheses, axis=1)
    assert state.shape == (3, hypotheses, layers * D)
    for t in range(steps):
        logits, state, weights = model.decode_step(prefixes[:, :, t], state, encoded)
        np.testing.assert_allclose(logits, forced[:, :, t], **CLOSE)
        np.testing.assert_allclose(np.sum(weights, axis=-1), 1.0, atol=1e-6)
        assert np.all(np.array(weights)[np.broadcast_to(source_ids[:, None] == 0, weights.shape)] == 0.0)


def test_the_future_of_the_target_is_not_seen() -> None:
    model = small_model(layers=2)
    inputs, _ = pairs()
    logits = np.array(model(inputs))
    other = inputs["target_inputs"].copy()
    other[:, 3:] = 9
    changed = np.array(model({**inputs, "target_inputs": other}))
    assert np.array_equal(logits[:, :3], changed[:, :3])
    assert np.abs(logits[:, 3:] - changed[:, 3:]).max() > 0.01


# --- loss -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])
def test_loss_is_a_mean_over_real_tokens(smoothing: float) -> None:
    logits = np.random.default_rng(1).normal(scale=3, size=(3, 5, TARGET_V)).astype("float32")
    target_ids = pairs()[1]
    log_probs = np.log(softmax(logits.astype(np.float64)))
    losses = [
        -((1 - smoothing) * log_probs[b, t, target_ids[b, t]] + smoothing * log_probs[b, t].mean())
        for b, t in np.argwhere(target_ids)  # real tokens
    ]
    assert len(losses) == 2 + 5 + 4
    assert float(token_cross_entropy(target_ids, logits, smoothing)) == pytest.approx(np.mean(losses), rel=1e-5)


def test_loss_of_nothing_is_zero() -> None:
    assert float(token_cross_entropy(np.zeros((2, 3), "int32"), np.ones((2, 3, 5), "float32"))) == 0.0


def test_validation_is_without_label_smoothing() -> None:
    model = small_model(label_smoothing=0.3)
    inputs, target_ids = pairs()
    logits = model(inputs)
    assert float(model.compute_loss(y=target_ids, y_pred=logits, training=False)) == pytest.approx(
        float(token_cross_entropy(target_ids, logits))
    )
    assert float(model.compute_loss(y=target_ids, y_pred=logits)) == pytest.approx(float(token_cross_entropy(target_ids, logits, 0.3)))


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"layers": 2}, {"joint": True}], ids=str)
def test_weights_come_back(tmp_path: Path, options: dict[str, bool]) -> None:
    inputs, _ = pairs()
    model, other = small_model(**options, seed=1), small_model(**options, seed=2)
    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    assert np.abs(np.array(model(inputs)) - np.array(other(inputs))).max() > 0.1
    other.load_weights(path)
    assert np.array_equal(model(inputs), other(inputs))


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    small_model(layers=2).save_weights(tmp_path / "model.weights.h5")
    with pytest.raises(ValueError, match="could not be loaded"):
        small_model(layers=1, joint=True).load_weights(tmp_path / "model.weights.h5")


def parameters(**options) -> int:
    return Seq2Seq(
        50, 50, embedding_size=E, encoder_units=UNITS, decoder_units=D, decoder_layers=1, attention_units=A, **options
    ).count_params()


def test_shared_tables_are_counted_once() -> None:
    assert parameters() - parameters(shared_embeddings=True) == 50 * E
    # Tied: no output matrix, and a readout of E instead of D units.
    untied_output, tied_readout = D * 50, (D + 2 * UNITS + 1) * (E - D)
    assert parameters() - parameters(tied_output=True) == untied_output - tied_readout
    assert parameters() - parameters(shared_embeddings=True, tied_output=True) == 50 * E + untied_output - tied_readout


def test_bfloat16_is_near_float32() -> None:
    """8 bits of mantissa: logits of about 1 within 0.05, gradients in nearly the same direction."""
    inputs, target_ids = pairs()
    exact, rounded = small_model(layers=2), small_model(layers=2, precision="bfloat16")
    logits, rounded_logits = np.array(exact(inputs)), np.array(rounded(inputs))
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
    assert np.abs(np.array(model(inputs, training=True)) - np.array(model(inputs, training=True))).max() > 0.01


@pytest.mark.parametrize(("layers", "precision"), [(2, "float32"), (1, "bfloat16")])
def test_training_lowers_the_loss(layers: int, precision: str) -> None:
    """The usual Keras means: compile, fit; from new weights, at about log V, to a few pairs known by heart."""
    keras.utils.set_random_seed(1)
    model = Seq2Seq(
        SOURCE_V, TARGET_V, embedding_size=16, encoder_units=16, decoder_units=16, decoder_layers=layers, attention_units=16,
        dropout=0.1, label_smoothing=0.1, precision=precision,
    )  # fmt: skip
    inputs, target_ids = pairs()
    model.compile(optimizer=keras.optimizers.Adam(0.02, global_clipnorm=1.0))
    before = model.evaluate(inputs, target_ids, verbose=0)
    assert before == pytest.approx(np.log(TARGET_V), abs=0.5)
    losses = model.fit(inputs, target_ids, epochs=30, verbose=0).history["loss"]
    assert losses[1] < losses[0]
    assert model.evaluate(inputs, target_ids, verbose=0) < 0.2
    assert all(np.any(weight) for weight in model.trainable_weights)  # a bias that stays 0 is a bias without a gradient
