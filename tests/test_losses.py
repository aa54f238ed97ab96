"""The loss: its value against NumPy, its hand-written gradient against automatic differentiation of the plain formula."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.model.losses import TINY, output_cross_entropy

B, T, R, V = 3, 5, 8, 13

# float32 sums of a few dozen terms in another order.
CLOSE = {"rtol": 1e-4, "atol": 1e-6}

layouts = pytest.mark.parametrize("tied", [False, True], ids=["kernel", "tied"])
smoothings = pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.4])


def arguments(tied: bool = False, scale: float = 1.0, lengths: tuple[int, ...] = (2, 5, 4), width: int = T) -> list[tf.Tensor]:
    """Readout, kernel, bias and target ids; token t of a sentence is the same whatever the width."""
    generator = np.random.default_rng(1)
    readout = scale * generator.normal(size=(len(lengths), 9, R))[:, :width]
    kernel, bias = generator.normal(size=(V, R)), generator.normal(size=V)
    ids = generator.integers(1, V, (len(lengths), 9))[:, :width] * (np.arange(width) < np.array(lengths)[:, None])
    return [*(tf.constant(value, tf.float32) for value in (readout, kernel if tied else kernel.T, bias)), tf.constant(ids, tf.int32)]


def plain(readout: Any, kernel: Any, bias: Any, ids: Any, smoothing: float, tied: bool) -> Any:
    """The definition, in float64: the cross-entropy of log-probabilities with labels that are written out."""
    readout, kernel, bias = (tf.cast(value, tf.float64) for value in (readout, kernel, bias))
    log_probs = tf.nn.log_softmax(tf.einsum("btr,vr->btv" if tied else "btr,rv->btv", readout, kernel) + bias)
    labels = (1 - smoothing) * tf.one_hot(ids, V, dtype=tf.float64) + smoothing / V
    losses = -tf.reduce_sum(labels * log_probs, axis=-1)
    real = tf.cast(ids > 0, tf.float64)
    return tf.reduce_sum(losses * real) / tf.maximum(tf.reduce_sum(real), 1.0)


def value_and_gradients(function: Any, values: Sequence[tf.Tensor], *options: Any) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """With respect to readout, kernel and bias, where a unit of loss counts for three: what stands above the loss is not ignored."""
    with tf.GradientTape() as tape:
        tape.watch(values[:3])
        loss = function(*values, *options)
    return loss, tape.gradient(loss, values[:3], output_gradients=[tf.constant(3, loss.dtype)])


def ours(smoothing: float, tied: bool, precision: str = "float32") -> Any:
    return lambda *values: output_cross_entropy(*values, label_smoothing=smoothing, precision=precision, tied=tied)


@layouts
@smoothings
def test_value_and_gradients_are_those_of_the_plain_formula(tied: bool, smoothing: float) -> None:
    values = arguments(tied)
    loss, gradients = value_and_gradients(ours(smoothing, tied), values)
    expected_loss, expected = value_and_gradients(plain, values, smoothing, tied)
    assert float(loss) == pytest.approx(float(expected_loss), rel=1e-6)
    for name, one, other in zip(("readout", "kernel", "bias"), gradients, expected, strict=True):
        assert np.max(np.abs(other)) > 0.01, name
        np.testing.assert_allclose(one, other, **CLOSE, err_msg=name)


@layouts
@smoothings
def test_one_graph_serves_every_batch(tied: bool, smoothing: float) -> None:
    shapes = [(None, None, R), (V, R) if tied else (R, V), (V,)]
    compiled = tf.function(
        lambda *values: value_and_gradients(ours(smoothing, tied), values),
        input_signature=[*(tf.TensorSpec(shape) for shape in shapes), tf.TensorSpec((None, None), tf.int32)],
    )
    for lengths, width in (((2, 5, 4), 5), ((7, 1), 8), ((1,), 1)):
        values = arguments(tied, lengths=lengths, width=width)
        loss, gradients = compiled(*values)
        expected_loss, expected = value_and_gradients(plain, values, smoothing, tied)
        assert float(loss) == pytest.approx(float(expected_loss), rel=1e-6)
        for one, other in zip(gradients, expected, strict=True):
            np.testing.assert_allclose(one, other, **CLOSE)
    assert compiled.experimental_get_tracing_count() == 1


@layouts
@smoothings
def test_bfloat16_rounds_the_products_alone(tied: bool, smoothing: float) -> None:
    """8 bits of mantissa: each number is off by 0.4 % at most before the sums; the whole gradient by less than 2 %."""
    values = arguments(tied)
    loss, gradients = value_and_gradients(ours(smoothing, tied, "bfloat16"), values)
    expected_loss, expected = value_and_gradients(plain, values, smoothing, tied)
    assert float(loss) == pytest.approx(float(expected_loss), rel=0.01)
    for one, other in zip(gradients, expected, strict=True):
        assert one.dtype == np.float32
        assert np.linalg.norm(one - other) < 0.02 * np.linalg.norm(other)


@layouts
def test_tokens_that_are_all_but_certain_keep_their_small_gradients_in_bfloat16(tied: bool) -> None:
    """p = 0.9995 is 1 in bfloat16, but the gradient p - 1 must not become 0."""
    readout, kernel, bias, ids = arguments(tied)
    bias = tf.one_hot(7, V) * 10.0 + 0.3 * bias
    ids = tf.where(ids > 0, 7, 0)
    loss, gradients = value_and_gradients(ours(0.0, tied, "bfloat16"), [0.3 * readout, kernel, bias, ids])
    expected_loss, expected = value_and_gradients(plain, [0.3 * readout, kernel, bias, ids], 0.0, tied)
    assert 1e-4 < expected_loss < 1e-3
    assert float(loss) == pytest.approx(float(expected_loss), rel=0.05)
    assert float(gradients[2][7]) == pytest.approx(float(expected[2][7]), rel=0.05)


@layouts
@smoothings
def test_padding_changes_nothing_whatever_stands_there(tied: bool, smoothing: float) -> None:
    loss, gradients = value_and_gradients(ours(smoothing, tied), arguments(tied, width=5))
    wide = arguments(tied, width=9)
    wide[0] = tf.where(wide[3][..., None] > 0, wide[0], 100.0)
    wide_loss, wide_gradients = value_and_gradients(ours(smoothing, tied), wide)
    assert float(wide_loss) == pytest.approx(float(loss), rel=1e-6)
    np.testing.assert_allclose(wide_gradients[0][:, :5], gradients[0], **CLOSE)
    assert not np.any(wide_gradients[0][wide[3].numpy() == 0])
    for one, other in zip(wide_gradients[1:], gradients[1:], strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


@layouts
@smoothings
def test_loss_of_nothing_is_zero(tied: bool, smoothing: float) -> None:
    loss, gradients = value_and_gradients(ours(smoothing, tied), arguments(tied, lengths=(0, 0)))
    assert loss == 0.0
    assert not any(np.any(gradient) for gradient in gradients)


@layouts
@smoothings
def test_enormous_logits_give_a_finite_loss_and_the_right_gradients(tied: bool, smoothing: float) -> None:
    """A probability of 0 in float32 would have an infinite logarithm: a token's part is bounded, its gradient is not touched."""
    values = arguments(tied, scale=1000.0)
    loss, gradients = value_and_gradients(ours(smoothing, tied), values)
    expected_loss, expected = value_and_gradients(plain, values, smoothing, tied)
    assert expected_loss > 200
    assert 1.0 < float(loss) < float(expected_loss)
    assert smoothing or loss <= -np.log(TINY)
    for one, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3 * np.max(np.abs(other)))


