"""The training loop: update, validate, keep the best, and be ready to be killed at any moment."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import keras
import numpy as np

from pipeline.configuration import Config
from pipeline.data.batches import Batch
from pipeline.data.subwords import Tokenizer
from pipeline.decoding.weights import keep_weights
from pipeline.model.seq2seq import Seq2Seq
from pipeline.support.console import say
from pipeline.support.errors import UserError
from pipeline.support.run_directory import RunDirectory
from pipeline.training.checkpoints import Checkpoints, Progress
from pipeline.training.corpus import TrainingCorpus
from pipeline.training.display import Display
from pipeline.training.history import write_history
from pipeline.training.validation import Validation, Validator


class Trainer:
    """Trains a compiled model on a corpus, from where its last checkpoint stands.

    Keras's `fit` counts in epochs and cannot begin in the middle of one; a training that may be killed at any moment must. So the
    loop is ours, and the update is Keras's `train_on_batch`, the same on every backend.

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
        self.total = corpus.batches_an_epoch * self._settings.epochs
        validations = min(self._settings.validations, self.total)
        self._validate_at = {round(self.total * (number + 1) / validations) for number in range(validations)}
        self._board = _tensorboard(model, run) if self._settings.tensorboard else None
        self.progress = Progress()

    def probe(self) -> float:
        """Makes one update on the largest batch and takes it back, so that a lack of memory shows at once; gives back its seconds.

        Raises:
            UserError: the memory is too small for it.
        """
        start = time.monotonic()
        before = [np.asarray(variable) for variable in self._variables()]
        batch = self._corpus.largest()
        try:
            update(self._model, batch)
        except Exception as error:  # each backend has its own class for it
            if not isinstance(error, MemoryError) and "exhausted" not in f"{type(error).__name__} {error}".lower():
                raise
            raise UserError(
                f"the memory is too small for the largest batch: {len(batch.source_ids)} pairs of {batch.source_ids.shape[1]} source and "
                f"{batch.target_ids.shape[1]} target tokens. Lower training.batch_tokens (now {self._settings.batch_tokens})."
            ) from error
        for variable, value in zip(self._variables(), before, strict=True):
            variable.assign(value)
        return time.monotonic() - start

    def resume(self) -> bool:
        """Goes to the last checkpoint; False if there is none."""
        progress = self._checkpoints.restore(self._variables())
        if progress is None:
            return False
        self.progress = progress
        return True

    def train(self) -> None:
        """Trains to the end, or until patience is at its end.

        Raises:
            KeyboardInterrupt: Ctrl-C or a termination signal came; the state is saved first.
            UserError: the loss is not a number any more.
        """
        progress = self.progress
        saved = time.monotonic()
        with _deferred_signals() as stop, Display(self.total, progress.update) as display:
            began, earlier = time.monotonic(), progress.seconds
            speed = _Speed(progress.tokens)
            for epoch, number, batch in self._corpus.batches(progress.epoch, progress.batch):
                if progress.update >= self.total or self._out_of_patience():
                    break
                loss = update(self._model, batch)
                if not math.isfinite(loss):
                    raise UserError(
                        f"the loss of update {progress.update + 1} is {loss}. Lower training.learning_rate or training.clip_norm, or set "
                        f"training.precision to float32; the last good state is in {self._checkpoints.folder}."
                    )
                progress.update += 1
                progress.epoch, progress.batch = epoch, number + 1
                progress.loss_sum += loss * batch.target_tokens
                progress.tokens += batch.target_tokens
                progress.seconds = earlier + time.monotonic() - began
                fraction = self._corpus.fraction(epoch, number + 1)
                display.update(progress.update, fraction, progress.loss_sum / progress.tokens, speed.since_reset(progress.tokens))
                due = progress.update in self._validate_at
                if due:
                    start = time.monotonic()
                    validation = self._validator()
                    progress.seconds = earlier + time.monotonic() - began
                    row = self._record(validation, fraction, speed.since_reset(progress.tokens, start))
                    display.validated(row, validation, time.monotonic() - start)
                    speed = _Speed(0)
                if due or stop.is_set() or time.monotonic() - saved > self._settings.save_minutes * 60:
                    self._checkpoints.save(self._variables(), progress)
                    saved = time.monotonic()
                if stop.is_set():
                    say(f"saved at update {progress.update:,}")
                    raise KeyboardInterrupt

    def end(self) -> None:
        """Removes the checkpoints: a finished training does not go on."""
        self._checkpoints.clear()

    def _record(self, validation: Validation, fraction: float, tokens_per_second: float) -> dict[str, float]:
        """Adds a row to the history and keeps the weights if they are the best so far."""
        progress = self.progress
        value = validation.bleu if self._settings.monitor == "bleu" else -validation.loss
        best = progress.best is None or value > progress.best
        row = {
            "update": progress.update,
            "epoch": fraction,
            "seconds": progress.seconds,
            "learning_rate": float(self._model.optimizer.learning_rate),
            "tokens_per_second": tokens_per_second,
            "train_loss": progress.loss_sum / progress.tokens,
            "validation_loss": validation.loss,
            "perplexity": validation.perplexity,
            "bleu": validation.bleu,
            "best": float(best),
        }
        if best:
            progress.best, progress.best_update, progress.waited = value, progress.update, 0
            keep_weights(self._model, self._tokenizer, self._run)
        else:
            progress.waited += 1
        progress.rows.append(row)
        progress.loss_sum, progress.tokens = 0.0, 0
        write_history(self._run.history, progress.rows)
        if self._board is not None:
            self._board.on_epoch_end(progress.update, {key: value for key, value in row.items() if key not in ("update", "best")})
        return row

    def _out_of_patience(self) -> bool:
        return self._settings.patience is not None and self.progress.waited >= self._settings.patience

    def _variables(self) -> list[Any]:
        return [*self._model.variables, *self._model.optimizer.variables]


def update(model: Seq2Seq, batch: Batch) -> float:
    """One update of the weights; gives back the loss of its batch, nats a token."""
    model.reset_metrics()  # else Keras gives a running mean
    return float(model.train_on_batch(batch.inputs, batch.target_ids))


class _Speed:
    """Target tokens a second since it was made."""

    def __init__(self, tokens: int) -> None:
        self._tokens, self._start = tokens, time.monotonic()

    def since_reset(self, tokens: int, now: float | None = None) -> float:
        return (tokens - self._tokens) / max((now or time.monotonic()) - self._start, 1e-6)


@contextmanager
def _deferred_signals() -> Iterator[threading.Event]:
    """Ctrl-C and SIGTERM set an event instead of breaking an update in two; a second Ctrl-C breaks it all the same."""
    stop = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        say("stopping after this update; the state is saved first. Ctrl-C again loses what came after the last checkpoint.")

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tensorboard(model: Seq2Seq, run: RunDirectory) -> keras.callbacks.Callback:
    try:
        import tensorboard  # noqa: F401  Keras's callback fails late, and without saying what to install
    except ImportError:
        raise UserError("training.tensorboard needs a package more: pip install tensorboard") from None
    callback = keras.callbacks.TensorBoard(log_dir=str(run.root / "tensorboard"), write_graph=False)
    callback.set_model(model)
    callback.on_train_begin()
    return callback
