"""The parts of a training, made from a config: the compiled model, and what validates it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import keras
import numpy as np

from pipeline.configuration import Config
from pipeline.data.batches import encode_split
from pipeline.data.subwords import Tokenizer
from pipeline.model.build import build_model
from pipeline.model.seq2seq import Seq2Seq
from pipeline.runtime.errors import UserError
from pipeline.support.cores import works_side_by_side
from pipeline.training.optimizer import FusedAdam
from pipeline.training.precision import resolve_precision
from pipeline.training.validation import Validator

if TYPE_CHECKING:
    from datasets import Dataset


def new_model(config: Config, source_vocabulary: int, target_vocabulary: int) -> Seq2Seq:
    """A model with new weights, compiled for training; the learning rate is its peak until something else is set."""
    settings = config.training
    precision = resolve_precision(settings.precision)
    model = build_model(
        config.model,
        source_vocabulary,
        target_vocabulary,
        label_smoothing=settings.label_smoothing,
        consistency=settings.consistency,
        side_by_side=works_side_by_side(),
        precision=precision,
    )
    optimizer = FusedAdam(
        settings.learning_rate,
        beta_2=0.998,
        epsilon=1e-8,
        global_clipnorm=settings.clip_norm,
        weight_decay=settings.weight_decay,
        average=settings.average,
        accumulate=settings.accumulate,
    )
    optimizer.exclude_from_weight_decay([weight for weight in model.trainable_variables if not decays(weight)])
    # On a CPU, TensorFlow's XLA runs this network several times slower than its own kernels.
    model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")
    optimizer.build(model.trainable_variables)
    return model


def decays(weight: keras.Variable) -> bool:
    """Whether weight decay is for this weight: for tables and kernels, not for biases, gains, or any other single row of numbers."""
    return not any(what in weight.name for what in ("bias", "scale")) and sum(size > 1 for size in weight.shape) > 1


def make_validator(model: Seq2Seq, tokenizer: Tokenizer, table: Dataset, config: Config) -> Validator:
    """What validates `model` on the split `table`: its sentences within the limit, some of which are also translated.

    Raises:
        UserError: no sentence is within the limit.
    """
    pairs = encode_split(table, tokenizer)
    kept = pairs.within(config.model.max_tokens)
    if not len(kept):
        raise UserError(f"every validation sentence is longer than model.max_tokens = {config.model.max_tokens} pieces. Raise it.")
    # Evenly: the table goes source by source, and the weights are to be chosen by all of them.
    number = min(config.training.validation_sentences, len(kept))
    chosen = table.select(kept[np.arange(number) * len(kept) // number])
    return Validator(model, tokenizer, pairs.select(kept), (list(chosen["source"]), list(chosen["target"])), config)
