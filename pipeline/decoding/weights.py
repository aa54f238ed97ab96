"""The weights that translate, and which tokenizer their ids belong to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py

from pipeline.configuration import Config
from pipeline.data.subwords import Tokenizer
from pipeline.decoding.rounded import round_matrices
from pipeline.model.build import build_model
from pipeline.runtime.errors import UserError
from pipeline.support.files import remove, replacing
from pipeline.support.run_directory import RunDirectory

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq

_TOKENIZER = "tokenizer"


def keep_weights(model: Seq2Seq, tokenizer: Tokenizer, run: RunDirectory) -> None:
    """Writes the run's best weights, with the fingerprint of the tokenizer in the same file."""
    # Keras would store the optimizer with them, two more numbers a weight that no translation needs.
    optimizer = getattr(model, "optimizer", None)
    named = run.checkpoints / ".best.tmp.weights.h5"  # Keras insists on the ending
    try:
        model.optimizer = None
        with replacing(run.best_weights) as temporary:
            model.save_weights(named)
            with h5py.File(named, "a") as file:
                file.attrs[_TOKENIZER] = tokenizer.fingerprint
            named.replace(temporary)
    finally:
        model.optimizer = optimizer
        remove(named)


def load_model(run: RunDirectory, config: Config, tokenizer: Tokenizer, precision: str = "float32") -> Seq2Seq:
    """The trained model of a run.

    Args:
        run, config, tokenizer: of the run.
        precision: of the matrix products, "float32" or "bfloat16"; with the latter it is for translating alone (`round_matrices`).

    Raises:
        UserError: the run is not trained, its weights are damaged or do not fit the config, or belong to another tokenizer.
    """
    path = run.best_weights
    if not path.is_file():
        raise UserError(f"{run.root}: is not trained yet (there is no {path.name}). First run: python -m pipeline.train CONFIG")
    try:
        with h5py.File(path) as file:
            fingerprint = str(file.attrs.get(_TOKENIZER, "of unknown origin"))
    except OSError as error:
        raise UserError(f"{path}: is damaged ({error}). Put a copy back, or train again.") from None
    tokenizer.check(fingerprint, str(path))
    model = build_model(config.model, tokenizer.source.size, tokenizer.target.size, precision=precision)
    try:
        model.load_weights(path)
    except (ValueError, OSError, KeyError) as error:
        raise UserError(
            f"{path}: does not fit the run's config.yaml ({str(error).splitlines()[0]}). Put its own config.yaml back, or train again."
        ) from None
    round_matrices(model)
    return model