def consistent(readout: Any, kernel: Any, bias: Any, ids: Any, smoothing: float, tied: bool, weight: float) -> Any:
    """R-Drop's definition: the cross-entropy of both readings, and the divergences of their predictions from each other."""
    values = [tf.cast(value, tf.float64) for value in (readout, kernel, bias)]
    log_probs = tf.nn.log_softmax(tf.einsum("btr,vr->btv" if tied else "btr,rv->btv", *values[:2]) + values[2])
    p, q = tf.split(log_probs, 2)
    divergence = tf.reduce_sum(tf.exp(p) * (p - q) + tf.exp(q) * (q - p), axis=-1)
    real = tf.cast(ids[: len(ids) // 2] > 0, tf.float64)
    disagreement = tf.reduce_sum(divergence * real) / tf.reduce_sum(real)
    return plain(readout, kernel, bias, ids, smoothing, tied) + weight / 4 * disagreement


@layouts
@smoothings
def test_consistency_is_that_of_r_drop(tied: bool, smoothing: float) -> None:
    readout, kernel, bias, ids = arguments(tied)
    other = readout + 0.5 * tf.constant(np.random.default_rng(2).normal(size=readout.shape), tf.float32)
    values = [tf.concat([readout, other], 0), kernel, bias, tf.concat([ids, ids], 0)]
    loss, gradients = value_and_gradients(
        lambda *some: output_cross_entropy(*some, label_smoothing=smoothing, tied=tied, consistency=3.0), values
    )
    expected_loss, expected = value_and_gradients(consistent, values, smoothing, tied, 3.0)
    assert float(loss) == pytest.approx(float(expected_loss), rel=1e-6)
    assert float(expected_loss) > 1.1 * float(plain(*values, smoothing, tied))
    for one, other in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


@layouts
@pytest.mark.parametrize("lengths", [(2, 5, 4), (3, 0, 5, 1), (4,)], ids=str)
def test_halves_of_a_batch_side_by_side_are_the_batch(tied: bool, lengths: tuple[int, ...]) -> None:
    """The mean is over the tokens of both halves, however unequal they are; the half of a single sentence is none."""
    values = arguments(tied, lengths=lengths)
    whole = value_and_gradients(ours(0.1, tied), values)
    halved = value_and_gradients(lambda *some: output_cross_entropy(*some, label_smoothing=0.1, tied=tied, side_by_side=True), values)
    assert float(halved[0]) == pytest.approx(float(whole[0]), rel=1e-6)
    for one, other in zip(halved[1], whole[1], strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)


def test_a_loss_that_is_no_number_stays_none() -> None:
    """The training loop stops at it."""
    readout, *rest = arguments()
    assert not np.isfinite(float(output_cross_entropy(readout * np.inf, *rest)))
    assert not np.isfinite(float(output_cross_entropy(readout * np.nan, *rest)))


@layouts
def test_variables_are_taken_as_they_are(tied: bool) -> None:
    """A layer hands over its weights; also outside of a compiled function."""
    readout, kernel, bias, ids = arguments(tied)
    weights = [keras.Variable(kernel), keras.Variable(bias)]
    with tf.GradientTape() as tape:
        loss = output_cross_entropy(readout, *weights, ids, label_smoothing=0.1, tied=tied)
    found = tape.gradient(loss, [weight.value for weight in weights], output_gradients=[tf.constant(3.0)])
    expected = value_and_gradients(plain, [readout, kernel, bias, ids], 0.1, tied)[1][1:]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, **CLOSE)
