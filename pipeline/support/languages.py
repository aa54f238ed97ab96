"""Codes of languages."""

from __future__ import annotations

# ISO 639-2 and 639-3 -> 639-1, for the languages that something here treats in a way of their own.
_SHORT = {"zho": "zh", "chi": "zh", "cmn": "zh", "jpn": "ja", "kor": "ko", "tha": "th", "lao": "lo", "khm": "km", "mya": "my", "bur": "my"}


def base_language(code: str) -> str:
    """The language of a code, in lower case, without region or script: "zh" of "zh_TW" and "zho_Hans", "sr" of "sr@latin"; "" of ""."""
    base = code.replace("_", "-").partition("@")[0].split("-")[0].lower()
    return _SHORT.get(base, base)
