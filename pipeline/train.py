"""Trains a run's model: python -m pipeline.train CONFIG. Killed at any moment, the same command goes on where it was."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.configuration import Config
from pipeline.runtime.errors import UserError
from pipeline.support.console import add_config_arguments, say
from pipeline.support.quiet import import_keras
from pipeline.support.run_directory import RunDirectory
from pipeline.support.stages import stage_main

if TYPE_CHECKING:
    from pipeline.data.subwords import Tokenizer
    from pipeline.model.seq2seq import Seq2Seq
    from pipeline.training.trainer import Trainer

AGAIN = "Or set it aside and begin anew: python -m pipeline.train CONFIG --fresh"


def run_stage(config: Config, run: RunDirectory, fresh: bool = False, again: str = AGAIN) -> None:
    """Trains to the end, from the last checkpoint if there is one.

    An earlier training that is finished is moved to previous/<number>/, with its config and tokenizer.

    Args:
        config: of the run.
        run: prepared and tokenized.
        fresh: move a training in progress there too, and begin anew.
        again: what to do, says an error, about a training in progress that cannot go on.

    Raises:
        UserError: the run is not prepared or tokenized, it cannot be trained, or there is a training in progress with other settings
            or data.
    """
    import_keras()
    import keras

    from pipeline.data.corpus import load_split
    from pipeline.data.subwords import Tokenizer
    from pipeline.training.checkpoints import Checkpoints
    from pipeline.training.corpus import TrainingCorpus
    from pipeline.training.diversification import data_of, training_table
    from pipeline.training.setup import make_validator, new_model
    from pipeline.training.trainer import Trainer

    keras.utils.set_random_seed(config.training.seed)
    tokenizer = Tokenizer.load(run.tokenizer)
    train, validation = training_table(run, config), load_split(run, "validation")
    if not len(validation):
        raise UserError(
            f"{run.split('validation')}: has no sentences, and training is steered by them. Give it some (of a source of files "
            "'split: validation', of a data set of the hub 'splits'), or let pairs without a given split be held out by hash: "
            "data.validation is the share of these."
        )
    belongs_to = {
        "tokenizer": tokenizer.fingerprint,
        "training sentences": len(train),
        "data": data_of(run, config),
        "model": config.model.model_dump(),
        "training": config.training.model_dump(exclude={"save_minutes", "tensorboard"}),
        "tokenizer.sampling": config.tokenizer.sampling,
        "tokenizer.sampling_alpha": config.tokenizer.sampling_alpha,
        "backend": keras.backend.backend(),
    }
    checkpoints = Checkpoints(run.checkpoints, belongs_to, again)
    if not fresh:
        checkpoints.check()
    corpus = TrainingCorpus(train, tokenizer, config)
    for line in corpus.too_long():
        say(line)

    model = new_model(config, tokenizer.source.size, tokenizer.target.size)
    validator = make_validator(model, tokenizer, validation, config)
    trainer = Trainer(model, corpus, validator, checkpoints, tokenizer, config, run)
    begin(trainer, model, tokenizer, config, run, fresh)
    trainer.train()
    say_what_came_of_it(trainer, run)


def finished(config: Config, run: RunDirectory) -> None:
    """Removes what only a training in progress needs; called when the stage is recorded: until then, a killed one goes on from it."""
    from pipeline.training.checkpoints import Checkpoints

    Checkpoints(run.checkpoints, {}).clear()


def begin(trainer: Trainer, model: Seq2Seq, tokenizer: Tokenizer, config: Config, run: RunDirectory, fresh: bool) -> None:
    """Says what will be trained, tries the largest batch, and goes to the last checkpoint, or makes room for a new training."""
    from pipeline.training.diversification import begin_with_helper

    say(f"{model.count_params():,} parameters, matrix products in {model.precision}")
    seconds = trainer.probe()
    say(f"the largest batch fits ({seconds:.1f} s, compiling included)")
    if not fresh and trainer.resume():
        say(f"going on from update {trainer.progress.update:,} of {trainer.progress.total:,}")
        return
    if config.training.diversify is not None and config.training.diversify.begin_with_helper:
        begin_with_helper(model, run, config, tokenizer)
    trainer.begin()
    say(f"{trainer.progress.total:,} updates")
    if run.checkpoints.exists():
        earlier = run.set_aside()
        say(f"the earlier training is kept in {earlier}")
        run.store_config(config)


def say_what_came_of_it(trainer: Trainer, run: RunDirectory) -> None:
    """A line about the best validation."""
    progress = trainer.progress
    best = next(row for row in progress.rows if row["update"] == progress.best_update)
    say(
        f"trained {progress.update:,} updates in {progress.seconds / 60:.1f} minutes; best at update {progress.best_update:,}: "
        f"validation BLEU {best['bleu']:.1f} (greedy), perplexity {best['perplexity']:.2f}; {run.best_weights}"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return stage_main("train", __doc__, arguments, _add_arguments)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_config_arguments(parser)
    parser.add_argument("--fresh", action="store_true", help="begin anew; a training in progress is set aside, to previous/ in the run")


if __name__ == "__main__":
    raise SystemExit(main())
