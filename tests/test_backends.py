"""The model file on the other backends of Keras: the numbers of TensorFlow, from the same weights.

Run by another Python, `python tests/test_backends.py FOLDER` does the other backend's part, with nothing of TensorFlow.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
BACKENDS = ["jax", "torch"]  # not among our dependencies: run where they are installed
WEIGHTS, RESULTS = "model.weights.h5", "results.npz"


def build():
    from pipeline.configuration.schema_model import Model
    from pipeline.model.build import build_model

    settings = Model(
        embedding_size=6, encoder={"units": 5}, attention={"units": 4}, decoder={"units": 7}, shared_embeddings=False, tied_output=False,
        dropout=0.0,
    )  # fmt: skip
    return build_model(settings, 11, 13, label_smoothing=0.1)


def pairs() -> tuple[dict[str, np.ndarray], np.ndarray]:
    source_ids = np.array([[5, 9, 4, 8, 3], [7, 3, 0, 0, 0], [4, 4, 10, 3, 0]], "int32")
    target_ids = np.array([[12, 6, 3, 0], [4, 11, 8, 3], [9, 3, 0, 0]], "int32")
    target_inputs = np.array([[2, 12, 6, 0], [2, 4, 11, 8], [2, 9, 0, 0]], "int32")
    return {"source_ids": source_ids, "target_inputs": target_inputs}, target_ids


def results(model) -> dict[str, np.ndarray]:
    """Logits, a search's ids, and what one step of plain gradient descent makes of the loss and of every weight."""
    import keras
    from keras import ops

    from pipeline.decoding.search import Search
    from pipeline.decoding.search_model import search_translations

    inputs, target_ids = pairs()
    found = {"logits": ops.convert_to_numpy(model.logits(model(inputs)))}

    search = Search(3, 6, 0.6, coverage_penalty=0.2, best=2, min_length_ratio=0.5, max_length_ratio=2.0, no_repeat_ngram=2)
    translations = search_translations(model, ops.convert_to_tensor(inputs["source_ids"]), search, with_attention=True)
    found |= {name: ops.convert_to_numpy(value) for name, value in translations._asdict().items()}

    model.compile(optimizer=keras.optimizers.SGD(1.0))
    found["loss"] = np.array(model.train_on_batch(inputs, target_ids))
    return found | {f"{number} {weight.name}": ops.convert_to_numpy(weight.value) for number, weight in enumerate(model.trainable_weights)}


def main(folder: Path) -> None:
    model = build()
    model.load_weights(folder / WEIGHTS)
    heavy = {"tensorflow", "jax", "torch"} & set(sys.modules)
    assert heavy == {os.environ["KERAS_BACKEND"]}, heavy
    np.savez(folder / RESULTS, **results(model))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
else:
    import pytest

    @pytest.mark.slow
    @pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")
    @pytest.mark.parametrize("backend", BACKENDS)
    def test_another_backend_gives_the_same_numbers(backend: str, tmp_path: Path) -> None:
        """Forward 1e-5; weights after a step, which pass through our own gradient of the recurrence, too."""
        # POCKETNMT_JAX, POCKETNMT_TORCH: the Python of an environment that has it, where this one has not.
        python = os.environ.get(f"POCKETNMT_{backend.upper()}")
        if python is None and importlib.util.find_spec(backend) is None:
            pytest.skip(f"{backend} is not installed")
        model = build()
        generator = np.random.default_rng(1)
        for weight in model.weights:
            weight.assign(generator.normal(scale=0.4, size=weight.shape))
        before = np.array(model.output_bias.value)
        model.save_weights(tmp_path / WEIGHTS)
        environment = {**os.environ, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)}
        command = [python or sys.executable, __file__, str(tmp_path)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr

        expected = results(model)
        with np.load(tmp_path / RESULTS) as found:
            assert set(found) == set(expected)
            for name, values in expected.items():
                np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5, err_msg=name)
        assert np.abs(model.output_bias.value - before).max() > 0.01  # it did learn
