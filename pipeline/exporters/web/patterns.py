"""Patterns of placeholders for a browser: a regular expression of Python's, as JavaScript writes it, or a refusal."""

from __future__ import annotations

import re

from pipeline.runtime.errors import UserError

_TOKEN = re.compile(
    r"(?P<escape>\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|.))"
    r"|(?P<opened>\((?:\?P<\w+>|\?<?[=!]|\?:|(?!\?)))"
    r"|(?P<repeated>(?:[*+?]|\{\d+(?:,\d*)?\})\??(?!\+))"
    r"|(?P<foreign>\(\?P?.?|(?:[*+?]|\{\d*(?:,\d*)?\})\+|\{,\d*\})"
    r"|(?P<plain>.)",
    re.DOTALL,
)

# What is spelt otherwise. JavaScript's own \s has Unicode's spaces, too; its dot leaves out more than the line break.
_OUTSIDE = {r"\s": r"[\t-\r ]", r"\S": r"[^\t-\r ]", r"\A": "^", r"\Z": "$", "$": r"(?=\n?$)", ".": r"[^\n]"}
_OUTSIDE |= {character: f"\\{character}" for character in "{}]"}
_INSIDE = {r"\s": r"\t-\r ", "[": r"\["}

_SAME_ESCAPES = frozenset(rf"\{letter}" for letter in "dDwWbBnrtfv")
_NEED_ESCAPES = frozenset(r"^$\.*+?()[]{}|/-")


def javascript_pattern(pattern: str) -> str:
    """A pattern that finds with JavaScript's flag `u` what `pattern` finds with Python's `re.ASCII`.

    Args:
        pattern: one that Python can compile.

    Raises:
        UserError: it has something that JavaScript lacks, or understands otherwise.
    """
    parts: list[str] = []
    groups: list[str] = []  # those that are open, by their first characters
    closed = ""  # the group that ends just before the token
    position = 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        assert token is not None  # any character is one
        before, closed = closed, ""
        position = token.end()
        text = token[0]
        if text == "[":
            part, position = _class(pattern, position)
        elif token["foreign"] or (token["repeated"] and before.startswith(("(?=", "(?!", "(?<"))):
            raise _refusal(pattern, text)
        elif token["escape"]:
            part = _OUTSIDE.get(text) or _escaped(pattern, text, inside=False)
        elif token["opened"]:
            groups.append(text)
            part = "(" if text.startswith("(?P") else text
        else:
            if text == ")":
                closed = groups.pop()
            part = text if token["repeated"] else _OUTSIDE.get(text, text)
        parts.append(part)
    return "".join(parts)


def _class(pattern: str, position: int) -> tuple[str, int]:
    """A class of characters; `position` is behind its bracket. Gives back the class and the position behind it."""
    parts = ["["]
    if pattern.startswith("^", position):
        parts.append("^")
        position += 1
    first = position
    while True:
        token = _TOKEN.match(pattern, position)
        assert token is not None  # Python has seen the end of the class
        text = token[0] if token["escape"] else pattern[position]
        if text == "]" and position > first:
            return "".join([*parts, "]"]), position + 1
        if token["escape"]:
            parts.append(_INSIDE.get(text) or _escaped(pattern, text, inside=True))
        else:
            parts.append(r"\]" if text == "]" else _INSIDE.get(text, text))
        position += len(text)


def _escaped(pattern: str, text: str, inside: bool) -> str:
    """A backslash and what belongs to it; `inside` a class or not."""
    if text in _SAME_ESCAPES or len(text) > 2:
        return text
    if text[1].isascii() and text[1].isalnum():
        raise _refusal(pattern, text)
    return text if text[1] in _NEED_ESCAPES and (inside or text[1] != "-") else text[1]


def _refusal(pattern: str, part: str) -> UserError:
    return UserError(
        f"export.web: the page cannot have the pattern {pattern!r} of tokenizer.placeholders: {part!r} is unknown to JavaScript, or means "
        "something else there. Write it without flags such as (?i), back-references and possessive repetitions, or leave the page out."
    )
