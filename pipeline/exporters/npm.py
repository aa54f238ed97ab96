"""Fetching a package of the npm registry into a cache, once."""

from __future__ import annotations

import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from pipeline.data.sources.wheels import wheel_cache
from pipeline.runtime.errors import UserError
from pipeline.support.console import say

_PREFIX = re.compile(r"npm (?:ERR!|error) ?(?:notarget |network )?")
_NO_REASON = re.compile(r"(?:code|errno|syscall|path|dest) |A complete log of this run|npm (?:warn|WARN|notice)")


def fetch_package(name: str, version: str) -> Path:
    """The unpacked folder of a package in the cache; fetched first where it is not there yet.

    Raises:
        UserError: there is no npm, or the registry cannot be reached, or has no such package.
    """
    folder = wheel_cache() / "npm" / f"{name.replace('/', '-').lstrip('@')}-{version}"
    if folder.is_dir():
        return folder
    program = shutil.which("npm")
    if program is None:
        raise UserError(f"export.web: needs npm once, to fetch {name} {version}. Install Node.js, or leave the page out.")
    say(f"fetching {name} {version} into {folder.parent} (once) ...")
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Unpacked beside its final place and renamed: a kill leaves no half a package under its name.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as temporary:
        command = [program, "pack", "--loglevel=error", "--pack-destination", temporary, f"{name}@{version}"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        archives = list(Path(temporary).glob("*.tgz"))
        if done.returncode or not archives:
            raise UserError(f"export.web: {name} {version} could not be fetched from the npm registry: {_reason(done.stderr)}")
        with tarfile.open(archives[0]) as archive:
            archive.extractall(temporary, filter="data")
        (Path(temporary) / "package").replace(folder)
    return folder


def _reason(said: str) -> str:
    """The line of npm's that says why it failed; around it are codes, advice and the name of a log."""
    lines = [_PREFIX.sub("", line).strip() for line in said.splitlines()]
    return next((line for line in lines if line and not _NO_REASON.match(line)), "npm gave no reason")
