"""What every source yields."""

from __future__ import annotations

from typing import Literal, NamedTuple

Split = Literal["train", "validation", "test"]


class Pair(NamedTuple):
    """One sentence and its translation, as the source has it: not cleaned yet."""

    source: str
    target: str
    tag: str
    split: Split | None
    """The split that the corpus itself gives the pair; None leaves it to the hash of the source."""
