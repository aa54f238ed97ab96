"""How fast a model trains here, and how near that comes to what the machine's matrix products allow."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from pipeline.configuration import Config
from pipeline.data.batches import Batch
from pipeline.data.corpus import load_split
from pipeline.data.subwords import Tokenizer
from pipeline.decoding.compiled import compiled
from pipeline.model.seq2seq import Seq2Seq
from pipeline.support.run_directory import RunDirectory
from pipeline.training.corpus import TrainingCorpus
from pipeline.training.setup import new_model
from pipeline.training.step import update

PRODUCT_SIZE = 2048
_WARM_UP = 5


@dataclass(frozen=True)
class Measured:
    """One round, or the medians of several.

    Attributes:
        tokens_per_second: target tokens, EOS counted, padding not.
        training_rate: floating-point operations of the matrix products of forward and backward pass, a second, padding not counted.
        product_rate: floating-point operations a second of large float32 matrix products, two at once, as many as a training has
            halves of a batch, so that all cores are at work; measured just before and after.
    """

    tokens_per_second: float
    training_rate: float
    product_rate: float

    @property
    def share(self) -> float:
        """Of the product's rate that the training step reaches; bfloat16 can bring it above 1."""
        return self.training_rate / self.product_rate


def measure(config: Config, run: RunDirectory, precisions: Sequence[str], updates: int, rounds: int) -> dict[str, Measured]:
    """Trains new models for some updates on the run's own batches, in turns; nothing is kept of them.

    Args:
        config: of the run.
        run: prepared and tokenized.
        precisions: of the models: "float32", "bfloat16".
        updates: a round.
        rounds: of each.

    Returns:
        Of each precision the medians of its rounds.
    """
    tokenizer = Tokenizer.load(run.tokenizer)
    corpus = TrainingCorpus(load_split(run, "train"), tokenizer, config)
    batches = (batch for _, _, batch in corpus.batches(0, 0))
    models = {}
    for precision in precisions:
        chosen = config.model_copy(update={"training": config.training.model_copy(update={"precision": precision})})
        keras.utils.set_random_seed(config.training.seed)
        models[precision] = new_model(chosen, tokenizer.source.size, tokenizer.target.size)
        for _ in range(_WARM_UP):
            update(models[precision], next(batches))
    product_rate = _product_meter()
    found: dict[str, list[Measured]] = {precision: [] for precision in precisions}
    for _ in range(rounds):
        for precision, model in models.items():
            found[precision].append(_round(model, batches, updates, product_rate))
    return {precision: _medians(one) for precision, one in found.items()}


def _medians(rounds: list[Measured]) -> Measured:
    return Measured(
        statistics.median(one.tokens_per_second for one in rounds),
        statistics.median(one.training_rate for one in rounds),
        statistics.median(one.product_rate for one in rounds),
    )


def products_a_token(model: Seq2Seq) -> tuple[int, int]:
    """Multiply-adds of the forward pass's matrix products for a source token and for a target token; attention's own apart.

    A kernel [..., X, Y] costs X * Y a token; embeddings are looked up, not multiplied.
    """
    source, target = 0, 0
    for variable in model.trainable_variables:
        if variable.path.endswith("embeddings"):
            continue
        if variable.path.endswith("kernel") and "bridge" not in variable.path:
            of_source = "encoder" in variable.path or variable.path.endswith(("memory_kernel", "value_kernel"))
            source, target = source + of_source * int(np.prod(variable.shape)), target + (not of_source) * int(np.prod(variable.shape))
    if model.tied_output:
        target += int(np.prod(model.target_embedding.embeddings.shape))
    return source, target


def _round(model: Seq2Seq, batches: Iterator[Batch], updates: int, product_rate: Callable[[], float]) -> Measured:
    chosen = [next(batches) for _ in range(updates)]
    before = product_rate()
    start = time.perf_counter()
    for batch in chosen:
        update(model, batch)
    seconds = time.perf_counter() - start
    after = product_rate()
    target_tokens = sum(batch.target_tokens for batch in chosen)
    source_tokens = sum(int(np.count_nonzero(batch.source_ids)) for batch in chosen)
    of_source, of_target = products_a_token(model)
    # 2 operations a multiply-add; the backward pass multiplies twice as much as the forward pass; R-Drop reads all twice.
    operations = 2 * 3 * (2 if model.consistency else 1) * (source_tokens * of_source + target_tokens * of_target)
    return Measured(target_tokens / seconds, operations / seconds, (before + after) / 2)


def _product_meter() -> Callable[[], float]:
    square = keras.random.normal((PRODUCT_SIZE, PRODUCT_SIZE), seed=1)
    other = keras.random.normal((PRODUCT_SIZE, PRODUCT_SIZE), seed=2)
    # TensorFlow has half of the cores for an operation (pipeline/support/cores.py): one product alone would leave the others idle.
    # One element of each is read: copying it out is no part of the multiplication.
    products = compiled(lambda left, right: ops.matmul(left, right)[0, 0] + ops.matmul(right, left)[0, 0])
    float(products(square, other))

    def rate() -> float:
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            float(products(square, other))
            seconds.append(time.perf_counter() - start)
        return 2 * 2 * PRODUCT_SIZE**3 / statistics.median(seconds)

    return rate
