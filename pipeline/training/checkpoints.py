"""What a killed training goes on from: everything that the next update depends on, in one file."""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.support.console import say
from pipeline.support.files import remove, replacing

KEPT = 2
_NAME = re.compile(r"state-(\d+)\.npz")


@dataclass
class Progress:
    """Where a training stands.

    Attributes:
        update: updates done.
        epoch, batch: the next batch: number of the epoch, and of the batch within its plan.
        seconds: spent in updates and validations so far, over all sittings.
        best: the best value of what is monitored, higher is better; None before the first validation.
        best_update: the update it was reached at.
        waited: validations since then.
        rows: of the history, a dictionary a validation.
        loss_sum, tokens: since the last validation, for the mean training loss (nats a token).
    """

    update: int = 0
    epoch: int = 0
    batch: int = 0
    seconds: float = 0.0
    best: float | None = None
    best_update: int = 0
    waited: int = 0
    rows: list[dict[str, float]] = field(default_factory=list)
    loss_sum: float = 0.0
    tokens: int = 0


class Checkpoints:
    """The files checkpoints/state-<update>.npz, the last two of them.

    A file holds the values of all variables (weights, optimizer, random states), the `Progress`, and what it belongs to.

    Args:
        folder: of the run.
        belongs_to: whatever must be equal for going on to make sense: settings, hashes of the data.
    """

    def __init__(self, folder: Path, belongs_to: dict[str, Any]) -> None:
        self.folder = folder
        self._belongs_to = json.loads(json.dumps(belongs_to))

    def save(self, variables: list[Any], progress: Progress) -> None:
        """Writes a state and removes all but the last two."""
        header = json.dumps({"progress": asdict(progress), "belongs_to": self._belongs_to, "count": len(variables)})
        arrays: dict[str, Any] = {f"v{number}": np.asarray(variable) for number, variable in enumerate(variables)}
        with replacing(self.folder / f"state-{progress.update:08d}.npz") as temporary, temporary.open("wb") as file:
            np.savez(file, header=np.array(header), **arrays)
        for old in [*self._files()[:-KEPT], *self.folder.glob(".state-*.tmp")]:  # the latter of a process that was killed
            remove(old)

    def restore(self, variables: list[Any]) -> Progress | None:
        """Puts the last whole state into `variables`; None if there is none that belongs here.

        A damaged file is passed over, and said so: its zip carries a checksum of every array.
        """
        for path in reversed(self._files()):
            try:
                with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                    header = json.loads(str(file["header"]))
                    values = [file[f"v{number}"] for number in range(header["count"])]
            except (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error) as error:
                say(f"{path}: is damaged ({error}); trying the state before it.")
                continue
            if header["belongs_to"] != self._belongs_to or [v.shape for v in values] != [tuple(v.shape) for v in variables]:
                continue
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            return Progress(**header["progress"])
        return None

    def clear(self) -> None:
        """Removes the states: a finished training does not go on."""
        for path in self._files():
            remove(path)

    def _files(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("state-*.npz") if _NAME.fullmatch(path.name))
