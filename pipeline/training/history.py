"""How a training went: history.csv, one row a validation, and the same for TensorBoard."""

from __future__ import annotations

import csv
import io

from pipeline.support.files import write_text
from pipeline.support.history import COLUMNS, Row
from pipeline.support.run_directory import RunDirectory
from pipeline.training.board import Board


class History:
    """Writes the rows of a training.

    Args:
        run: of the training.
        board: TensorBoard's, where it is wanted.
    """

    def __init__(self, run: RunDirectory, board: Board | None = None) -> None:
        self._run, self._board = run, board

    def write(self, rows: list[Row]) -> None:
        """Writes all rows, every digit of them, whole or not at all; the last one goes to TensorBoard too."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: repr(value) for key, value in row.items()} for row in rows)
        write_text(self._run.history, text.getvalue())
        if self._board is not None:
            self._board.write(rows[-1])
