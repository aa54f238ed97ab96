"""Ctrl-C and SIGTERM, at a moment when nothing breaks in two."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pipeline.support.console import say


@contextmanager
def deferred_signals() -> Iterator[threading.Event]:
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
