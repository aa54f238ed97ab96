"""What to say when a training produces numbers that are none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from pipeline.configuration.schema import Training
from pipeline.data.batches import Batch
from pipeline.data.subwords import EOS, PAD, Subwords, Tokenizer
from pipeline.runtime.errors import UserError
from pipeline.training.checkpoints import Progress

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq

# Batches in a row that may be left out because their gradient is not finite. One is an accident, five are a disease.
IN_A_ROW = 5
_SHOWN = 120


def not_finite(model: Seq2Seq, tokenizer: Tokenizer, settings: Training, batch: Batch, loss: float, progress: Progress) -> UserError:
    """The end of a training whose last `IN_A_ROW` batches were left out.

    Args:
        model: as it is, with the last good weights.
        tokenizer: of the run.
        settings: of the training.
        batch: the last of these batches.
        loss: of that batch.
        progress: where the training stands.
    """
    weight, size = _largest_weight(model)
    source, target = _text(tokenizer.source, batch.source_ids[0]), _text(tokenizer.target, batch.target_ids[0])
    precision = "" if model.precision == "float32" else f", or training.precision float32 (now {model.precision})"
    return UserError(
        f"{IN_A_ROW} batches in a row gave a loss or a gradient that is no finite number. None of them changed the weights.\n"
        f"  after update   {progress.update:,}, batch {progress.batch} of epoch {progress.epoch + 1}\n"
        f"  the batch      {batch.source_ids.shape[0]} pairs, up to {batch.source_ids.shape[1]} source and "
        f"{batch.target_ids.shape[1]} target tokens; the first: {source!r} -> {target!r}\n"
        f"  loss           {loss:.4g}\n"
        f"  gradient norm  {float(np.asarray(model.optimizer.gradient_norm)):.4g}\n"
        f"  learning rate  {float(np.asarray(model.optimizer.learning_rate)):.4g}\n"
        f"  largest weight {size:.4g} in {weight}\n"
        "Weights of hundreds and more mean that training has diverged: begin anew (--fresh) with a lower training.learning_rate (now "
        f"{settings.learning_rate:g}), or a lower training.clip_norm (now {settings.clip_norm:g}){precision}. With small weights, look for "
        "what is wrong with those sentences. The last checkpoint and the best weights stay as they are; the same command tries again from "
        "that checkpoint."
    )


def _largest_weight(model: Seq2Seq) -> tuple[str, float]:
    """The path of the weight with the largest element, and its size; nan counts as largest."""
    sizes = {weight.path: float(np.max(np.abs(np.asarray(weight)))) for weight in model.trainable_variables}
    path = max(sizes, key=lambda path: (np.isnan(sizes[path]), sizes[path]))
    return path, sizes[path]


def _text(subwords: Subwords, ids: np.ndarray) -> str:
    text = subwords.decode([[token for token in ids.tolist() if token not in (PAD, EOS)]])[0]
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
