"""Progress of work whose end is not known beforehand: a line on stderr, rewritten at a terminal, repeated now and then elsewhere."""

from __future__ import annotations

import sys
import time
from types import TracebackType


class Progress:
    """Counts pairs; use as a context manager."""

    def __init__(self, label: str, unit: str = "pairs") -> None:
        self._label, self._unit = label, unit
        self._count = 0
        self._terminal = sys.stderr.isatty()
        # In a log file a line every ten seconds says that it lives; at a terminal the eye wants ten a second.
        self._every = 0.1 if self._terminal else 10.0
        self._start = self._shown = time.monotonic()

    def advance(self, count: int) -> None:
        """`count` more are done."""
        self._count += count
        now = time.monotonic()
        if now - self._shown >= self._every:
            self._shown = now
            self._show(end="" if self._terminal else "\n")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._show(end="\n")
        elif self._terminal:
            print(file=sys.stderr)

    def _show(self, end: str) -> None:
        seconds = time.monotonic() - self._start
        rate = f", {self._count / seconds:,.0f}/s" if seconds >= 1.0 else ""
        clear = "\r\x1b[K" if self._terminal else ""
        print(f"{clear}{self._label}: {self._count:,} {self._unit} in {seconds:.1f} s{rate}", end=end, file=sys.stderr, flush=True)
