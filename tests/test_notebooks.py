"""The notebooks: what is saved in them is of the code as it is, and each runs from a clean kernel, on less training than a reader's."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
from execute import execute, fingerprint, notebooks, read, shown

NAMES = [path.stem for path in notebooks()]
FOLDER = Path(__file__).parent.parent / "notebooks"
UPDATES = 60

# Those of a row use one run, the first one trains it; the rows go to processes of their own.
ROWS = [["01_quickstart", "02_translate_interactively", "05_to_the_phone"], ["03_inside_an_rnn"], ["04_your_own_corpus"]]


def test_every_notebook_is_run_by_a_test() -> None:
    assert sorted(name for row in ROWS for name in row) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_saved_outputs_are_complete_and_not_stale(name: str) -> None:
    book = read(FOLDER / f"{name}.ipynb")
    cells = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "not run from top to bottom: make notebooks"
    assert not any(output.output_type == "error" for cell in cells for output in cell.outputs)
    assert book.metadata["pocketnmt"]["fingerprint"] == fingerprint(book), (
        "the code has changed since the outputs were saved: make notebooks"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_says_nothing_of_the_machine_it_was_run_on(name: str) -> None:
    text = (FOLDER / f"{name}.ipynb").read_text()
    assert not re.search(r"/(?:home|root|Users|work|tmp)/|Warning|WARNING", text)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_opens_with_what_one_will_see_and_installs_what_it_needs(name: str) -> None:
    first, second, *_ = read(FOLDER / f"{name}.ipynb").cells
    assert first.cell_type == "markdown" and first.source.startswith("# ")
    assert "%pip install" in second.source


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_they_run_from_a_clean_kernel_and_show_what_was_saved(row: list[str], tmp_path: Path) -> None:
    for folder in ("configs", "notebooks"):
        shutil.copytree(FOLDER.parent / folder, tmp_path / folder)
    for name in row:
        book = read(FOLDER / f"{name}.ipynb")
        saved = shown(book)
        for cell in book.cells:  # a number of updates: on a slow machine so few minutes would be too short
            cell.source = cell.source.replace("minutes: {minutes}", f"max_updates: {UPDATES}")
        execute(book, tmp_path / "notebooks")
        # More may be shown: a progress bar where something takes long.
        missing = [kinds - found - {"text/plain"} for kinds, found in zip(saved, shown(book), strict=True)]
        assert not any(missing), missing
