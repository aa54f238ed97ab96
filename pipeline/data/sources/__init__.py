"""Where sentence pairs come from: one function a kind of source, all yielding `Pair`s, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from pipeline.configuration.schema_data import AnySource, FilesSource, HubSource, PackageSource
from pipeline.data.sources.files import read_files
from pipeline.data.sources.hub import read_hub
from pipeline.data.sources.package import read_package
from pipeline.data.sources.pair import Pair, Split

__all__ = ["SOURCES", "Pair", "Split", "describe", "read_pairs"]

# kind -> function(source section, source language, target language) -> pairs
SOURCES: dict[str, Callable[[Any, str, str], Iterator[Pair]]] = {"package": read_package, "files": read_files, "hub": read_hub}


def read_pairs(source: AnySource, source_language: str, target_language: str) -> Iterator[Pair]:
    """All pairs of one source, in the source's order.

    Raises:
        UserError: the source cannot be read, or is not what the config says it is.
    """
    return SOURCES[source.kind](source, source_language, target_language)


def describe(source: AnySource) -> str:
    """What a person calls the source: the package, the file or the data set."""
    match source:
        case PackageSource():
            return source.package
        case FilesSource():
            return source.path or f"{source.source} + {source.target}"
        case HubSource():
            return source.name
