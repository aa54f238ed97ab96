"""Codes of languages."""

from __future__ import annotations


def base_language(code: str) -> str:
    """The language of a code, in lower case, without region or script: "zh" of "zh-CN" and "zh_TW"; empty of an empty one."""
    return code.replace("_", "-").split("-")[0].lower()
