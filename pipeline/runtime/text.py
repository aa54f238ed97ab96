"""Text as the model knows it."""

from __future__ import annotations

import re
import unicodedata

_BREAKS = re.compile(r"[\n\r\v\f\x85\u2028\u2029]+")
_NEVER_TEXT = re.compile(r"[\x00-\x1f\x7f-\x9f▁]")
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPACES = re.compile(r"\s+")


def clean(text: str, *, normalize: str | None, control_characters: bool) -> str:
    """A text as the model knows it; line breaks become '\\n', a place to cut, and a blank text becomes empty."""
    parts = []
    for part in _BREAKS.split(text):
        part = _SURROGATES.sub("\ufffd", _NEVER_TEXT.sub(" ", part))
        if normalize is not None:
            part = unicodedata.normalize(normalize, part)  # type: ignore[arg-type]
        if control_characters:
            part = _SPACES.sub(" ", _INVISIBLE.sub("", part))
        parts.append(part.strip())
    return "\n".join(part for part in parts if part)
