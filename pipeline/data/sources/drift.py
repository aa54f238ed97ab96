"""Where two text files that should be parallel drift apart: a guess by the lengths of their lines."""

from __future__ import annotations

from array import array
from collections.abc import Iterable

import numpy as np


def lengths_of(lines: Iterable[str]) -> array[int]:
    """Characters of each line: four bytes a line, whatever the file's size."""
    return array("I", (len(line) for line in lines))


def drift_line(source: array[int], target: array[int]) -> int:
    """The first line (counted from 1) at which the longer file seems to have lines that the shorter one lacks.

    Supposes one gap: up to line k the files are parallel, after it they are parallel again with a shift of the
    difference in line counts; takes the k at which the lengths' ratios vary least.

    Args:
        source: characters of each source line.
        target: characters of each target line; another number of lines.
    """
    shorter, longer = sorted((np.asarray(source, np.float64), np.asarray(target, np.float64)), key=len)
    shift, count = len(longer) - len(shorter), len(shorter)
    if count == 0:
        return 1
    logs_short, logs_long = np.log(shorter + 5.0), np.log(longer + 5.0)
    usual = logs_long.mean() - logs_short.mean()
    before = np.concatenate([[0.0], np.cumsum(np.abs(logs_long[:count] - logs_short - usual))])
    after = np.concatenate([[0.0], np.cumsum(np.abs(logs_long[shift:] - logs_short - usual))])
    cost = before + (after[-1] - after)
    # Of equal guesses the last: files that agree to the end of the shorter one have their surplus there.
    return int(len(cost) - np.argmin(cost[::-1]))
