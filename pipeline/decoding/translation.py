"""A translated sentence."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Translation:
    """A translated sentence.

    Attributes:
        text: the translation.
        score: what it was chosen by; see `Search`.
        ids: its tokens, without EOS.
        complete: whether it ended by itself, within the limit of tokens.
        log_prob: natural log of its probability.
        tokens, source_tokens: of the translation and of the source, EOS counted.
        left_out: of the phrases that it was to contain, the numbers of those for which there was no room.
        coverage: mean over the source's tokens of the attention each has had, at most 1 of each; None where that was not kept.
    """

    text: str
    score: float
    ids: list[int]
    complete: bool
    log_prob: float = 0.0
    tokens: int = 0
    source_tokens: int = 0
    coverage: float | None = None
    left_out: tuple[int, ...] = ()


NOTHING = Translation("", 0.0, [], complete=True)
"""The translation of an empty sentence."""
