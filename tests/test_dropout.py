"""Dropout: how much is left out, what becomes of the rest, and that it is another choice each time."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipeline.model.dropout import Dropout


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.5])
@pytest.mark.parametrize("shape", [(50, 21, 97), (3, 33333)], ids=["odd", "odd rows"])
def test_the_rest_is_larger_so_that_the_mean_stays(rate: float, shape: tuple[int, ...]) -> None:
    keras.utils.set_random_seed(1)
    found = np.array(Dropout(rate)(tf.ones(shape), training=True))
    assert found.shape == shape
    assert (found == 0).mean() == pytest.approx(rate, abs=0.005)
    np.testing.assert_allclose(found[found != 0], 1 / (1 - rate), rtol=1e-6)


def test_each_number_is_dropped_by_itself_and_anew_each_time() -> None:
    keras.utils.set_random_seed(1)
    layer = Dropout(0.5)
    first, second = (np.array(layer(tf.ones((400, 501)), training=True)) == 0 for _ in range(2))
    for one, other in ((first, second), (first[:, 1:], first[:, :-1]), (first[1:], first[:-1])):
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 0.01
    keras.utils.set_random_seed(1)
    assert ((np.array(Dropout(0.5)(tf.ones((400, 501)), training=True)) == 0) == first).all()


def test_without_training_or_rate_nothing_changes() -> None:
    inputs = tf.random.normal((3, 4))
    assert Dropout(0.5)(inputs) is inputs
    assert Dropout(0.0)(inputs, training=True) is inputs


def test_the_gradient_passes_where_the_number_did() -> None:
    inputs = tf.ones((20, 30))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = Dropout(0.25)(inputs, training=True)
        total = tf.reduce_sum(outputs)
    np.testing.assert_allclose(tape.gradient(total, inputs), outputs)
