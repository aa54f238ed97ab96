"""What a killed training goes on from: everything that the next update depends on, in one file."""

from __future__ import annotations

import contextlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.runtime.errors import UserError
from pipeline.support.console import say
from pipeline.support.files import remove, replacing
from pipeline.support.history import Row

KEPT = 2
SCHEMA_VERSION = 1
_ABSENT = "(absent)"
_DAMAGE = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error)
_NAME = re.compile(r"state-(\d+)\.npz")


@dataclass
class Recent:
    """What happened since the last validation.

    Attributes:
        loss, tokens: sum of the batches' losses (nats), and their target tokens.
        seconds: spent in updates.
        updates, norm, norm_max: of those whose gradient was finite: how many, and the sum and the largest of their gradients' norms.
        clipped: those of them whose norm was above the bound.
        skipped: batches left out because their loss or gradient was not finite.
        cells, padding: ids of both sides that were computed with, and those of them that were padding.
    """

    loss: float = 0.0
    tokens: int = 0
    seconds: float = 0.0
    updates: int = 0
    norm: float = 0.0
    norm_max: float = 0.0
    clipped: int = 0
    skipped: int = 0
    cells: int = 0
    padding: int = 0


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        total: updates of the whole training.
        update: updates done, those included whose batches were left out.
        epoch, batch: the next batch: number of the epoch, and of the batch within its plan.
        seconds: spent in updates and validations so far, over all sittings.
        best: the best values of what is monitored, higher is better, the first decides; None before the first validation.
        best_update: the update it was reached at.
        waited: validations since then.
        plateaus: times that the learning rate was lowered, and `plateau_waited` validations without a better one since then.
        in_a_row: batches that were left out, up to the last one.
        rows: of the history, a dictionary a validation.
    """

    total: int = 0
    update: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    best: list[float] | None = None
    best_update: int = 0
    waited: int = 0
    plateaus: int = 0
    plateau_waited: int = 0
    in_a_row: int = 0
    rows: list[Row] = field(default_factory=list)
    recent: Recent = field(default_factory=Recent)


class Checkpoints:
    """The files checkpoints/state-<update>.npz, the last two of them.

    A file holds the values of all variables (weights, optimizer, random states), the `Progress`, and what it belongs to.

    Args:
        folder: of the run.
        belongs_to: whatever must be equal for going on to make sense: settings, hashes of the data.
        again: what to do, says an error, to begin anew.
    """

    def __init__(self, folder: Path, belongs_to: dict[str, Any], again: str = "") -> None:
        self.folder = folder
        self._again = again
        self._belongs_to = json.loads(json.dumps(belongs_to))

    def save(self, variables: list[Any], progress: Progress) -> None:
        """Writes a state and removes all but the last two."""
        header = {
            "schema_version": SCHEMA_VERSION,
            "progress": asdict(progress),
            "belongs_to": self._belongs_to,
            "count": len(variables),
        }
        arrays: dict[str, Any] = {f"v{number}": np.asarray(variable) for number, variable in enumerate(variables)}
        with replacing(self.folder / f"state-{progress.update:08d}.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, header=np.array(json.dumps(header)), **arrays)
        for old in [*self._files()[:-KEPT], *self.folder.glob(".state-*.tmp")]:  # the latter of a process that was killed
            remove(old)

    def restore(self, variables: list[Any]) -> Progress | None:
        """Puts the last whole state into `variables`; None if there is none.

        A damaged file is passed over, and said so: its zip carries a checksum of every array.

        Raises:
            UserError: the state is of another training; see `check`.
        """
        for path in reversed(self._files()):
            try:
                with _opened(path) as (header, file):
                    values = [file[f"v{number}"] for number in range(header["count"])]
            except _DAMAGE as error:
                say(f"{path}: is damaged ({error}); trying the state before it.")
                continue
            self._refuse_another(path, header)
            if [value.shape for value in values] != [tuple(variable.shape) for variable in variables]:
                raise UserError(f"{path}: was written by another version of this program, whose model is another. {self._again}")
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            progress = header["progress"]
            return Progress(**{**progress, "recent": Recent(**progress["recent"])})
        return None

    def check(self) -> None:
        """Makes sure that a training in progress, if there is one, is this one; reads little.

        Raises:
            UserError: it belongs to something else; the message lists every key, with both values.
        """
        if last := self._last():
            self._refuse_another(*last)

    def found(self) -> dict[str, Any] | None:
        """What the training in progress belongs to; None if there is none, or none that can be read."""
        last = self._last()
        return last[1]["belongs_to"] if last else None

    def clear(self) -> None:
        """Removes the states: a finished training does not go on."""
        for path in self._files():
            remove(path)

    def _last(self) -> tuple[Path, dict[str, Any]] | None:
        """The last state that can be read, and its header."""
        for path in reversed(self._files()):
            with contextlib.suppress(*_DAMAGE), _opened(path) as (header, _):
                return path, header
        return None

    def _refuse_another(self, path: Path, header: dict[str, Any]) -> None:
        if header.get("schema_version") != SCHEMA_VERSION:
            raise UserError(f"{path}: was written by another version of this program. {self._again}")
        before, now = _flat(header["belongs_to"]), _flat(self._belongs_to)
        changed = [key for key in {**before, **now} if before.get(key, _ABSENT) != now.get(key, _ABSENT)]
        if changed:
            lines = [f"  {key}: {before.get(key, _ABSENT)} -> {now.get(key, _ABSENT)}" for key in changed]
            raise UserError(
                f"{self.folder}: holds a training in progress, at update {header['progress']['update']:,}, that began with other settings "
                "or data:\n" + "\n".join(lines) + f"\nPut them back, and it goes on. {self._again}"
            )

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("state-*.npz") if _NAME.fullmatch(path.name))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    """A state's header, and its arrays by name, each read when it is asked for."""
    with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
        yield json.loads(str(file["header"])), file


def _flat(value: Any, key: str = "") -> dict[str, Any]:
    """Nested dictionaries as one, with dotted keys."""
    if not isinstance(value, dict):
        return {key: value}
    return {name: inner for step, part in value.items() for name, inner in _flat(part, f"{key}.{step}" if key else step).items()}
