"""Files are whole or not there, whoever is killed or whatever fails on the way; the machine's own errors are told in one line."""

from __future__ import annotations

import errno
import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from pipeline import run as command
from pipeline.runtime.errors import UserError
from pipeline.support.console import guarded
from pipeline.support.files import copy_folder, replacing, write_text
from pipeline.support.quiet import quiet


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for content in ("one", "two"):
        with replacing(tmp_path / "made") as temporary:
            temporary.mkdir()
            (temporary / content).touch()
    assert names(tmp_path) == ["made"]
    assert names(tmp_path / "made") == ["two"]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_keeps_what_was_there_and_leaves_nothing(tmp_path: Path, number: int) -> None:
    write_text(tmp_path / "best.h5", "before")
    with pytest.raises(UserError, match=r"best\.h5: the disk is full"), replacing(tmp_path / "best.h5") as temporary:
        temporary.with_name(f"{temporary.name}.weights.h5").touch()  # a library that insists on an ending
        raise OSError(number, "no space")
    assert names(tmp_path) == ["best.h5"]
    assert (tmp_path / "best.h5").read_text() == "before"


def test_a_disk_that_gets_full_while_a_folder_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "from").mkdir()
    (tmp_path / "from/a.txt").write_text("a")

    def full(source: str, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), source)

    copy_folder(tmp_path / "from", tmp_path / "to")
    assert (tmp_path / "to/a.txt").read_text() == "a"
    monkeypatch.setattr(shutil, "copytree", functools.partial(shutil.copytree, copy_function=full))
    with pytest.raises(UserError, match="other: the disk is full"):
        copy_folder(tmp_path / "from", tmp_path / "other")
    assert names(tmp_path) == ["from", "to"]


def test_without_room_for_temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(UserError, match="TMPDIR"), quiet():
        pass


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write_text(tmp_path / "a.txt", "before")
    for left in (f".a.txt.{ended.pid}.tmp", f".a.txt.{os.getppid()}.tmp", f".b.txt.{ended.pid}.tmp", ".a.txt.mine.tmp"):
        (tmp_path / left).touch()
    (tmp_path / f".a.txt.{ended.pid}.old").mkdir()
    others = f".a.txt.{ended.pid}.{os.getppid()}.tmp"  # what a living process is writing to "a.txt.<number>"
    (tmp_path / others).touch()
    write_text(tmp_path / "a.txt", "new")
    # That of a living process, of another file, and a name that is not ours stay.
    assert names(tmp_path) == sorted([others, f".a.txt.{os.getppid()}.tmp", f".b.txt.{ended.pid}.tmp", ".a.txt.mine.tmp", "a.txt"])


def test_a_folder_that_a_killed_process_had_put_aside_is_put_back(tmp_path: Path) -> None:
    """Killed between the two renames, it left the old one and the new one, neither in its place."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    for kind in ("old", "tmp"):
        (tmp_path / f".tables.{ended.pid}.{kind}").mkdir()
        (tmp_path / f".tables.{ended.pid}.{kind}" / "rows").write_text(kind)
    with pytest.raises(UserError, match="not this time"), replacing(tmp_path / "tables"):
        raise UserError("not this time")
    assert names(tmp_path) == ["tables"]
    assert (tmp_path / "tables" / "rows").read_text() == "old"


def test_a_folder_that_cannot_be_written_is_told_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "toy.yaml").write_text("name: toy\n")
    (tmp_path / "artifacts").touch()
    assert command.main([str(tmp_path / "toy.yaml"), "--artifacts", str(tmp_path / "artifacts")]) == 2
    heading, error = capsys.readouterr().err.splitlines()
    assert heading.startswith("[1/5] prepare")
    assert error.startswith(f"error: {tmp_path / 'artifacts'}")


def test_other_errors_of_the_system_are_ours_to_repair() -> None:
    def forgotten() -> int:
        raise FileNotFoundError(errno.ENOENT, "No such file", "x")

    with pytest.raises(FileNotFoundError):
        guarded(forgotten)


def test_quiet_keeps_back_what_c_code_says_and_shows_it_with_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        os.write(2, b"I0000 hello\n")
    with pytest.raises(ValueError, match="wrong") as error, quiet():
        os.write(2, b"I0000 hello\nE0000 the reason\n")
        raise ValueError("wrong")
    assert error.value.__notes__ == ["What was said meanwhile:\nE0000 the reason"]
    assert capfd.readouterr().err == ""


def test_an_import_that_fails_shows_all_that_was_said(tmp_path: Path) -> None:
    (tmp_path / "keras.py").write_text("import os\nos.write(2, b'I0000 hello\\nE0000 the reason\\n')\nraise ImportError('no keras')\n")
    program = "from pipeline.support.quiet import import_keras\nimport_keras()\n"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path(command.__file__).parent.parent)])}
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("I0000 hello\nE0000 the reason\nTraceback")
    assert "ImportError: no keras" in result.stderr
