"""What a person sees while a model trains: a bar with speed, loss and time left, and a block a validation."""

from __future__ import annotations

import sys
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from pipeline.training.checkpoints import Progress as Training
from pipeline.training.validation import Validation

# In a log file, without a terminal to draw a bar on: seconds between two lines.
LOG_SECONDS = 15.0
_SHOWN = 110


class Display:
    """A live bar on stderr at a terminal, a line now and then elsewhere; use as a context manager.

    Args:
        total: updates of the whole training.
        done: updates done in earlier sittings.
    """

    def __init__(self, total: int, done: int = 0) -> None:
        self._total, self._first = total, done
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._bar = Progress(TextColumn("training"), BarColumn(30), TextColumn("{task.description}"), console=self._console, transient=True)
        self._live = self._console.is_terminal
        self._task = self._bar.add_task("", total=total, completed=done)
        self._start = self._logged = time.monotonic()
        self._paused = 0.0

    def updated(self, progress: Training, epoch: float) -> None:
        """After an update; `epoch` is the number of passes over the training split, with its fraction."""
        now = time.monotonic()
        recent = progress.recent
        if progress.in_a_row:
            self._console.print(f"update {progress.update:,}: a loss or a gradient was no finite number; its batch was left out.")
        if not self._live and now - self._logged < LOG_SECONDS:
            return
        update = progress.update
        rate = (update - self._first) / max(now - self._start - self._paused, 1e-6)
        left = _clock((self._total - update) / rate) if update > self._first else "?"
        loss, speed = recent.loss / max(recent.tokens, 1), recent.tokens / recent.seconds
        text = f"{update:,}/{self._total:,}  epoch {epoch:.2f}  loss {loss:.3f}  {speed:,.0f} tokens/s  {left} left"
        if self._live:
            self._bar.update(self._task, completed=update, description=text)
        else:
            self._logged = now
            self._console.print(f"training: {text}")

    def validated(self, row: dict[str, float], validation: Validation, seconds: float) -> None:
        """After a validation: its row of the history, its outcome, and how long it took."""
        self._paused += seconds
        best = "  best so far" if row["best"] else ""
        self._console.print(
            f"update {row['update']:,.0f}  epoch {row['epoch']:.2f}  train loss {row['train_loss']:.3f}  "
            f"validation loss {validation.loss:.3f}  perplexity {validation.perplexity:.2f}  BLEU {validation.bleu:.1f}{best}",
            markup=False,
        )
        for source, translation, _ in validation.samples:
            self._console.print(f"    {_short(source)}  ->  {_short(translation)}", markup=False)

    def __enter__(self) -> Display:
        """Starts the bar."""
        if self._live:
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Takes the bar away."""
        if self._live:
            self._bar.stop()


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
