"""Trainings of the toy task, by their commands, and what they leave behind."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from toy import write_toy

from pipeline import prepare, tokenize
from pipeline.support.run_directory import RunDirectory

ROOT = Path(__file__).parent.parent


def started(folder: Path, *changes: str, pairs: int = 600, longest: int = 4) -> list[str]:
    """Prepares and tokenizes a toy run in `folder`; gives back the arguments that name it."""
    folder.mkdir(exist_ok=True)
    arguments = [str(write_toy(folder, pairs, longest=longest)), "--artifacts", str(folder)]
    for change in changes:
        arguments += ["--set", change]
    assert prepare.main(arguments) == 0
    assert tokenize.main(arguments) == 0
    return arguments


def history(run: RunDirectory) -> list[dict[str, float]]:
    with run.history.open() as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def history_text(run: RunDirectory) -> list[dict[str, str]]:
    """Every digit of it, without what the clock decides."""
    with run.history.open() as file:
        return [{key: value for key, value in row.items() if key not in ("seconds", "tokens_per_second")} for row in csv.DictReader(file)]


def states(run: RunDirectory) -> list[Path]:
    """Of a training in progress, oldest first."""
    return sorted(run.checkpoints.glob("state-*.npz"))


def state(path: Path) -> tuple[dict[str, Any], list[np.ndarray]]:
    """Header and values of all variables."""
    with np.load(path) as file:
        header = json.loads(str(file["header"]))
        return header, [file[f"v{number}"] for number in range(header["count"])]


def train_and_kill(arguments: list[str], run: RunDirectory, number: signal.Signals, update: int = 0) -> int:
    """Starts training in a process of its own and sends it a signal as soon as it has left a checkpoint of `update` or later."""
    process = subprocess.Popen([sys.executable, "-m", "pipeline.train", *arguments], cwd=ROOT, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 180
    while not any(int(path.stem.removeprefix("state-")) >= update for path in states(run)):
        assert process.poll() is None, "training ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, number)
    return process.wait(timeout=60)
