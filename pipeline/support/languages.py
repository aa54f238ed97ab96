"""Codes of languages."""

from __future__ import annotations


def base_language(code: str) -> str:
    """The language of a code, in lower case, without region, script or variant: "zh" of "zh_TW", "sr" of "sr@latin"; "" of ""."""
    return code.replace("_", "-").partition("@")[0].split("-")[0].lower()
