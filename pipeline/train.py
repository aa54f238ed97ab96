"""Trains a run's model: python -m pipeline.train CONFIG. Killed at any moment, the same command goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipeline.configuration import Config
from pipeline.support.console import say
from pipeline.support.errors import UserError
from pipeline.support.files import remove
from pipeline.support.run_directory import RunDirectory
from pipeline.support.stages import stage_main

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq
    from pipeline.training.trainer import Trainer


def run_stage(config: Config, run: RunDirectory) -> None:
    """Trains to the end, from the last checkpoint if there is one of the same settings and data.

    Weights of an earlier training with other settings are kept in previous/ beside the new ones.

    Raises:
        UserError: the run is not prepared or tokenized, or cannot be trained.
    """
    import keras

    from pipeline.data.corpus import load_split
    from pipeline.data.subwords import Tokenizer
    from pipeline.training.checkpoints import Checkpoints
    from pipeline.training.corpus import TrainingCorpus
    from pipeline.training.trainer import Trainer

    keras.utils.set_random_seed(config.training.seed)
    tokenizer = Tokenizer.load(run.tokenizer)
    train, validation = load_split(run, "train"), load_split(run, "validation")
    if not len(validation):
        raise UserError(f"{run.split('validation')}: has no sentences, and training is steered by them. Raise data.validation.")
    corpus = TrainingCorpus(train, tokenizer, config)
    for line in corpus.too_long():
        say(line)

    model = new_model(config, tokenizer.source.size, tokenizer.target.size, corpus.batches_an_epoch * config.training.epochs)
    validator = make_validator(model, tokenizer, validation, config)
    belongs_to = {
        "tokenizer": tokenizer.fingerprint,
        "sentences": len(train),
        "model": config.model.model_dump(),
        "training": config.training.model_dump(exclude={"save_minutes", "tensorboard"}),
        "sampling": [config.tokenizer.sampling, config.tokenizer.sampling_alpha],
        "backend": keras.backend.backend(),
    }
    trainer = Trainer(model, corpus, validator, Checkpoints(run.checkpoints, belongs_to), config, run)
    begin(trainer, model, run)
    trainer.train()
    finish(trainer, run)


def new_model(config: Config, source_vocabulary: int, target_vocabulary: int, total: int) -> Seq2Seq:
    """A model with new weights, compiled for `total` updates."""
    import keras

    from pipeline.model.build import build_model
    from pipeline.training.precision import resolve_precision
    from pipeline.training.schedule import WarmupThenDecay

    settings = config.training
    precision = resolve_precision(settings.precision)
    model = build_model(config.model, source_vocabulary, target_vocabulary, label_smoothing=settings.label_smoothing, precision=precision)
    rate = WarmupThenDecay(settings.learning_rate, settings.schedule, settings.warmup_steps, total)
    # Clipping by the global norm also sums the gradients of repeated tokens before Adam squares them, as it should.
    optimizer = keras.optimizers.Adam(rate, beta_2=0.998, epsilon=1e-8, global_clipnorm=settings.clip_norm)
    # On a CPU, TensorFlow's XLA runs this network several times slower than its own kernels.
    model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")
    optimizer.build(model.trainable_variables)
    return model


def make_validator(model: Seq2Seq, tokenizer: Any, table: Any, config: Config) -> Any:
    """What validates `model` on the split `table`: sentences within the limit, the first of them also translated."""
    import numpy as np

    from pipeline.data.batches import encode_split
    from pipeline.training.validation import Validator

    pairs = encode_split(table, tokenizer)
    kept = np.flatnonzero(np.maximum(pairs.source_lengths, pairs.target_lengths) - 1 <= config.model.max_tokens)
    if not len(kept):
        raise UserError(f"every validation sentence is longer than model.max_tokens = {config.model.max_tokens} pieces. Raise it.")
    chosen = table.select(kept[: config.training.validation_sentences])
    return Validator(model, tokenizer, pairs.select(kept), (list(chosen["source"]), list(chosen["target"])), config)


def begin(trainer: Trainer, model: Seq2Seq, run: RunDirectory) -> None:
    """Says what will be trained, tries the largest batch, and goes to the last checkpoint, or makes room for a new training."""
    say(f"{model.count_params():,} parameters, {trainer.total:,} updates, matrix products in {model.precision}")
    seconds = trainer.probe()
    say(f"the largest batch fits ({seconds:.1f} s, compiling included)")
    if trainer.resume():
        say(f"going on from update {trainer.progress.update:,}")
    elif run.checkpoints.exists():
        previous = run.root / "previous"
        remove(previous)
        previous.mkdir()
        run.checkpoints.rename(previous / run.checkpoints.name)
        if run.history.exists():
            run.history.rename(previous / run.history.name)
        say(f"the weights of the earlier training are kept in {previous}")


def finish(trainer: Trainer, run: RunDirectory) -> None:
    """Removes what only a training in progress needs, and says what came of it."""
    trainer.end()
    progress = trainer.progress
    best = next(row for row in progress.rows if row["update"] == progress.best_update)
    say(
        f"trained {progress.update:,} updates in {progress.seconds / 60:.1f} minutes; best at update {progress.best_update:,}: "
        f"validation BLEU {best['bleu']:.1f} (greedy), perplexity {best['perplexity']:.2f}; {run.best_weights}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return stage_main("train", __doc__, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
