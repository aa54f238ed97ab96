"""Files that are not Python's are code, too, of the stages that use them, and of no other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pipeline.support import fingerprints
from pipeline.support.stage_table import STAGES


def test_a_changed_file_of_another_kind_does_its_stage_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Path(shutil.copytree(fingerprints.PACKAGE, tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__")))
    monkeypatch.setattr(fingerprints, "PACKAGE", package)

    def hashes() -> dict[str, str]:
        return {name: fingerprints.code_fingerprint(f"pipeline.{name}", STAGES[name].code_left_out) for name in watched}

    watched = ("train", "evaluate", "export")
    before = hashes()
    for file, stages in {
        "exporters/web/app/app.js": {"export"},
        "exporters/apps/Translator.swift": {"export"},
        "exporters/report.html.j2": {"export"},
        "scoring/page.html.j2": {"evaluate"},
        "inspect/page.html.j2": set(),
        "runtime/text.py": {"evaluate", "export"},
        "runtime/__main__.py": {"export"},
        "exporters/web/app/.app.js.swp": set(),
    }.items():
        with (package / file).open("a") as opened:
            opened.write("\nADDED = 1\n" if file.endswith(".py") else " ")
        after = hashes()
        assert {name for name in watched if before[name] != after[name]} == stages, file
        before = after


def test_no_such_file_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """One whose name stands in no module would be; `inspect` and `reporting` make their pages in no stage."""
    seen: set[Path] = set()
    monkeypatch.setattr(fingerprints, "sha256", lambda path: seen.add(path) or "")
    for name in ("evaluate", "export"):
        fingerprints.code_fingerprint(f"pipeline.{name}")
    files = [path for path in fingerprints.PACKAGE.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    rooms = ("inspect", "reporting")
    assert {path for path in files if path.relative_to(fingerprints.PACKAGE).parts[0] not in rooms} <= seen
