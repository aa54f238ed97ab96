"""What several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# Before anything imports TensorFlow: its notes on the processor would stand among the results.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


@pytest.fixture
def root() -> Path:
    """The top folder of the project."""
    return Path(__file__).parent.parent
