"""Silence for libraries that write to standard error from C++, where Python's own means do not reach."""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import sys
import tempfile
from collections.abc import Iterator
from typing import IO

from pipeline.runtime.errors import UserError
from pipeline.support.cores import share_cores

_SHOWN = 4000
"""Bytes of what was said that an error gets to show, the last ones."""


def import_keras() -> None:
    """Imports Keras and its backend before other modules do, and has TensorFlow share the cores (`share_cores`).

    What TensorFlow greets with is kept back, unless the import fails.
    """
    if "keras" in sys.modules:
        return
    with _log_file() as log:
        try:
            with _redirected(log):
                import keras  # noqa: F401

                share_cores()
        except Exception:
            log.seek(0)
            print(log.read().decode(errors="replace"), end="", file=sys.stderr, flush=True)
            raise


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps back what is written to file descriptor 2, and warnings in logs, which a notebook shows on its own.

    An error that passes, other than our own, carries the end of what was written as a note.
    """
    with _log_file() as log:
        disabled = logging.root.manager.disable
        try:
            logging.disable(max(disabled, logging.WARNING))
            with _redirected(log):
                yield
        except UserError:
            raise
        except Exception as error:
            if said := last_lines(log):
                error.add_note(f"What was said meanwhile:\n{said}")
            raise
        finally:
            logging.disable(disabled)


def _log_file() -> IO[bytes]:
    """A file that is gone when it is closed.

    Raises:
        UserError: no folder for temporary files can be written to.
    """
    try:
        return tempfile.TemporaryFile()
    except FileNotFoundError as error:  # also where the disk is full
        raise UserError(f"{error.strerror}. Free some space there, or let TMPDIR name a folder with some.") from None


def last_lines(log: IO[bytes]) -> str:
    """The end of a log that was written to a file, without the chatter of libraries that come up."""
    size = log.seek(0, os.SEEK_END)
    log.seek(max(0, size - _SHOWN))
    lines = log.read().decode(errors="replace").splitlines()
    return "\n".join(line for line in lines if not line.startswith(("I0000", "WARNING: All log messages"))).strip()


@contextlib.contextmanager
def _redirected(log: IO[bytes]) -> Iterator[None]:
    """File descriptor 2 leads into `log`."""
    sys.stderr.flush()
    kept = os.dup(2)
    # A crash in C++ (a processor without the instructions, for instance) takes the log with it: Python says at least where it was.
    watched = not faulthandler.is_enabled()
    if watched:
        faulthandler.enable(kept)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        if watched:
            faulthandler.disable()
        os.close(kept)
