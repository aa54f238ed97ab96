"""The whole way from sources to split tables: read and clean, decide every pair's fate, write.

Three passes, so that memory stays flat: the first streams cleaned pairs to disk with hashes of them; the second looks
only at the hashes; the third streams the pairs into the tables of their splits.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.configuration.schema_data import Data
from pipeline.data import fates as fate
from pipeline.data.buckets import HashBuckets
from pipeline.data.cleaning import CleanBatch, Tally, clean_batch
from pipeline.data.parallel import in_order
from pipeline.data.progress import Progress
from pipeline.data.report import CorpusCounts, Lengths, check_not_empty, make_report
from pipeline.data.sources import read_pairs
from pipeline.data.tables import SCHEMA, TableWriter, load_split
from pipeline.support.files import disk_full_is_told, remove, replacing, write_json
from pipeline.support.run_directory import SPLITS, RunDirectory

__all__ = ["load_split", "prepare_corpus"]

_BATCH = 5000
"""Pairs that are cleaned at once."""
_INLINE = 10
"""Batches after which worker processes are worth their start."""

_SPOOL = pa.schema([("source", pa.string()), ("target", pa.string()), ("tag", pa.string()), ("number", pa.int32())])


def prepare_corpus(data: Data, run: RunDirectory) -> dict[str, Any]:
    """Writes the tables and the report of `data` into the run; returns the report (its schema: report.py).

    Raises:
        UserError: a source cannot be read, nothing is left to train on, or the disk is full; what an earlier run of
            this left stays as it was.
    """
    work = run.data / ".work"
    try:
        with disk_full_is_told(run.data):
            for stale in run.data.glob(".*"):
                remove(stale)  # a killed process could not
            work.mkdir(parents=True)
            gathered = _gather(data, work)
            check_not_empty(data, gathered.counts)
            return _write(data, run, gathered)
    finally:
        remove(work)


@dataclass
class _Gathered:
    """What the first two passes leave."""

    spool: Path
    counts: CorpusCounts
    fates: np.ndarray = field(default_factory=lambda: np.zeros(0, np.uint8))


def _gather(data: Data, work: Path) -> _Gathered:
    counts = CorpusCounts([0] * len(data.sources), [0] * len(data.sources), Tally())
    gathered = _Gathered(work / "pairs.arrow", counts)
    row = 0
    with HashBuckets(work / "identities") as identities, HashBuckets(work / "keys") as keys:
        with (
            pa.OSFile(str(gathered.spool), "wb") as file,
            pa.ipc.new_stream(file, _SPOOL) as spool,
            Progress("reading and cleaning") as progress,
        ):
            for batch in in_order(clean_batch, _batches(data), _INLINE):
                rows = np.arange(row, row + len(batch.sources), dtype=np.uint64)
                row += len(rows)
                given = np.frombuffer(batch.given, np.uint8)
                keys.add(np.frombuffer(batch.keys, np.uint64), rows, given)
                if data.cleaning.duplicates is not None:
                    # Given validation and test splits are kept whole: only pairs that may be learnt from can be duplicates.
                    learnt = given < 2
                    identities.add(np.frombuffer(batch.identities, np.uint64)[learnt], rows[learnt], given[learnt])
                spool.write_batch(_spooled(batch))
                counts.read[batch.number] += batch.read
                counts.tally.merge(batch.tally)
                progress.advance(batch.read)
        gathered.fates = np.zeros(row, np.uint8)
        fate.mark_duplicates(gathered.fates, identities)
        fate.mark_splits(gathered.fates, keys, data.validation, data.test)
    return gathered


def _batches(data: Data) -> Iterator[tuple[int, Sequence[Sequence[Any]], Any]]:
    for number, source in enumerate(data.sources):
        pairs = read_pairs(source, data.source_language, data.target_language)
        while batch := list(itertools.islice(pairs, _BATCH)):
            yield number, list(zip(*batch, strict=True)), data.cleaning


def _spooled(batch: CleanBatch) -> pa.RecordBatch:
    number = np.full(len(batch.sources), batch.number, np.int32)
    return pa.record_batch(
        [pa.array(batch.sources, pa.string()), pa.array(batch.targets, pa.string()), pa.array(batch.tags, pa.string()), number], _SPOOL
    )


def _write(data: Data, run: RunDirectory, gathered: _Gathered) -> dict[str, Any]:
    counts = gathered.counts
    lengths = {name: (Lengths(), Lengths()) for name in SPLITS}
    weights = np.array([source.weight for source in data.sources], np.float32)
    with contextlib.ExitStack() as stack:
        folders = [stack.enter_context(replacing(run.split(name))) for name in SPLITS]
        with contextlib.ExitStack() as writing:
            writers = [writing.enter_context(TableWriter(folder)) for folder in folders]
            progress = writing.enter_context(Progress("splitting"))
            # Read, not mapped: mapped pages would count as this process's memory.
            stream = writing.enter_context(pa.ipc.open_stream(writing.enter_context(pa.OSFile(str(gathered.spool), "rb"))))
            row = 0
            for batch in stream:
                fates = gathered.fates[row : row + batch.num_rows]
                row += batch.num_rows
                plain = fates & fate.FATE
                _count_fates(counts, batch, fates, plain)
                for index, (name, writer) in enumerate(zip(SPLITS, writers, strict=True)):
                    chosen = batch.filter(pa.array(plain == index))
                    if not chosen.num_rows:
                        continue
                    numbers = chosen.column("number").to_numpy()
                    counts.kept_from(numbers)
                    weight = weights[numbers] if name == "train" else np.ones(len(numbers), np.float32)
                    writer.write(pa.record_batch([*chosen.columns[:3], pa.array(weight, pa.float32())], SCHEMA))
                    for side, column in zip(lengths[name], chosen.columns[:2], strict=True):
                        side.add(pc.utf8_length(column).to_numpy(zero_copy_only=False))
                progress.advance(batch.num_rows)
        report = make_report(data, counts, {name: writer.rows for name, writer in zip(SPLITS, writers, strict=True)}, lengths)
        # The report describes the tables beside it: it goes before they do and comes back after them.
        run.prepare_report.unlink(missing_ok=True)
    write_json(run.prepare_report, report)
    return report


def _count_fates(counts: CorpusCounts, batch: pa.RecordBatch, fates: np.ndarray, plain: np.ndarray) -> None:
    """Adds what the second pass decided about these rows to the counts, with examples."""
    marks = {
        "duplicates": plain == fate.DUPLICATE,
        "held_out": plain == fate.HELD_OUT,
        "validation in train": (plain == fate.VALIDATION) & (fates & fate.IN_TRAIN > 0),
        "test in train": (plain == fate.TEST) & (fates & fate.IN_TRAIN > 0),
        "test in validation": (plain == fate.TEST) & (fates & fate.IN_VALIDATION > 0),
    }
    for name, mark in marks.items():
        rows = np.flatnonzero(mark)
        if len(rows):
            examples = [(batch["source"][int(row)].as_py(), batch["target"][int(row)].as_py()) for row in rows[:3]]
            counts.tally.merge(Tally({name: len(rows)}, {name: examples}))
