"""The training loop: update, validate, keep the best, and be ready to be killed at any moment."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import numpy as np

from pipeline.configuration import Config
from pipeline.data.batches import Batch
from pipeline.data.subwords import Tokenizer
from pipeline.decoding.weights import keep_weights
from pipeline.model.seq2seq import Seq2Seq
from pipeline.runtime.errors import UserError
from pipeline.support.console import say
from pipeline.support.history import Row
from pipeline.support.run_directory import RunDirectory
from pipeline.training.averaging import averaged_weights
from pipeline.training.board import Board
from pipeline.training.budget import updates_within
from pipeline.training.checkpoints import Checkpoints, Progress, Recent
from pipeline.training.corpus import TrainingCorpus
from pipeline.training.diagnosis import IN_A_ROW, not_finite
from pipeline.training.display import Display
from pipeline.training.history import History
from pipeline.training.interruption import deferred_signals
from pipeline.training.schedule import learning_rate
from pipeline.training.step import state_of, taken_back, update
from pipeline.training.validation import Validation, Validator


class Trainer:
    """Trains a compiled model on a corpus, from where its last checkpoint stands.

    Keras's `fit` counts in epochs and cannot begin in the middle of one; a training that may be killed at any moment must. So the
    loop is ours, and the update is Keras's `train_on_batch`, the same on every backend. What an update depends on is in `Progress`
    and in the model's and the optimizer's variables, and all of it is in the checkpoint: a training that was killed goes on to the
    same numbers, to the last digit, as one that was not (on the same machine, backend and versions).

    Args:
        model: compiled.
        corpus: the batches.
        validator: called at each validation.
        checkpoints: of the run.
        tokenizer, config, run: of the run.
    """

    def __init__(
        self,
        model: Seq2Seq,
        corpus: TrainingCorpus,
        validator: Validator,
        checkpoints: Checkpoints,
        tokenizer: Tokenizer,
        config: Config,
        run: RunDirectory,
    ) -> None:
        self._model, self._corpus, self._validator = model, corpus, validator
        self._checkpoints, self._settings, self._run = checkpoints, config.training, run
        self._tokenizer = tokenizer
        self._history = History(run, self._new_board(config) if config.training.tensorboard else None)
        self.progress = Progress()

    def _new_board(self, config: Config) -> Board:
        # Long sentences, in which a gradient can be followed far back.
        return Board(self._run, self._model, self._tokenizer, config, self._validator.texts, self._corpus.largest())

    def probe(self) -> float:
        """Trains on the largest batch and takes it back, so that a lack of memory shows at once; gives back its seconds.

        Raises:
            UserError: the memory is too small for it.
        """
        start = time.monotonic()
        batch = self._corpus.largest()
        try:
            with taken_back(self._model):
                update(self._model, batch)
        except Exception as error:  # each backend has its own class for it
            if not isinstance(error, MemoryError) and "exhausted" not in f"{type(error).__name__} {error}".lower():
                raise
            raise UserError(
                f"the memory is too small for the largest batch: {len(batch.source_ids)} pairs of {batch.source_ids.shape[1]} source and "
                f"{batch.target_ids.shape[1]} target tokens. Lower training.batch_tokens (now {self._settings.batch_tokens})."
            ) from error
        return time.monotonic() - start

    def resume(self) -> bool:
        """Goes to the last checkpoint; False if there is none."""
        progress = self._checkpoints.restore(state_of(self._model))
        if progress is None:
            return False
        self.progress = progress
        return True

    def begin(self) -> None:
        """Settles how many updates a new training has: those of its epochs, or as many as its minutes are enough for, up to the maximum.

        Raises:
            UserError: the minutes are too few.
        """
        settings = self._settings
        if settings.minutes is None:
            self.progress.total = max(1, self._corpus.batches_an_epoch * settings.epochs // settings.accumulate)
        else:
            batches = (batch for _, _, batch in self._corpus.batches(0, 0))
            self.progress.total = updates_within(settings, self._model, batches, self._validator)
        if settings.max_updates is not None:
            self.progress.total = min(self.progress.total, settings.max_updates)

    def train(self) -> None:
        """Trains to the end, or until patience is at its end.

        Raises:
            KeyboardInterrupt: Ctrl-C or a termination signal came; the state is saved first.
            UserError: losses or gradients are no finite numbers any more.
        """
        progress = self.progress
        validations = min(self._settings.validations, progress.total)
        validate_at = {round(progress.total * (number + 1) / validations) for number in range(validations)}
        batches = self._corpus.batches(progress.epoch, progress.batch)
        saved = time.monotonic()
        with deferred_signals() as stop, Display(progress.total, progress.update) as display:
            while progress.update < progress.total and not self._out_of_patience():
                self._update(batches)
                display.updated(progress, self._corpus.fraction(progress.epoch, progress.batch))
                due = progress.update in validate_at
                if due:
                    self._validate(display)
                if due or stop.is_set() or time.monotonic() - saved > self._settings.save_minutes * 60:
                    self._checkpoints.save(state_of(self._model), progress)
                    saved = time.monotonic()
                if stop.is_set():
                    say(f"saved at update {progress.update:,}")
                    raise KeyboardInterrupt

    def _update(self, batches: Iterator[tuple[int, int, Batch]]) -> None:
        """One update of the weights, from as many batches as the settings accumulate."""
        start = time.monotonic()
        progress, recent, optimizer = self.progress, self.progress.recent, self._model.optimizer
        optimizer.learning_rate = self._learning_rate(progress.update + 1)
        for _ in range(self._settings.accumulate):
            progress.epoch, number, batch = next(batches)
            progress.batch = number + 1
            self._learn(batch)
        progress.update += 1
        norm = float(np.asarray(optimizer.gradient_norm))
        if math.isfinite(norm):
            recent.updates += 1
            recent.norm += norm
            recent.norm_max = max(recent.norm_max, norm)
            recent.clipped += norm > self._settings.clip_norm
        seconds = time.monotonic() - start
        progress.seconds += seconds
        recent.seconds += seconds

    def _learn(self, batch: Batch) -> None:
        """Trains on one batch, or counts it among those that were left out."""
        progress, recent, optimizer = self.progress, self.progress.recent, self._model.optimizer
        skipped = int(np.asarray(optimizer.skipped))
        loss = update(self._model, batch)
        recent.cells += batch.cells
        recent.padding += batch.padding
        if math.isfinite(loss) and int(np.asarray(optimizer.skipped)) == skipped:
            progress.in_a_row = 0
            recent.loss += loss * batch.target_tokens
            recent.tokens += batch.target_tokens
            return
        progress.in_a_row += 1
        recent.skipped += 1
        if progress.in_a_row == IN_A_ROW:
            raise not_finite(self._model, self._tokenizer, self._settings, batch, loss, progress)

    def _validate(self, display: Display) -> None:
        """Validates, keeps the weights if they are the best so far, and adds a row to the history."""
        start = time.monotonic()
        progress = self.progress
        with averaged_weights(self._model):
            validation = self._validator()
            # Early translations all score 0 BLEU: among equals the loss decides.
            value = [validation.bleu, -validation.loss] if self._settings.monitor == "bleu" else [-validation.loss]
            best = progress.best is None or value > progress.best
            if best:
                keep_weights(self._model, self._tokenizer, self._run)
        seconds = time.monotonic() - start
        progress.seconds += seconds
        progress.rows.append(self._row(validation, best))
        self._count(value, best)
        progress.recent = Recent()
        self._history.write(progress.rows)
        display.validated(progress.rows[-1], validation, seconds)

    def _row(self, validation: Validation, best: bool) -> Row:
        progress, recent = self.progress, self.progress.recent
        return {
            "update": progress.update,
            "epoch": self._corpus.fraction(progress.epoch, progress.batch),
            "seconds": progress.seconds,
            "learning_rate": self._learning_rate(progress.update),
            "tokens_per_second": recent.tokens / recent.seconds,
            "train_loss": recent.loss / recent.tokens if recent.tokens else math.nan,
            "gradient_norm": recent.norm / recent.updates if recent.updates else math.nan,
            "gradient_norm_max": recent.norm_max,
            "clipped": recent.clipped / recent.updates if recent.updates else math.nan,
            "padding": recent.padding / recent.cells if recent.cells else math.nan,
            "skipped": recent.skipped,
            "validation_loss": validation.loss,
            "perplexity": validation.perplexity,
            "bleu": validation.bleu,
            "best": int(best),
        }

    def _count(self, value: list[float], best: bool) -> None:
        """What patience and the learning rate's plateaus go by."""
        progress = self.progress
        if best:
            progress.best, progress.best_update, progress.waited, progress.plateau_waited = value, progress.update, 0, 0
            return
        progress.waited += 1
        progress.plateau_waited += 1
        if progress.plateau_waited == self._settings.plateau_patience:
            progress.plateaus, progress.plateau_waited = progress.plateaus + 1, 0

    def _learning_rate(self, update: int) -> float:
        return learning_rate(self._settings, update, self.progress.total, self.progress.plateaus)

    def _out_of_patience(self) -> bool:
        return self._settings.patience is not None and self.progress.waited >= self._settings.patience
