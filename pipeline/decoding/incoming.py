"""Lines as they come in: from a file in large batches, from a pipe as soon as they are there."""

from __future__ import annotations

import contextlib
import itertools
import os
import queue
import stat
import threading
from collections.abc import Callable, Iterator
from typing import BinaryIO

from pipeline.runtime.errors import UserError
from pipeline.support.console import say

_FILE_BATCHES = 16
"""A file is read so many batches at a time: the translator sorts them by length, which saves padding."""

_PIPE_BATCHES = 4
"""Of lines that wait in a pipe, so many batches are translated together: one for each core, and of about equal length."""


def decode_line(raw: bytes, number: int, where: str = "line", warn: Callable[[str], None] = say) -> str:
    """The text of a line without its end, '\\n' or '\\r\\n'; bytes that are not UTF-8 become U+FFFD, with a warning.

    Half of a surrogate pair is not UTF-8 either.
    """
    raw = raw.removesuffix(b"\n").removesuffix(b"\r")
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        warn(f"{where} {number}: byte {error.start + 1} is not UTF-8; what cannot be read is replaced by U+FFFD.")
        return raw.decode(errors="replace")


def read_batches(source: BinaryIO, size: int) -> Iterator[list[bytes]]:
    """Lines of `source` with their ends, in batches.

    A file is read in large batches, of some times `size`. From a pipe come the lines that are there, at least one, and less at a time: a
    line is translated at once, however long the next one takes.
    """
    if _is_regular_file(source):
        while batch := list(itertools.islice(source, size * _FILE_BATCHES)):
            yield batch
        return

    most = size * _PIPE_BATCHES
    lines: queue.Queue[bytes | Exception | None] = queue.Queue(maxsize=most)

    def read() -> None:
        try:
            for line in source:
                lines.put(line)
            lines.put(None)
        except Exception as error:  # whatever it is: without it the other side would wait for ever
            lines.put(error)

    threading.Thread(target=read, name="reader", daemon=True).start()
    more = True
    while more:
        items = [lines.get()]
        with contextlib.suppress(queue.Empty):
            while len(items) < most and isinstance(items[-1], bytes):
                items.append(lines.get_nowait())
        if not isinstance(end := items[-1], bytes):
            more = False
            items.pop()
        if batch := [item for item in items if isinstance(item, bytes)]:
            yield batch
        if isinstance(end, OSError):
            raise UserError(f"the text cannot be read: {end.strerror}.")
        if isinstance(end, Exception):
            raise end


def lines_to_come(source: BinaryIO) -> int | None:
    """How many lines a file still has, which are not read by this; None of a pipe, where nobody knows."""
    if not _is_regular_file(source):
        return None
    place = source.tell()
    number = sum(1 for _ in source)
    source.seek(place)
    return number


def _is_regular_file(source: BinaryIO) -> bool:
    try:
        return stat.S_ISREG(os.fstat(source.fileno()).st_mode)
    except (OSError, ValueError, AttributeError):
        return False
