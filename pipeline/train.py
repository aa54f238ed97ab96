"""Trains a run's model: python -m pipeline.train CONFIG. Killed at any moment, the same command goes on where it was."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.configuration import Config
from pipeline.support.console import say
from pipeline.support.errors import UserError
from pipeline.support.quiet import import_keras
from pipeline.support.run_directory import RunDirectory
from pipeline.support.stages import stage_main

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq
    from pipeline.training.trainer import Trainer


def run_stage(config: Config, run: RunDirectory) -> None:
    """Trains to the end, from the last checkpoint if there is one of the same settings and data.

    An earlier training with other settings is moved to previous/<number>/, with its config and tokenizer.

    Raises:
        UserError: the run is not prepared or tokenized, or cannot be trained.
    """
    import_keras()
    import keras

    from pipeline.data.corpus import load_split
    from pipeline.data.subwords import Tokenizer
    from pipeline.training.checkpoints import Checkpoints
    from pipeline.training.corpus import TrainingCorpus
    from pipeline.training.setup import make_validator, new_model
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
    trainer = Trainer(model, corpus, validator, Checkpoints(run.checkpoints, belongs_to), tokenizer, config, run)
    begin(trainer, model, config, run)
    trainer.train()
    finish(trainer, run)


def begin(trainer: Trainer, model: Seq2Seq, config: Config, run: RunDirectory) -> None:
    """Says what will be trained, tries the largest batch, and goes to the last checkpoint, or makes room for a new training."""
    say(f"{model.count_params():,} parameters, {trainer.total:,} updates, matrix products in {model.precision}")
    seconds = trainer.probe()
    say(f"the largest batch fits ({seconds:.1f} s, compiling included)")
    if trainer.resume():
        say(f"going on from update {trainer.progress.update:,}")
    elif run.checkpoints.exists():
        say(f"the earlier training is kept in {run.set_aside(run.tokenizer)}")
        run.store_config(config)


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
