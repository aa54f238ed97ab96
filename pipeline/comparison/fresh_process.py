"""A variation's stages in a process of their own: memory and random states are clean, and one that crashes takes no other along."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import FrameType

from pipeline.comparison.stages import do_stages
from pipeline.configuration import Config
from pipeline.runtime.errors import UserError
from pipeline.support.console import INTERRUPTED, guarded
from pipeline.support.run_directory import RunDirectory


def do_stages_in_fresh_process(config: Config, run: RunDirectory, others: Sequence[RunDirectory]) -> str | None:
    """`do_stages` in a new Python; gives back what went wrong, or None.

    Raises:
        KeyboardInterrupt: Ctrl-C or a termination signal came; what the stage can save, it has saved.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(config, run, others, sender))
    process.start()
    sender.close()
    with receiver:
        with _ended_together(process):
            try:
                said = _received(receiver)  # before its end: a long message waits in the pipe for a reader
                process.join()
            except KeyboardInterrupt:
                process.join()  # Ctrl-C came to both: it saves its state
                raise
        status = process.exitcode or 0
        if status == INTERRUPTED:
            raise KeyboardInterrupt
        if status == 0:
            return None
        if said is not None:
            return said
    if status == -signal.SIGKILL:
        return "was killed, most likely for want of memory. Close other programs and run the same command again."
    return f"ended by signal {-status}." if status < 0 else f"ended with exit status {status}; what it said of it stands above."


def _received(receiver: Connection) -> str | None:
    """What the other process has to say; None where it ends without a word."""
    with contextlib.suppress(EOFError):
        return str(receiver.recv())
    return None


def _work(config: Config, run: RunDirectory, others: Sequence[RunDirectory], sender: Connection) -> None:
    """What the new process does; its exit status is that of a command."""
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    # stdout is for the tables: reports of stages go where their progress goes.
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.stdout = sys.stderr

    def stages() -> int:
        try:
            do_stages(config, run, others)
        except UserError as error:
            sender.send(str(error))
            raise
        except KeyboardInterrupt:
            return INTERRUPTED  # of which the parent speaks
        return 0

    sys.exit(guarded(stages, goes_on=True))


def _end_with_the_parent() -> None:
    """A killed comparison leaves nobody at work in its folders: the same command may follow at once."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


@contextlib.contextmanager
def _ended_together(process: BaseProcess) -> Iterator[None]:
    """A termination signal to this process goes to the other too, and interrupts both."""

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.terminate()
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
