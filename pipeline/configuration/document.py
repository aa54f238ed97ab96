"""A YAML 1.2 text as plain values, with the line of every key, and single values changed from the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from pipeline.runtime.errors import UserError

KeyPath = tuple[str | int, ...]
"""Where a value stands: keys of sections and, from 0, places in lists."""

AFTER_ALL_LINES = 10**9
_TOO_DEEP = "brackets or sections stand one within the other too many times."


class ConfigError(UserError):
    """A config file that cannot be used; the message lists every mistake in it."""


@dataclass
class Document:
    """The values of a config before anything is known about what they mean.

    Attributes:
        where: the file, as errors name it.
        values: plain dicts, lists, strings and numbers.
        lines: the line, from 1, of every key and list element of the file.
        overrides: the `--set` text that each changed value came from.
        duplicates: every key that stands twice in its section, with the lines of both.
    """

    where: str
    values: dict[str, Any]
    lines: dict[KeyPath, int] = field(default_factory=dict)
    overrides: dict[KeyPath, str] = field(default_factory=dict)
    duplicates: list[tuple[KeyPath, int, int]] = field(default_factory=list)

    def place(self, path: KeyPath) -> tuple[int, str]:
        """Where the user wrote `path`: a number to sort by (the line; overrides last) and a prefix for a message.

        A key that is in neither place, such as a missing one, is looked for in the section around it.
        """
        sections = [path[:length] for length in range(len(path), 0, -1)]
        for section in sections:  # whatever stands in the file, this took its place
            if section in self.overrides:
                return AFTER_ALL_LINES, f"--set {self.overrides[section]}: "
        for section in sections:
            if section in self.lines:
                return self.lines[section], f"{self.where}:{self.lines[section]}: "
            for key, text in self.overrides.items():
                if key[: len(section)] == section:
                    return AFTER_ALL_LINES, f"--set {text}: "
        return 0, f"{self.where}: "

    def get(self, path: KeyPath) -> Any:
        """The value at `path`, or None."""
        node: Any = self.values
        for step in path:
            try:
                node = node[step]
            except (LookupError, TypeError):
                return None
        return node

    def override(self, text: str) -> None:
        """Changes one value: "section.key=value", list elements by number ("data.sources.0.weight=2"), nothing after = is null.

        Raises:
            ConfigError: it is not of that form, or there is no such place.
        """
        dotted, separator, value = text.partition("=")
        steps = dotted.strip().split(".")
        if not separator or not all(steps):
            raise ConfigError(f"--set {text}: expected SECTION.KEY=VALUE, such as training.epochs=5.")
        try:
            # Composed first, for an alias that stands inside what it repeats would make an endless value.
            _check_aliases(YAML(typ="safe", pure=True).compose(value), f"--set {text}", ())
            parsed = YAML(typ="safe", pure=True).load(value)
        except (YAMLError, ValueError) as error:
            raise ConfigError(f"--set {text}: '{value}' is not a YAML value: {_problem(error)}.") from None
        except RecursionError:
            raise ConfigError(f"--set {text[:60]}...: {_TOO_DEEP}") from None
        node: Any = self.values
        path: list[str | int] = []
        for step in steps[:-1]:
            key = _key(node, step, path, text)
            path.append(key)
            if isinstance(node, dict) and node.get(key) is None:
                node[key] = {}
            node = node[key]
        key = _key(node, steps[-1], path, text)
        node[key] = parsed
        self.overrides[(*path, key)] = text


def parse_document(text: str, where: str) -> Document:
    """Parses YAML 1.2; `where` names it in errors.

    Raises:
        ConfigError: it is not YAML, or not a mapping of keys to values.
    """
    try:
        root = _yaml().compose(text)
        values = _yaml().load(text)
    except MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{where}{line}: not valid YAML: {_problem(error)}.") from None
    except (YAMLError, ValueError) as error:
        raise ConfigError(f"{where}: not valid YAML: {_problem(error)}.") from None
    except RecursionError:
        raise ConfigError(f"{where}: {_TOO_DEEP}") from None
    if values is None:
        return Document(where, {})
    if not isinstance(values, dict):
        raise ConfigError(f"{where}: expected keys and values, such as 'name: my-run', found a {type(values).__name__}.")
    document = Document(where, values)
    _check_aliases(root, where, ())
    _note_lines(root, (), document)
    return document


def _yaml() -> YAML:
    yaml = YAML(typ="safe", pure=True)
    yaml.allow_duplicate_keys = True  # found in `_note_lines` instead, which finds all of them and knows the lines of both
    return yaml


def _check_aliases(node: Node | None, where: str, around: tuple[Node, ...]) -> None:
    """Refuses one that stands inside what it repeats; `around` holds the nodes that contain this one."""
    if node is not None and any(node is other for other in around):
        raise ConfigError(f"{where}:{node.start_mark.line + 1}: an alias (*) stands inside what it repeats.")
    if isinstance(node, MappingNode | SequenceNode):
        for part in node.value:
            for inner in part if isinstance(node, MappingNode) else [part]:
                _check_aliases(inner, where, (*around, node))


def _note_lines(node: Node, path: KeyPath, document: Document) -> None:
    """Fills `lines` and `duplicates`."""
    if isinstance(node, MappingNode):
        for key, value in node.value:
            place, line = (*path, str(key.value)), key.start_mark.line + 1
            if place in document.lines and key.value != "<<":
                document.duplicates.append((place, document.lines[place], line))
            document.lines[place] = line
            _note_lines(value, place, document)
    elif isinstance(node, SequenceNode):
        for index, element in enumerate(node.value):
            document.lines[*path, index] = element.start_mark.line + 1
            _note_lines(element, (*path, index), document)


def _key(node: Any, step: str, path: list[str | int], text: str) -> str | int:
    """The key or list index that `step` means in `node`."""
    section = f"'{'.'.join(map(str, path))}'"
    if isinstance(node, dict):
        return step
    if isinstance(node, list):
        if re.fullmatch(r"[0-9]+", step) and int(step) < len(node):
            return int(step)
        raise ConfigError(f"--set {text}: {section} is a list of {len(node)}, numbered from 0; found '{step}'.")
    raise ConfigError(f"--set {text}: {section} is no section, its value is {node!r}; '{step}' cannot be set in it.")


def _problem(error: Exception) -> str:
    text = str(getattr(error, "problem", None) or error).strip()
    return "more than one document" if text == "but found another document" else text
