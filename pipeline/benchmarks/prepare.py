"""Speed and memory of `prepare` as the corpus grows: synthetic parallel text, each size in a fresh process."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.runtime.errors import UserError

LINES = [100_000, 2_000_000]
_PAUSE = 0.05


@dataclass(frozen=True)
class Measurement:
    """One size of corpus."""

    lines: int
    seconds: float
    """From the start of the command to its end, imports included."""
    peak_mb: float
    """Highest sum of resident memory over the process and its children, MB (10^6 bytes), sampled 20 times a second.

    Pages that processes share are counted once for each: the true figure is lower.
    """


def measure(lines: list[int]) -> list[dict[str, float]]:
    """Prepares a synthetic corpus of each size; returns the fields of `Measurement` for each.

    Raises:
        UserError: this is not Linux, whose /proc tells the memory of processes, or `prepare` failed.
    """
    if not Path("/proc/self/status").is_file():
        raise UserError("this benchmark reads the memory of processes from /proc, which only Linux has.")
    return [asdict(_measure(count)) for count in lines]


def _measure(lines: int) -> Measurement:
    with tempfile.TemporaryDirectory(prefix="pocketnmt-benchmark-") as name:
        folder = Path(name)
        _write_corpus(folder, lines)
        config = folder / "synthetic.yaml"
        config.write_text(
            f"name: synthetic\ndata:\n  sources:\n    - {{kind: files, source: {folder / 'corpus.en'}, target: {folder / 'corpus.de'}}}\n"
        )
        start = time.perf_counter()
        with (folder / "log").open("wb") as log:
            command = [sys.executable, "-m", "pipeline.prepare", str(config), "--artifacts", str(folder / "artifacts")]
            process = subprocess.Popen(command, stdout=log, stderr=log)
            peak = 0
            while process.poll() is None:
                peak = max(peak, sum(_resident(number) for number in _family(process.pid)))
                time.sleep(_PAUSE)
        seconds = time.perf_counter() - start
        if process.returncode != 0:
            raise UserError(f"prepare failed on {lines:,} synthetic lines:\n{(folder / 'log').read_text()}")
        return Measurement(lines, round(seconds, 1), round(peak / 1e6, 1))


def _write_corpus(folder: Path, lines: int) -> None:
    """Two files of `lines` lines of 4 to 20 made-up words; one pair in 20 occurs before, one in 50 is a copy."""
    generator = random.Random(1)
    syllables = [consonant + vowel for consonant in "bdfgklmnprstvwz" for vowel in "aeiou"]
    words = ["".join(generator.choices(syllables, k=generator.randint(1, 4))) for _ in range(20_000)]
    recent: list[tuple[str, str]] = []
    with (folder / "corpus.en").open("w") as source_file, (folder / "corpus.de").open("w") as target_file:
        for number in range(lines):
            count = generator.randint(4, 20)
            source = " ".join(generator.choices(words, k=count)) + "."
            target = source if number % 50 == 0 else " ".join(generator.choices(words, k=count)) + "."
            if number % 20 == 19:
                source, target = recent[generator.randrange(len(recent))]
            elif len(recent) < 1000:
                recent.append((source, target))
            source_file.write(source + "\n")
            target_file.write(target + "\n")


def _family(root: int) -> Iterator[int]:
    """The process and all below it."""
    yield root
    for children in Path(f"/proc/{root}/task").glob("*/children"):
        try:
            numbers = children.read_text().split()
        except OSError:
            continue  # it has ended in the meantime
        for number in numbers:
            yield from _family(int(number))


def _resident(process: int) -> int:
    """Resident memory in bytes; 0 once the process has ended."""
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:")), 0)
