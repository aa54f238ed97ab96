"""Two things at a time, where that is faster."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pipeline.support import cores
from pipeline.support.cores import side_by_side


@pytest.fixture
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "cores", lambda: 2)


def test_two_are_under_way_at_once_and_results_come_in_order(two_cores: None) -> None:
    both = threading.Barrier(2, timeout=20)

    def double(number: int) -> int:
        both.wait()  # one alone would wait in vain
        return 2 * number

    assert list(side_by_side(double, range(6))) == [0, 2, 4, 6, 8, 10]


def test_an_error_passes_and_ends_the_work(two_cores: None) -> None:
    begun = []

    def fail(number: int) -> int:
        begun.append(number)
        if number == 1:
            raise ValueError("number 1")
        time.sleep(0.01)  # all of them together take seconds: the error is noticed long before
        return number

    with pytest.raises(ValueError, match="number 1"):
        list(side_by_side(fail, range(1000)))
    assert len(begun) < 1000


def test_one_core_does_one_thing_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "cores", lambda: 1)
    threads: list[int] = []
    assert list(side_by_side(lambda number: threads.append(threading.get_ident()) or number, range(4))) == [0, 1, 2, 3]
    assert set(threads) == {threading.get_ident()}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "1600000 100000\n"}, 8),
        ({"cpu.max": "nonsense"}, 8),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
    ],
)
def test_a_container_s_share_of_the_machine_counts(
    files: dict[str, str], expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(cores, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert cores.cores() == expected


@pytest.mark.parametrize(("environment", "expected"), [({}, "1 2"), ({"TF_NUM_INTRAOP_THREADS": "3"}, "0 0")])
def test_tensorflow_shares_the_cores_unless_the_environment_says_how(environment: dict[str, str], expected: str) -> None:
    code = (
        "from pipeline.support import cores; cores.cores = lambda: 2\n"
        "from pipeline.support.quiet import import_keras; import_keras()\n"
        "from tensorflow import config\n"
        "print(config.threading.get_intra_op_parallelism_threads(), config.threading.get_inter_op_parallelism_threads())"
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TF_NUM")}
    done = subprocess.run([sys.executable, "-c", code], env=kept | environment, capture_output=True, text=True, timeout=120)
    assert done.stdout.split() == expected.split(), done.stderr
