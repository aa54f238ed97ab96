"""What is wrong with a config, in words: where it stands, what was found, and what to write instead."""

from __future__ import annotations

import datetime
import difflib
import json
from collections.abc import Iterable, Iterator
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from pipeline.configuration.document import Document, KeyPath

# What pydantic calls each mistake -> what should have stood there. `{}` are the values that pydantic hands over.
EXPECTED = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a section of keys",
    "model_type": "a section of keys",
    "model_attributes_type": "a section of keys",
    "literal_error": "{expected}",
    "greater_than": "a number above {gt:.15g}",
    "greater_than_equal": "a number of at least {ge:.15g}",
    "less_than": "a number below {lt:.15g}",
    "less_than_equal": "a number of at most {le:.15g}",
    "too_short": "at least {min_length} of them",
    "string_pattern_mismatch": "text of the form {pattern}",
}


def explain(details: Iterable[ErrorDetails], document: Document, schema: type[BaseModel]) -> list[str]:
    """One line for every mistake, in the order of the file."""
    by_path: dict[KeyPath, list[ErrorDetails]] = {}
    for detail in details:
        by_path.setdefault(_path_in_file(detail, document), []).append(detail)
    lines = [(*document.place(path), _explain(path, found, document, schema)) for path, found in by_path.items()]
    for path, first, second in document.duplicates:
        lines.append((second, f"{document.where}:{second}: ", f"the key '{_dotted(path)}' stands twice; it is already on line {first}."))
    return [place + text for _, place, text in sorted(lines, key=lambda line: line[0])]


def _path_in_file(detail: ErrorDetails, document: Document) -> KeyPath:
    """The keys of pydantic's location that are keys of the file.

    Where several types are allowed, a location also carries the name of the one that was tried: `sources, 0, files, encoding` or
    `vocabulary_size, constrained-int`. The document tells them apart: a name that was tried is no key of it.
    """
    path: KeyPath = ()
    tried: KeyPath | None = None
    for number, step in enumerate(detail["loc"], start=1):
        node = document.get(path)
        if isinstance(node, dict):
            is_kind = path != tried and bool(path) and isinstance(path[-1], int) and node.get("kind") == step
            if is_kind:
                tried = path
            elif step in node or (number == len(detail["loc"]) and detail["type"] == "missing"):
                path = (*path, step)
        elif isinstance(node, list) and isinstance(step, int):
            path = (*path, step)
    return path


def _explain(path: KeyPath, details: list[ErrorDetails], document: Document, schema: type[BaseModel]) -> str:
    detail = details[0]
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(path, document, schema)
    if kind == "invalid_key":
        return f"{_dotted(path)}: a key must be text; put it in quotes."
    if kind == "union_tag_not_found":
        return f"{_dotted(path)}: 'kind' is missing. Kinds: {_plain(_kinds_at(path, document, schema))}."
    if kind == "union_tag_invalid":
        kinds = _kinds_at(path, document, schema)
        return f"{_dotted(path)}: unknown kind '{context['tag']}'.{_near(str(context['tag']), kinds)} Kinds: {_plain(kinds)}."
    if kind == "missing":
        return f"{_dotted(path)}: is missing."
    if kind == "value_error":
        message = detail["msg"].removeprefix("Value error, ").removesuffix(".")
        return f"{_dotted(path)}: {message}." if path else f"{message}."
    expected = " or ".join(dict.fromkeys(_expected(detail) for detail in details))
    return f"{_dotted(path)}: expected {expected}, found {_show(detail['input'])}."


def _expected(detail: ErrorDetails) -> str:
    template = EXPECTED.get(detail["type"])
    return template.format(**detail.get("ctx", {})) if template else detail["msg"].removeprefix("Input should be ")


def _unknown_key(path: KeyPath, document: Document, schema: type[BaseModel]) -> str:
    section, key = path[:-1], str(path[-1])
    known = list(_section(section, document, schema).model_fields)
    hint = _near(key, known)
    if not hint:
        elsewhere = [_dotted((*path, key)) for path, branch in _sections_of(schema) if key in branch.model_fields]
        hint = f" Did you mean '{elsewhere[0]}'?" if elsewhere else ""
    place = f"{_dotted(section)}: " if section else ""
    return f"{place}unknown key '{key}'.{hint} Known keys: {_plain(known)}."


def _section(path: KeyPath, document: Document, schema: type[BaseModel]) -> type[BaseModel]:
    """The section class of the schema that the mapping at `path` must match."""
    section = schema
    for end, step in enumerate(path, start=1):
        if isinstance(step, str):
            branches = _models(section.model_fields[step].annotation)
            section = branches[0]
        else:
            kind = (document.get(path[:end]) or {}).get("kind")
            section = next(branch for branch in branches if kind in _kinds([branch]))
    return section


def _kinds_at(path: KeyPath, document: Document, schema: type[BaseModel]) -> list[str]:
    """The kinds that the list element at `path` may be of."""
    *section, name, _ = path
    return _kinds(_models(_section(tuple(section), document, schema).model_fields[str(name)].annotation))


def _kinds(branches: list[type[BaseModel]]) -> list[str]:
    return [kind for branch in branches if "kind" in branch.model_fields for kind in get_args(branch.model_fields["kind"].annotation)]


def _sections_of(schema: type[BaseModel], within: KeyPath = ()) -> Iterator[tuple[KeyPath, type[BaseModel]]]:
    """The sections of a section, and theirs, with their keys; not the kinds that the elements of a list may have."""
    for name, entry in schema.model_fields.items():
        if isinstance(entry.annotation, type) and issubclass(entry.annotation, BaseModel):
            yield (*within, name), entry.annotation
            yield from _sections_of(entry.annotation, (*within, name))


def _models(annotation: Any) -> list[type[BaseModel]]:
    """The section classes within a type annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models(argument)]


def _near(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    return f" Did you mean '{close[0]}'?" if close else ""


def _dotted(path: KeyPath) -> str:
    return ".".join(str(step) for step in path)


def _plain(names: list[str]) -> str:
    return ", ".join(names)


def _show(value: Any) -> str:
    """A value as the file may have it; text in quotes, so that '512' is told from 512."""
    if isinstance(value, dict):
        return "a section of keys" if value else "an empty section"
    if value is None:
        return "nothing"
    try:
        text = f"the text '{value}'" if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    except TypeError:
        text = f"the date {value}" if isinstance(value, datetime.date) else f"a value of type {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
