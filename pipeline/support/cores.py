"""Two cores for one network: each has a half of a training batch, or a batch of translations of its own.

Most operations of a recurrent network are small, and nearly each waits for the one before. Two cores at one of them wait for each other
more than they compute; two cores at two independent ones do not.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Where Linux says how much of its machine a container may use.
CONTROL_GROUPS = Path("/sys/fs/cgroup")

_WAYS = 2


def share_cores() -> None:
    """Gives TensorFlow threads for two operations at once, and each of them half of the cores.

    This must happen before TensorFlow's first operation. After it, where the environment sets TF_NUM_INTRAOP_THREADS, with a GPU, or
    on another backend, everything stays as it is.
    """
    if "TF_NUM_INTRAOP_THREADS" in os.environ or not works_side_by_side():
        return
    import tensorflow as tf

    try:
        tf.config.threading.set_intra_op_parallelism_threads(max(1, cores() // _WAYS))
        tf.config.threading.set_inter_op_parallelism_threads(_WAYS)
    except RuntimeError:  # TensorFlow has begun
        return


def works_side_by_side() -> bool:
    """Whether two halves are faster than the whole: where TensorFlow computes on a CPU. A GPU, and XLA, would rather have it whole."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return not tf.config.list_physical_devices("GPU")


def side_by_side(function: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
    """`map`, two items at a time where that is faster; results in order."""
    if len(items) < _WAYS or cores() < _WAYS or not works_side_by_side():
        yield from map(function, items)
        return
    workers = ThreadPoolExecutor(_WAYS)
    try:
        yield from workers.map(function, items)
    finally:
        workers.shutdown(cancel_futures=True)


def cores() -> int:
    """Those that are ours: `cpu_count` counts others too, under taskset or in a container that may use a share of a machine only."""
    ours = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(ours, _quota())))


def _quota() -> float:
    """Cores' worth of time that control groups allow (what `docker run --cpus` sets); infinite without a limit."""
    for files in (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):  # version 2, version 1
        try:
            quota, period = " ".join((CONTROL_GROUPS / file).read_text() for file in files).split()
        except (OSError, ValueError):
            continue
        if quota.isdecimal() and int(quota) and int(period):
            return int(quota) / int(period)
    return math.inf
