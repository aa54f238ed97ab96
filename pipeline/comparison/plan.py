"""The file of a comparison: a base config, and the changes that make its variations.

    base: multi30k-en-de.yaml            # path of a config, seen from this file
    set: {training.epochs: 5}            # changes for all variations
    variations:                          # changes of each, by name; the first is what the others are compared with
      gru: {}
      lstm: {model.encoder.cell: lstm, model.decoder.cell: lstm}

A change is a key with dots, as after `--set`, and its value; sections within sections mean the same as dots. A list takes the place
of the base's whole list.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError, field_validator

from pipeline.configuration import Config, ConfigError, load_config
from pipeline.configuration.document import Document, KeyPath, parse_document
from pipeline.configuration.mistakes import explain
from pipeline.configuration.section import Section
from pipeline.runtime.errors import UserError
from pipeline.support.run_directory import RunDirectory

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]


class ComparisonFile(Section):
    """What may stand in the file."""

    base: str
    set: dict[str, Any] = Field(default_factory=dict)
    variations: dict[Name, dict[str, Any]]

    @field_validator("variations")
    @classmethod
    def _some(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        if not value:
            raise ValueError("expected at least one variation, such as 'gru: {}'")
        return value


@dataclass(frozen=True)
class Variation:
    """One of the configs that are compared.

    Attributes:
        name: its name, also that of its run's folder.
        config: the base with all changes made.
        run: where it is trained.
        changes: its own ones, "section.key" -> value.
    """

    name: str
    config: Config
    run: RunDirectory
    changes: dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """A comparison whose configs are all valid.

    Attributes:
        path: its file.
        folder: where its runs and results are, `artifacts/<name of the file>/`.
        base: path of the base config.
        variations: in the order of the file.
    """

    path: Path
    folder: Path
    base: Path
    variations: list[Variation]

    def chosen(self, names: Sequence[str]) -> list[Variation]:
        """The variations of these names, in the order of the file; all where no name is given.

        Raises:
            UserError: there is no variation of such a name.
        """
        known = [variation.name for variation in self.variations]
        for name in names:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f" Did you mean '{near[0]}'?" if near else ""
                raise UserError(f"{self.path}: has no variation '{name}'.{hint} There are: {', '.join(known)}.")
        return [variation for variation in self.variations if not names or variation.name in names]


@dataclass(frozen=True)
class _Change:
    """One changed value: its key with dots, and where it stands, as a prefix for messages."""

    key: str
    value: Any
    where: str

    @property
    def override(self) -> str:
        """As it would follow `--set`; JSON is YAML as well."""
        return f"{self.key}={json.dumps(self.as_json, ensure_ascii=False)}"

    @property
    def as_json(self) -> Any:
        """The value as JSON can have it: a date becomes the text that it was."""
        return json.loads(json.dumps(self.value, default=str))


def load_plan(path: Path, overrides: Sequence[str] = (), artifacts: Path = Path("artifacts")) -> Plan:
    """Reads the file of a comparison and checks the config of every variation.

    Args:
        path: the file.
        overrides: "section.key=value" for all variations; they win over what the file says.
        artifacts: folder of the comparison's own folder.

    Raises:
        ConfigError: the file, its base or any variation is wrong; every mistake is named.
        UserError: its folder is that of a run.
    """
    document = parse_document(_read(path), str(path))
    try:
        file = ComparisonFile.model_validate(document.values)
        mistakes = explain([], document, ComparisonFile)
    except ValidationError as error:
        raise ConfigError("\n".join(explain(error.errors(include_url=False), document, ComparisonFile))) from None

    base = path.parent / file.base
    folder = artifacts / path.stem
    common = list(_changes(document, ("set",)))
    mistakes += _renamings(common, overrides)
    everywhere = set(_checked(base, common, overrides, "any")[1])  # said once, not again of each variation
    variations = []
    for name in file.variations:
        own = list(_changes(document, ("variations", name)))
        config, found = _checked(base, [*common, *own], overrides, name)
        place = document.place(("variations", name))[1]
        mistakes += [*_renamings(own), *_repeated(own)]
        mistakes += [line if line in everywhere or line.startswith(f"{path}:") else f"{place}variations.{name}: {line}" for line in found]
        if config is not None:
            changes = {change.key: change.as_json for change in own}
            variations.append(Variation(name, config, RunDirectory.of(config, folder), changes))
    if mistakes:
        raise ConfigError("\n".join(dict.fromkeys(mistakes)))
    if RunDirectory(folder).config.exists():
        raise UserError(
            f"{folder}: is a run; a comparison needs a folder of its own. Rename {path.name}, or choose another with --artifacts."
        )
    return Plan(path, folder, base, variations)


def _changes(document: Document, section: KeyPath) -> Iterator[_Change]:
    """The changes that stand in a section of the file, at any depth."""
    for key, value in (document.get(section) or {}).items():
        place = (*section, str(key))
        if isinstance(value, dict) and value:
            yield from _changes(document, place)
        else:
            start = 1 if section[0] == "set" else 2  # where the config's own keys begin
            where = f"{document.place(place)[1]}{'.'.join(map(str, place[:start]))}: "
            yield _Change(".".join(map(str, place[start:])), value, where)


def _checked(base: Path, changes: Sequence[_Change], overrides: Sequence[str], name: str) -> tuple[Config | None, list[str]]:
    """The base with changes made, and what is wrong with it, each mistake with the place of the change that it came by."""
    where = {f"--set {change.override}: ": change.where for change in changes}
    try:
        return load_config(base, [*(change.override for change in changes), *overrides, f"name={json.dumps(name)}"]), []
    except ConfigError as error:
        return None, [_relocated(line, where) for line in str(error).splitlines()]


def _relocated(line: str, where: dict[str, str]) -> str:
    for override, place in where.items():
        if line.startswith(override):
            return place + line.removeprefix(override)
    return line


def _repeated(changes: Sequence[_Change]) -> list[str]:
    """A key can be written with dots or as sections, but not both ways."""
    keys = [change.key for change in changes]
    return [f"{change.where}{change.key}: stands twice." for number, change in enumerate(changes) if change.key in keys[:number]]


def _renamings(changes: Iterable[_Change], overrides: Iterable[str] = ()) -> list[str]:
    """A run must have the name of its variation: then the same command finds it again."""
    places = [change.where for change in changes if change.key == "name"]
    places += [f"--set {override}: " for override in overrides if override.partition("=")[0].strip() == "name"]
    return [f"{place}name: a run has the name of its variation; leave it out (another folder: --artifacts)." for place in places]


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}).") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}. Expected the file of a comparison (.yaml).") from None
