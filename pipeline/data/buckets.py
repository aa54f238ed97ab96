"""Finding equal hashes in a corpus that may not fit into memory: hashes are spread over files on disk by their first bits.

Equal hashes meet in the same file, so that each file can be sorted on its own: memory holds a 64th of them at a time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

_BITS = 6
RECORD = np.dtype([("hash", "<u8"), ("row", "<u8"), ("given", "u1")])


class HashBuckets:
    """Records (hash, row, given) on disk; written row by row, read back grouped by hash."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._paths = [folder / f"{number:02}" for number in range(1 << _BITS)]
        self._stack = contextlib.ExitStack()
        self._files: list[BinaryIO] = [self._stack.enter_context(path.open("wb")) for path in self._paths]

    def __enter__(self) -> HashBuckets:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # On the way out of an error (a full disk) what is still buffered cannot be flushed either: the first error is the one to tell.
        if kind is None:
            self._stack.close()
        else:
            with contextlib.suppress(OSError):
                self._stack.close()

    def add(self, hashes: np.ndarray, rows: np.ndarray, given: np.ndarray) -> None:
        """Adds records of ascending rows.

        Args:
            hashes: uint64 [N].
            rows: [N], each pair's number in the corpus, from 0.
            given: [N], the codes of given splits (cleaning.GIVEN).
        """
        records = np.empty(len(hashes), RECORD)
        records["hash"], records["row"], records["given"] = hashes, rows, given
        buckets = (hashes >> np.uint64(64 - _BITS)).astype(np.intp)
        records = records[np.argsort(buckets, kind="stable")]
        ends = np.cumsum(np.bincount(buckets, minlength=len(self._files)))
        for file, start, end in zip(self._files, [0, *ends[:-1]], ends, strict=True):
            file.write(records[start:end].tobytes())

    def sorted_records(self) -> Iterator[np.ndarray]:
        """The records of one file after the other, sorted by hash; rows ascend within equal hashes."""
        for file, path in zip(self._files, self._paths, strict=True):
            file.flush()
            records = np.fromfile(path, RECORD)
            if len(records):
                yield records[np.argsort(records["hash"], kind="stable")]


def group_starts(records: np.ndarray) -> np.ndarray:
    """Index of the first record of each group of equal hashes, in sorted records."""
    return np.flatnonzero(np.concatenate([[True], records["hash"][1:] != records["hash"][:-1]]))
