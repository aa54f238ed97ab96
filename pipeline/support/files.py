"""Files that are either whole or not there: written under a temporary name, flushed, then renamed."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.runtime.errors import UserError


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; on success it takes `path`'s place, on any error nothing is left of it.

    The temporary path may become a file or a folder. An existing folder `path` is replaced whole.

    Raises:
        UserError: the disk is full (what was there before is kept), or a file would take the place of a folder.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _put_back(path)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with disk_full_is_told(path):
            yield temporary
            if temporary.is_dir() and path.exists():
                _swap(temporary, path)
            else:
                if temporary.is_file():
                    if path.is_dir():
                        raise UserError(f"{path}: is a folder; expected the name of a file.")
                    with temporary.open("rb") as file:
                        os.fsync(file.fileno())
                temporary.replace(path)
    finally:
        _remove_leftovers(path)


@contextlib.contextmanager
def disk_full_is_told(path: Path) -> Iterator[None]:
    """Makes the system's error of a full disk, or a used-up quota, one that says what to do; `path` is what was being written.

    Raises:
        UserError: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise disk_full(path) from error


def disk_full(path: Path) -> UserError:
    """What to say where the disk is full, or a quota used up; `path` is what was being written."""
    return UserError(f"{path}: the disk is full. Free some space and run the same command again; what was there before is kept.")


def _swap(temporary: Path, path: Path) -> None:
    """Puts one folder in another's place; if that fails, the other is put back."""
    aside = temporary.with_suffix(".old")
    path.rename(aside)
    try:
        temporary.rename(path)
    except BaseException:
        aside.rename(path)
        raise


def _put_back(path: Path) -> None:
    """A folder whose place is empty, because a process was killed within `_swap`, gets it again."""
    if not path.exists():
        for aside in path.parent.glob(f".{glob.escape(path.name)}.*.old"):
            process = aside.name.removeprefix(f".{path.name}.").removesuffix(".old")
            if process.isdecimal() and _has_ended(int(process)):
                aside.rename(path)
                return


def _remove_leftovers(path: Path) -> None:
    """Removes what this process, or one that was killed, has left beside `path`: `.<name>.<process>.tmp`, `.old` and what begins so."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.*"):
        process, kind = left.name.removeprefix(f".{path.name}.").split(".")[:2]
        # What another process is writing to "<name>.2016" is `.<name>.2016.<process>.tmp`.
        if kind in ("tmp", "old") and process.isdecimal() and (int(process) == os.getpid() or _has_ended(int(process))):
            remove(left)


def _has_ended(process: int) -> bool:
    if os.name != "posix":  # elsewhere, asking a process with signal 0 would stop it
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (PermissionError, OverflowError):
        pass
    return False


def remove(path: Path) -> None:
    """Removes a file or a folder if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def copy_folder(source: Path, target: Path) -> None:
    """Copies a folder, whole or not at all.

    Raises:
        UserError: the disk is full.
    """
    with replacing(target) as temporary:
        try:
            shutil.copytree(source, temporary)
        except shutil.Error as error:  # of several files; what it was is left in the texts alone
            if os.strerror(errno.ENOSPC) in str(error) or os.strerror(errno.EDQUOT) in str(error):
                raise disk_full(target) from error
            raise


def write_text(path: Path, text: str) -> None:
    """Writes UTF-8 text, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes JSON, whole or not at all; `value` should carry a "schema_version"."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Reads what `write_json` wrote.

    Raises:
        UserError: the file is missing, or is not a JSON object.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: is damaged ({error}). Remove it and run the stage that wrote it again.") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: expected a JSON object.")
    return value


def sha256(path: Path) -> str:
    """Hash of a file's content, hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
