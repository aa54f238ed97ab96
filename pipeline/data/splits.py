"""Which split a pair belongs to: decided by a hash of its source, so that it never changes when the corpus grows.

Imports only the standard library: worker processes use it.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata

_DIGITS = re.compile(r"\d+")
_FINAL_PUNCTUATION = " .!?:;,…。！？：；、，．"
_RANGE = 1 << 64


def split_key(source: str) -> str:
    """What of a source sentence decides its split.

    Sentences that differ only in case, spaces, Unicode form, numbers or final punctuation get the same key: "Relay 11"
    must not be a test of what "Relay 12" has taught.
    """
    text = source if source.isascii() else unicodedata.normalize("NFKC", source)
    text = " ".join(text.casefold().split())
    return _DIGITS.sub("0", text).rstrip(_FINAL_PUNCTUATION) or text


def hash64(text: str) -> int:
    """64 bits of BLAKE2b: the same on every machine and Python, unlike `hash`.

    Of a hundred million different texts, two share a hash with a probability of 0.03 %.
    """
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def split_bounds(validation: float, test: float) -> tuple[int, int]:
    """The test's and the validation's share of all hashes: a hash below the first is test, one at or above the second validation.

    From opposite ends, so that changing one share moves no pair into or out of the other.
    """
    return round(test * _RANGE), _RANGE - round(validation * _RANGE)
