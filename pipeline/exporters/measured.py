"""What a .tflite file takes on this machine: time to load, time a sentence, memory; in a process that is nothing but the runtime."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.exporters.phone import RUNTIME
from pipeline.runtime.errors import UserError

LENGTHS = ((1, 5), (6, 10), (11, 20), (21, 40), (41, 1000))
"""Source pieces, EOS not counted, by which times are told apart."""

# -I: nothing of ours can be imported by chance. Memory before the second translator, which has two threads.
_PROGRAM = f"""
import json, resource, sys, time
from pathlib import Path
folder, precision, asked, answered = sys.argv[1:]
sys.path.insert(0, folder + "/python")
from {RUNTIME}.translator import PhoneTranslator
def peak_memory():
    status = Path("/proc/self/status")
    if status.is_file():  # getrusage counts what the parent had when it started this process
        return 1024 * int(next(line for line in status.read_text().splitlines() if line.startswith("VmHWM")).split()[1])
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
texts = json.loads(Path(asked).read_text(encoding="utf-8"))
found = {{}}
for threads in (1, 2):
    start = time.perf_counter()
    phone = PhoneTranslator(Path(folder), precision, threads)
    found.setdefault("load_milliseconds", 1000 * (time.perf_counter() - start))
    encoded = [phone.encode(text)[0] for text in texts]
    phone.translate_ids(encoded[0])
    times = []
    for ids in encoded:
        start = time.perf_counter()
        phone.translate_ids(ids)
        times.append([len(ids), 1000 * (time.perf_counter() - start)])
    found[str(threads)] = times
    found.setdefault("peak_memory", peak_memory())
Path(answered).write_text(json.dumps(found))
"""


def measure_phone(folder: Path, precision: str, texts: Sequence[str]) -> dict[str, Any]:
    """Translates texts with a file of a folder for phones, one at a time.

    Args:
        folder: `export/tflite/`.
        precision: of the file.
        texts: sentences within the model's limit, not blank.

    Returns:
        load_milliseconds; peak_memory, bytes of the process; milliseconds: threads -> {"all" or "6-10": {sentences, p50, p95}}.

    Raises:
        UserError: the process failed.
    """
    with tempfile.TemporaryDirectory(prefix="pocketnmt-") as temporary:
        asked, answered = Path(temporary) / "asked.json", Path(temporary) / "answered.json"
        asked.write_text(json.dumps(list(texts)), encoding="utf-8")
        command = [sys.executable, "-I", "-B", "-c", _PROGRAM, str(folder.resolve()), precision, str(asked), str(answered)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode:
            raise UserError(f"{precision}.tflite: the runtime alone cannot run it (exit status {done.returncode}):\n{done.stderr[-2000:]}")
        found = json.loads(answered.read_text())
    return {
        "load_milliseconds": round(found["load_milliseconds"], 1),
        "peak_memory": found["peak_memory"],
        "milliseconds": {threads: _by_length(found[threads]) for threads in ("1", "2")},
    }


def _by_length(times: Sequence[tuple[int, float]]) -> dict[str, dict[str, float]]:
    groups = {"all": [milliseconds for _, milliseconds in times]}
    for low, high in LENGTHS:
        name = f"{low}-{high}" if high < LENGTHS[-1][1] else f"{low}+"
        groups[name] = [milliseconds for length, milliseconds in times if low <= length <= high]
    return {
        name: {"sentences": len(group), "p50": round(statistics.median(group), 2), "p95": round(_percentile(group, 0.95), 2)}
        for name, group in groups.items()
        if group
    }


def _percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
