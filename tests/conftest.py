"""What several tests share."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# Before anything imports TensorFlow: its notes on the processor would stand among the results.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if "PYTEST_XDIST_WORKER" in os.environ:  # a process for each core: more threads than that would wait for each other
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")


@pytest.fixture
def root() -> Path:
    """The top folder of the project."""
    return Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def small_heap() -> Iterator[None]:
    """What a test leaves behind is not looked through again: TensorFlow keeps the graph of every custom gradient for ever, and the
    converter of .tflite files collects garbage each time, which took seconds among gigabytes of them."""
    yield
    gc.collect()
    gc.freeze()
