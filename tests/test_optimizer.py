"""The optimizer: the numbers of Keras's AdamW and of a few lines of NumPy, and no change at all where a gradient is no number.

Run by another Python, `python tests/test_optimizer.py FOLDER` does another backend's part, with nothing of TensorFlow.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
BACKENDS = ["jax", "torch"]  # not among our dependencies: run where they are installed
RESULTS = "results.npz"

OPTIONS: dict[str, Any] = {"beta_2": 0.998, "epsilon": 1e-8, "global_clipnorm": 1.0}
SHAPES = ((5, 3), (3,), (2, 1, 4))


def random_arrays(count: int, seed: int = 1) -> list[list[np.ndarray]]:
    """For each of so many batches, a gradient for each weight; their norms lie on both sides of the clipping bound."""
    generator = np.random.default_rng(seed)
    return [[(generator.normal(size=shape) * generator.uniform(0.05, 0.6)).astype("float32") for shape in SHAPES] for _ in range(count)]


def made(**options: Any):
    """An optimizer and the weights it is built on."""
    import keras

    from pipeline.training.optimizer import FusedAdam

    weights = [keras.Variable(array, name=f"weight_{number}") for number, array in enumerate(random_arrays(1, seed=7)[0])]
    optimizer = FusedAdam(1e-2, **{**OPTIONS, **options})
    optimizer.exclude_from_weight_decay([weights[1]])
    optimizer.build(weights)
    return optimizer, weights


def step(optimizer, weights, gradients: list[np.ndarray]) -> None:
    """One batch, compiled as in training."""
    import keras

    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if not hasattr(optimizer, "compiled_step"):
            optimizer.compiled_step = tf.function(lambda given: optimizer.apply(given, weights))
        optimizer.compiled_step([tf.constant(gradient) for gradient in gradients])
    elif keras.backend.backend() == "jax":
        import jax

        given = [[variable.value for variable in variables] for variables in (optimizer.variables, weights)]
        moved, states = jax.jit(optimizer.stateless_apply)(given[0], gradients, given[1])
        for variable, value in zip([*optimizer.variables, *weights], [*states, *moved], strict=True):
            variable.assign(value)
    else:
        import torch

        with torch.no_grad():
            optimizer.apply([torch.tensor(gradient) for gradient in gradients], weights)


def values(variables) -> list[np.ndarray]:
    from keras import ops

    return [np.array(ops.convert_to_numpy(variable.value)) for variable in variables]


def all_results() -> dict[str, np.ndarray]:
    """Weights, averages and counts after some batches of several trainings, one of them with a gradient that is not finite."""
    results = {}
    spoilt = random_arrays(9)
    spoilt[4][0][2, 1] = np.nan
    for name, options, batches in (
        ("plain", {}, random_arrays(6)),
        ("all", {"weight_decay": 0.1, "average": 0.9}, random_arrays(6)),
        ("accumulated", {"weight_decay": 0.1, "average": 0.9, "accumulate": 3}, random_arrays(9)),
        ("spoilt", {"average": 0.9}, spoilt),
        ("accumulated and spoilt", {"accumulate": 3}, spoilt),
    ):
        optimizer, weights = made(**options)
        for number, gradients in enumerate(batches):
            if "accumulate" in options:
                optimizer.batch_tokens.assign(number + 1)
            step(optimizer, weights, gradients)
        counts = [optimizer.iterations, optimizer.skipped, optimizer.gradient_norm]
        for number, value in enumerate(values([*weights, *optimizer.averages, *counts])):
            results[f"{name} {number}"] = value
    return results


if __name__ == "__main__":
    np.savez(Path(sys.argv[1]) / RESULTS, **all_results())
else:
    import keras
    import pytest

    @pytest.mark.parametrize("weight_decay", [0.0, 0.1])
    def test_the_numbers_are_those_of_keras(weight_decay: float) -> None:
        optimizer, weights = made(weight_decay=weight_decay)
        expected = [keras.Variable(array) for array in values(weights)]
        reference = keras.optimizers.AdamW(1e-2, weight_decay=weight_decay, **OPTIONS)
        reference.exclude_from_weight_decay([expected[1]])
        reference.build(expected)
        for gradients in random_arrays(8):
            step(optimizer, weights, gradients)
            reference.apply([keras.ops.convert_to_tensor(gradient) for gradient in gradients])
        for found, wanted in zip(values(weights), values(expected), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
        assert int(optimizer.iterations) == 8

    def test_rows_of_one_token_are_summed_before_their_norm_is_taken() -> None:
        import tensorflow as tf

        optimizer, weights = made()
        rows = np.full((2, 3), 2.0, "float32")
        gradients = [
            tf.IndexedSlices(rows, tf.constant([4, 4]), tf.constant([5, 3])),
            np.zeros(3, "float32"),
            np.zeros((2, 1, 4), "float32"),
        ]
        optimizer.apply(gradients, weights)
        assert float(optimizer.gradient_norm) == pytest.approx(np.sqrt(3 * 4.0**2))

    def test_the_average_is_that_of_a_loop() -> None:
        optimizer, weights = made(average=0.6)
        expected = values(weights)
        for count, gradients in enumerate(random_arrays(30), start=1):
            step(optimizer, weights, gradients)
            decay = min(0.6, (1 + count) / (10 + count))
            expected = [decay * average + (1 - decay) * weight for average, weight in zip(expected, values(weights), strict=True)]
        for found, wanted in zip(values(optimizer.averages), expected, strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)

    def test_accumulated_batches_are_one_large_batch() -> None:
        tokens, batches = [3.0, 1.0, 6.0, 2.0, 2.0, 4.0], random_arrays(6)
        several, several_weights = made(accumulate=3, weight_decay=0.1, average=0.9)
        one, one_weights = made(weight_decay=0.1, average=0.9)
        for number, gradients in enumerate(batches):
            several.batch_tokens.assign(tokens[number])
            before = values(several_weights)
            step(several, several_weights, gradients)
            if number % 3 < 2:
                assert all(map(np.array_equal, values(several_weights), before))
                continue
            chosen = slice(number - 2, number + 1)
            shares = np.array(tokens[chosen]) / sum(tokens[chosen])
            mean = [np.tensordot(shares, np.stack(arrays), 1).astype("float32") for arrays in zip(*batches[chosen], strict=True)]
            step(one, one_weights, mean)
            assert float(several.gradient_norm) == pytest.approx(float(one.gradient_norm), rel=1e-5)
            for found, wanted in zip(values([*several_weights, *several.averages]), values([*one_weights, *one.averages]), strict=True):
                np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
        assert int(several.iterations) == 2

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38], ids=["nan", "inf", "-inf", "norm overflows"])
    @pytest.mark.parametrize("begun", [0, 3], ids=["at first", "later"])
    def test_a_gradient_that_is_not_finite_changes_nothing(value: float, begun: int) -> None:
        optimizer, weights = made(weight_decay=0.1, average=0.9)
        batches = random_arrays(begun + 1)
        for gradients in batches[:begun]:
            step(optimizer, weights, gradients)
        before = values([*weights, *optimizer.averages, *optimizer._momentums, *optimizer._velocities])
        batches[begun][2][1, 0, 2] = value
        step(optimizer, weights, batches[begun])
        after = values([*weights, *optimizer.averages, *optimizer._momentums, *optimizer._velocities])
        assert all(np.array_equal(one, other) and np.all(np.isfinite(other)) for one, other in zip(before, after, strict=True))
        assert int(optimizer.iterations) == begun
        assert int(optimizer.skipped) == 1
        assert not np.isfinite(float(optimizer.gradient_norm))

    def test_a_batch_that_is_not_finite_is_left_out_of_its_update() -> None:
        batches = random_arrays(6)
        spoilt = [
            gradients if number not in (2, 3, 4, 5) else [np.full_like(array, np.inf) for array in gradients]
            for number, gradients in enumerate(batches)
        ]
        with_it, weights = made(accumulate=3)
        without, expected = made(accumulate=2)
        for gradients in spoilt[:3]:
            step(with_it, weights, gradients)
        for gradients in batches[:2]:
            step(without, expected, gradients)
        for found, wanted in zip(values(weights), values(expected), strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-6)
        before = values(weights)
        for gradients in spoilt[3:]:  # all of an update's batches
            step(with_it, weights, gradients)
        assert all(map(np.array_equal, values(weights), before))
        assert (int(with_it.skipped), int(with_it.iterations)) == (4, 1)

    @pytest.mark.slow
    @pytest.mark.parametrize("backend", BACKENDS)
    def test_another_backend_gives_the_same_numbers(backend: str, tmp_path: Path) -> None:
        # POCKETNMT_JAX, POCKETNMT_TORCH: the Python of an environment that has it, where this one has not.
        python = os.environ.get(f"POCKETNMT_{backend.upper()}")
        if python is None and importlib.util.find_spec(backend) is None:
            pytest.skip(f"{backend} is not installed")
        environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
        command = [python or sys.executable, __file__, str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        expected = all_results()
        with np.load(tmp_path / RESULTS) as found:
            assert set(found) == set(expected)
            for name, array in expected.items():
                np.testing.assert_allclose(found[name], array, rtol=1e-5, atol=1e-6, err_msg=name)
