"""The recurrent cells: their numbers against NumPy, and their gradient through time against automatic differentiation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from pipeline.model.cells import CELLS
from pipeline.model.initialization import Blocks, Initialization
from pipeline.model.recurrence import run_sequence, run_step
from pipeline.model.recurrent import Recurrent

E, D = 6, 5

# float32 sums of a few dozen terms in another order: a thousand times what was seen is still far below any mistake.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}

every_cell = pytest.mark.parametrize("cell", list(CELLS))
with_and_without_norm = pytest.mark.parametrize("layer_norm", [False, True], ids=["plain", "layer norm"])


def filled(layer, seed: int = 1, scale: float = 0.4):
    """The layer with random weights, biases too: zeros would hide where a bias goes."""
    generator = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(generator.normal(scale=scale, size=weight.shape))
    return layer


def layer_of(cell: str, **options) -> Recurrent:
    layer = Recurrent(cell, D, **options)
    layer.build((None, None, E))
    return filled(layer)


# --- the same in NumPy ------------------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normalised(x):
    """Mean 0, variance 1 over each gate's D."""
    blocks = x.reshape(-1, D)
    return ((blocks - blocks.mean(1, keepdims=True)) / np.sqrt(blocks.var(1, keepdims=True) + 1e-5)).reshape(-1)


def numpy_step(cell: str, x, p, h, c):
    """x the input's part of the gates, p the state's; gives back h and c."""
    if cell == "tanh":
        return np.tanh(x + p), c
    if cell == "relu":
        return np.maximum(x + p, 0), c
    if cell == "gru":
        (xz, xr, xn), (pz, pr, pn) = np.split(x, 3), np.split(p, 3)
        z, r = sigmoid(xz + pz), sigmoid(xr + pr)
        return (1 - z) * h + z * np.tanh(xn + r * pn), c
    i, f, o, g = np.split(x + p, 4)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def numpy_outputs(cell: str, inputs, kernel, bias, recurrent_kernel, input_scale=None, recurrent_scale=None, initial=None):
    """One sentence [T, E], one direction -> [T, D]."""
    h, c = np.zeros(D) if initial is None else initial[:D], np.zeros(D) if initial is None else initial[D:]
    outputs = []
    for x in inputs:
        x, p = x @ kernel, h @ recurrent_kernel
        if input_scale is not None:
            x, p = normalised(x) * input_scale, normalised(p) * recurrent_scale[0]
        h, c = numpy_step(cell, x + bias, p, h, c)
        outputs.append(h)
    return np.array(outputs)


def arrays(layer) -> list[np.ndarray]:
    """Weights in float64, in the order in which `build` makes them."""
    return [np.array(weight, dtype=np.float64) for weight in layer.weights]


@every_cell
@with_and_without_norm
def test_a_layer_computes_its_equations(cell: str, layer_norm: bool) -> None:
    layer = layer_of(cell, layer_norm=layer_norm)
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(3, 5, E)).astype("float32")
    initial = generator.normal(size=(3, layer.state_size)).astype("float32")
    outputs = layer(inputs, initial=initial)
    state = initial
    for t in range(5):
        state = layer.step(inputs[:, t], state)
        np.testing.assert_allclose(state[:, :D], outputs[:, t], **CLOSE)
    for i in range(3):
        np.testing.assert_allclose(outputs[i], numpy_outputs(cell, inputs[i], *arrays(layer), initial=initial[i]), **CLOSE)
        np.testing.assert_allclose(layer(inputs)[i], numpy_outputs(cell, inputs[i], *arrays(layer)), **CLOSE)


@every_cell
@with_and_without_norm
def test_two_directions_read_each_sentence_from_both_of_its_ends(cell: str, layer_norm: bool) -> None:
    layer = layer_of(cell, bidirectional=True, layer_norm=layer_norm)
    inputs = np.random.default_rng(1).normal(size=(3, 6, E)).astype("float32")
    lengths = [6, 1, 4]
    outputs = layer(inputs, token_mask=np.arange(6) < np.array(lengths)[:, None])
    kernel, bias, recurrent, *scales = arrays(layer)
    for i, length in enumerate(lengths):
        sentence = inputs[i, :length]
        for direction, text in enumerate((sentence, sentence[::-1])):
            of_direction = [np.split(kernel, 2, axis=1)[direction], np.split(bias, 2)[direction], recurrent[direction]]
            if layer_norm:
                of_direction += [np.split(scales[0], 2)[direction], scales[1][direction]]
            expected = numpy_outputs(cell, text, *of_direction)
            found = np.array(outputs)[i, :length, direction * D : (direction + 1) * D]
            np.testing.assert_allclose(found[::-1] if direction else found, expected, **CLOSE)


# --- the gradient through time ----------------------------------------------------------------------------------------


def unrolled(cell: str, inputs, initial, kernel, scale=None):
    """`run_sequence`, one step at a time, for automatic differentiation."""
    state, outputs = initial, []
    for t in range(inputs.shape[0]):
        state = run_step(CELLS[cell], inputs[t], state, kernel, scale)
        outputs.append(state[..., :D])
    return tf.stack(outputs)


def arguments(cell: str, lead: tuple[int, ...], steps: int, layer_norm: bool, batch: int = 3) -> list[tf.Tensor]:
    """Random inputs, first state, U and scale of `run_sequence`."""
    generator = np.random.default_rng(steps)
    gates, states = CELLS[cell].gates * D, CELLS[cell].states * D
    shapes = [(steps, *lead, batch, gates), (*lead, batch, states), (*lead, D, gates), (*lead, 1, gates)]
    values = [generator.normal(scale=0.7, size=shape) for shape in shapes[: 4 if layer_norm else 3]]
    return [tf.constant(value, tf.float32) for value in values]


