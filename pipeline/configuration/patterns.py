"""Regular expressions that Python and RE2 (TensorFlow's, of the SavedModel) both know."""

from __future__ import annotations

import re

# Escapes and character classes: what looks like an operator inside of them is none.
_LITERAL = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", re.DOTALL)
_CONSTRUCT = re.compile(r"\(\?(?:<[=!]|P=|[a-zA-Z]*[aLux]|[=!>#(])|[*+?}]\+|\{,")
_ESCAPE = re.compile(r"\\(?:([1-9](?!\d\d)|[ZuUN])|.)", re.DOTALL)


def unknown_to_re2(pattern: str) -> str | None:
    """What a regular expression of Python's has that RE2 does not know or reads as something else, None if there is nothing.

    Look-around, back-references, conditions, atomic groups, possessive repeats, comments, flags that are Python's alone, `{,n}`, `\\Z`
    and characters by number of Unicode or by name.
    """
    construct = _CONSTRUCT.search(_LITERAL.sub("x", pattern))
    if construct:
        return construct[0]
    return next((match[0] for match in _ESCAPE.finditer(pattern) if match[1]), None)
