"""Runs notebooks from a clean kernel and saves what they show: python notebooks/execute.py [NAME …]; `make notebooks` does all."""

from __future__ import annotations

import hashlib
import re
import sys
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).parent
MINUTES = 5
"""A notebook that takes longer is an error."""

_DRAWN_BY = (FOLDER.parent / "pipeline" / "inspect", FOLDER.parent / "pipeline" / "support" / "figures.py")


def notebooks() -> list[Path]:
    """All notebooks, in order."""
    return sorted(FOLDER.glob("*.ipynb"))


def read(path: Path) -> Any:
    """A notebook, as nbformat has it."""
    return nbformat.read(path, as_version=4)


def fingerprint(book: Any) -> str:
    """Of all that decides what a notebook's figures look like: its code, and the code that draws. Saved figures carry it."""
    digest = hashlib.sha256()
    for cell in book.cells:
        if cell.cell_type == "code":
            digest.update(cell.source.encode())
    for place in _DRAWN_BY:
        for path in sorted(place.glob("*.py")) if place.is_dir() else [place]:
            digest.update(path.read_bytes())
    return digest.hexdigest()


def execute(book: Any, folder: Path, **parameters: object) -> None:
    """Runs a notebook in `folder` from a clean kernel; its outputs are then those of this run.

    Args:
        book: changed in place.
        folder: where it runs.
        parameters: other values for the names that its cell with the tag `parameters` sets.

    Raises:
        CellExecutionError: a cell fails, or all of it takes longer than `MINUTES` do.
    """
    for cell in book.cells:
        if "parameters" in cell.metadata.get("tags", []):
            for name, value in parameters.items():
                cell.source = re.sub(rf"^{name} = [^#\n]*", f"{name} = {value}  ", cell.source, flags=re.MULTILINE)
    NotebookClient(book, timeout=MINUTES * 60, kernel_name="python3", resources={"metadata": {"path": str(folder)}}).execute()
    for cell in book.cells:
        cell.metadata.pop("execution", None)  # when each cell ran: a change in every line, of no use to a reader


def shown(book: Any) -> list[set[str]]:
    """Of each code cell the kinds of what it shows: MIME types, printed text left aside."""
    cells = (cell for cell in book.cells if cell.cell_type == "code")
    return [{kind for output in cell.outputs for kind in output.get("data", {})} for cell in cells]


def main(names: list[str]) -> int:
    """Runs the named notebooks, or all, and saves them."""
    for path in notebooks():
        if names and not any(name in path.name for name in names):
            continue
        print(path.name, flush=True)
        book = read(path)
        execute(book, FOLDER)
        book.metadata["pocketnmt"] = {"fingerprint": fingerprint(book)}
        nbformat.write(book, path)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