def outputs_and_gradients(function, values: Sequence[tf.Tensor]):
    """Outputs, and the gradients of a random weighing of them: no step and no unit counts as another does."""
    with tf.GradientTape() as tape:
        tape.watch(values)
        outputs = function(*values)
        weighed = tf.reduce_sum(outputs * tf.random.stateless_normal(tf.shape(outputs), seed=[1, 2]))
    return outputs, tape.gradient(weighed, values)


def assert_same_gradients(found, expected) -> None:
    np.testing.assert_allclose(found[0], expected[0], **CLOSE)
    for name, one, other in zip(("inputs", "initial", "kernel", "scale"), found[1], expected[1], strict=False):
        assert np.abs(other).max() > 0.01, name
        np.testing.assert_allclose(one, other, **CLOSE, err_msg=name)


@every_cell
@with_and_without_norm
@pytest.mark.parametrize("steps", [1, 7])
@pytest.mark.parametrize("lead", [(), (2,)], ids=["one direction", "two directions"])
def test_gradient_through_time_is_that_of_automatic_differentiation(cell: str, layer_norm: bool, lead: tuple[int, ...], steps: int) -> None:
    values = arguments(cell, lead, steps, layer_norm)
    expected = outputs_and_gradients(lambda *values: unrolled(cell, *values), values)
    for training in (True, False):
        found = outputs_and_gradients(lambda *values: run_sequence(CELLS[cell], *values, training=training), values)  # noqa: B023
        assert_same_gradients(found, expected)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("lead", [(), (2,)], ids=["one direction", "two directions"])
def test_one_graph_serves_every_length_and_batch_size(cell: str, lead: tuple[int, ...]) -> None:
    gates, states = CELLS[cell].gates * D, CELLS[cell].states * D
    shapes = [(None, *lead, None, gates), (*lead, None, states), (*lead, D, gates)]
    compiled = tf.function(
        lambda *values: outputs_and_gradients(lambda *values: run_sequence(CELLS[cell], *values), values),
        input_signature=[tf.TensorSpec(shape) for shape in shapes],
    )
    for steps, batch in ((1, 3), (6, 2), (4, 5)):
        values = arguments(cell, lead, steps, layer_norm=False, batch=batch)
        assert_same_gradients(compiled(*values), outputs_and_gradients(lambda *values: unrolled(cell, *values), values))
    assert compiled.experimental_get_tracing_count() == 1


@every_cell
@with_and_without_norm
def test_padding_has_no_influence(cell: str, layer_norm: bool) -> None:
    """Whatever stands at padding, and however much of it there is."""
    layer = layer_of(cell, bidirectional=True, layer_norm=layer_norm)
    generator = np.random.default_rng(1)
    inputs = generator.normal(size=(2, 8, E)).astype("float32")
    mask = np.arange(8) < np.array([[3], [8]])
    other = np.where(mask[..., None], inputs, 7.0).astype("float32")
    outputs = np.array(layer(inputs, token_mask=mask))
    assert np.array_equal(outputs[mask], np.array(layer(other, token_mask=mask))[mask])
    np.testing.assert_allclose(outputs[0, :3], layer(inputs[:1, :3])[0], atol=1e-6)


@every_cell
@with_and_without_norm
def test_gradients_are_those_without_padding_however_much_of_it_there_is(cell: str, layer_norm: bool) -> None:
    layer = layer_of(cell, bidirectional=True, layer_norm=layer_norm)
    inputs = tf.constant(np.random.default_rng(1).normal(size=(1, 3, E)), tf.float32)

    def gradients(padding: int) -> list[np.ndarray]:
        mask = np.arange(3 + padding) < np.array([[3]])
        with tf.GradientTape() as tape:
            outputs = layer(tf.pad(inputs, [[0, 0], [0, padding], [0, 0]]), token_mask=mask)[:, :3]
            weighed = tf.reduce_sum(outputs * tf.random.stateless_normal(tf.shape(outputs), seed=[1, 2]))
        return tape.gradient(weighed, [weight.value for weight in layer.weights])

    for weight, one, other in zip(layer.weights, gradients(0), gradients(100), strict=True):
        np.testing.assert_allclose(one, other, **CLOSE, err_msg=weight.path)


# --- initialisation ---------------------------------------------------------------------------------------------------


def test_recurrent_kernels_start_orthogonal() -> None:
    kernels = np.array(Blocks("orthogonal", seed=1)((2, D, 3 * D)))
    blocks = [block for kernel in kernels for block in np.split(kernel, 3, axis=1)]
    for block in blocks:
        np.testing.assert_allclose(block.T @ block, np.eye(D), atol=1e-5)
    assert all(np.abs(a - b).max() > 0.1 for i, a in enumerate(blocks) for b in blocks[:i])


def test_identity_keeps_the_state() -> None:
    assert np.array_equal(Blocks("identity")((2, D, D)), np.stack([np.eye(D)] * 2))


def test_bounds_of_xavier_and_he() -> None:
    assert np.abs(Initialization("xavier").kernel_of(100, 50)((1000,))).max() == pytest.approx((6 / 150) ** 0.5, rel=0.02)
    assert np.abs(Initialization("he").kernel_of(100, 50)((1000,))).max() == pytest.approx((6 / 100) ** 0.5, rel=0.02)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_forget_gates_begin_open(bidirectional: bool) -> None:
    layer = Recurrent("lstm", D, bidirectional, initialization=Initialization(forget_bias=1.5))
    layer.build((None, None, E))
    blocks = np.array(layer.bias).reshape(-1, 4, D)
    assert len(blocks) == 1 + bidirectional
    assert np.all(blocks[:, 1] == 1.5)
    assert not np.any(blocks[:, [0, 2, 3]])
