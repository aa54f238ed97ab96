"""How a training went: history.csv, one row a validation, and the same for TensorBoard."""

from __future__ import annotations

import csv
import functools
import importlib.util
import io
from typing import Any

from pipeline.runtime.errors import UserError
from pipeline.support.files import write_text
from pipeline.support.history import COLUMNS, Row
from pipeline.support.run_directory import RunDirectory


class History:
    """Writes the rows of a training.

    Args:
        run: of the training.
        model: in training.
        tensorboard: write TensorBoard's logs too, to <run>/tensorboard.
    """

    def __init__(self, run: RunDirectory, model: Any, tensorboard: bool) -> None:
        self._run, self._model, self._tensorboard = run, model, tensorboard
        # Keras's callback fails late, and without saying what to install.
        if tensorboard and importlib.util.find_spec("tensorboard") is None:
            raise UserError("training.tensorboard needs a package more: pip install tensorboard")

    def write(self, rows: list[Row]) -> None:
        """Writes all rows, every digit of them, whole or not at all; the last one goes to TensorBoard too."""
        text = io.StringIO()
        writer = csv.DictWriter(text, fieldnames=list(COLUMNS), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: repr(value) for key, value in row.items()} for row in rows)
        write_text(self._run.history, text.getvalue())
        if self._tensorboard:
            self._board.on_epoch_end(rows[-1]["update"], {key: value for key, value in rows[-1].items() if key != "update"})

    @functools.cached_property
    def _board(self) -> Any:
        import keras

        callback = keras.callbacks.TensorBoard(log_dir=str(self._run.root / "tensorboard"), write_graph=False)
        callback.set_model(self._model)
        callback.on_train_begin()
        return callback
