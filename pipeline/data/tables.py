"""The Arrow tables of a run's splits: written as a stream, read with Hugging Face `datasets`."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pipeline.runtime.errors import UserError
from pipeline.support.run_directory import RunDirectory

if TYPE_CHECKING:
    from datasets import Dataset

SCHEMA = pa.schema([("source", pa.string()), ("target", pa.string()), ("tag", pa.string()), ("weight", pa.float32())])

# Rows a record batch; small splits' rows are gathered to this many, for a batch costs the reader some time.
_ROWS = 5000


class TableWriter:
    """Writes a folder that `datasets.load_from_disk` reads; memory holds one record batch.

    `Dataset.from_generator` and `save_to_disk` would do it too, but write the table twice and map it into memory.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._digest = hashlib.blake2b(digest_size=8)
        self._waiting: list[pa.RecordBatch] = []
        self.rows = 0
        folder.mkdir(parents=True)
        self._stream = folder / "rows.arrow"
        self._file = pa.OSFile(str(self._stream), "wb")
        self._writer = pa.ipc.new_stream(self._file, SCHEMA)

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            self._flush(all_of_them=True)
            self._writer.close()
        self._file.close()
        if kind is None:
            self._finish()

    def write(self, batch: pa.RecordBatch) -> None:
        """Appends rows of `SCHEMA`."""
        self._waiting.append(batch)
        self.rows += batch.num_rows
        if sum(waiting.num_rows for waiting in self._waiting) >= _ROWS:
            self._flush()

    def _flush(self, all_of_them: bool = False) -> None:
        """Writes the rows that wait, always so many together: the same rows make the same file, however they come."""
        table = pa.Table.from_batches(self._waiting, SCHEMA).combine_chunks()
        whole = table.num_rows if all_of_them else table.num_rows // _ROWS * _ROWS
        for start in range(0, whole, _ROWS):
            # Taken, not sliced: a slice is written with what it was cut from in its buffers.
            for batch in table.take(np.arange(start, min(start + _ROWS, whole))).combine_chunks().to_batches():
                self._writer.write_batch(batch)
                for column in batch.columns[:3]:
                    self._digest.update("\n".join([*column.to_pylist(), ""]).encode())
                self._digest.update(np.asarray(batch.column("weight")).tobytes())
        self._waiting = table.slice(whole).to_batches()

    def _finish(self) -> None:
        """Lets `datasets` write its own description, of a table of one row, and puts the stream in that row's place."""
        import datasets

        datasets.disable_progress_bars()
        features = datasets.Features.from_arrow_schema(SCHEMA)
        row = {"source": [""], "target": [""], "tag": [""], "weight": [1.0]}
        datasets.Dataset.from_dict(row, features=features).save_to_disk(self._folder)
        state_path = self._folder / "state.json"
        state = json.loads(state_path.read_text(encoding="utf-8"))
        (data_file,) = state["_data_files"]
        self._stream.replace(self._folder / data_file["filename"])
        # By its fingerprint `datasets` knows what it has computed of a table before: it must be that of the content.
        state["_fingerprint"] = self._digest.hexdigest()
        state_path.write_text(json.dumps(state, indent=2) + "\n", encoding="utf-8")


def load_split(run: RunDirectory, name: str) -> Dataset:
    """The table of a split: columns source, target (text), tag (text), weight (float).

    Raises:
        UserError: the run has no such table yet.
    """
    return load_table(run.split(name))


def load_table(folder: Path) -> Dataset:
    """The same from any folder of a `TableWriter`."""
    import datasets

    if not (folder / "state.json").is_file():
        raise UserError(f"{folder}: the run has no prepared data. Run: python -m pipeline.prepare CONFIG")
    table = datasets.load_from_disk(str(folder))
    assert isinstance(table, datasets.Dataset)
    return table
