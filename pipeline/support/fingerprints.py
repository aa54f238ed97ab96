"""What a stage was made from, in few bytes: its code, its input files and the files that it made."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import NamedTuple

import pipeline
from pipeline.configuration import Config
from pipeline.configuration.schema_data import FilesSource, HubSource
from pipeline.support.files import sha256

PACKAGE = Path(pipeline.__file__).parent


def code_fingerprint(module: str, left_out: Iterable[str] = ()) -> str:
    """Hash of the code of `module` ("pipeline.train") and of all that it imports from this package, wherever in the file it does.

    Of Python, comments, docstrings and layout do not count: only what runs. Other files of a package (templates, the page, sources for
    apps) count byte for byte where a module that counts has their name, or that of their folder, as a string.

    Args:
        module: dotted name of the module to begin with.
        left_out: rooms ("support") whose code does not count.
    """
    rooms = {f"{pipeline.__name__}.{room}" for room in left_out}
    seen: dict[str, Path] = {}
    waiting = [module]
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if name in seen or path is None or any(name == room or name.startswith(f"{room}.") for room in rooms):
            continue
        seen[name] = path
        waiting += _module(path).imports
        if path.name == "__init__.py":
            waiting.append(f"{name}.__main__")  # a package that is copied whole has its command, too
    digest = hashlib.sha256(pipeline.__version__.encode())
    for name in sorted(seen):
        digest.update(f"\n{name} {_module(seen[name]).code}".encode())
    named = {text for path in seen.values() for text in _module(path).strings}
    for path in sorted(path for folder in {path.parent for path in seen.values()} for path in _other_files(folder, named)):
        digest.update(f"\n{path.relative_to(PACKAGE).as_posix()} {sha256(path)}".encode())
    return digest.hexdigest()


def input_files(config: Config) -> dict[str, list[int] | None]:
    """The local files that the sources of `config` name: path -> [size in bytes, time of change in ns], None where there is none.

    Size and time stand for the content, as they do for make: hashing a large corpus would take longer than a run that skips all.
    """
    paths: list[Path] = []
    for source in config.data.sources:
        if isinstance(source, FilesSource):
            paths += [Path(name) for name in (source.source, source.target, source.path) if name is not None]
        elif isinstance(source, HubSource) and Path(source.name).exists():
            folder = Path(source.name)
            paths += sorted(path for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else [folder]
    return {str(path): [path.stat().st_size, path.stat().st_mtime_ns] if path.is_file() else None for path in paths}


def result_fingerprint(root: Path, patterns: Iterable[str]) -> str:
    """Hash of the content of the files under `root` that match the globs `patterns`."""
    digest = hashlib.sha256()
    for path in sorted({path for pattern in patterns for path in root.glob(pattern)}):
        digest.update(f"{path.relative_to(root)} {sha256(path)}\n".encode())
    return digest.hexdigest()


def _file_of(module: str) -> Path | None:
    """The file of a module of this package; None for other packages' modules and for names that are no modules."""
    top, *rest = module.split(".")
    if top != pipeline.__name__:
        return None
    path = PACKAGE.joinpath(*rest)
    return next((file for file in (path.with_suffix(".py") if rest else path, path / "__init__.py") if file.is_file()), None)


def _other_files(package: Path, named: Set[str]) -> Iterator[Path]:
    """The files of a package that are not Python's and are `named`, or lie in a folder that is and has no Python in it."""
    for path in package.iterdir():
        if path.name not in named:
            continue
        if path.is_dir() and not any(path.glob("*.py")):
            # Hidden ones are of editors and systems.
            yield from (file for file in path.rglob("*") if file.is_file() and not file.name.startswith("."))
        elif path.is_file() and path.suffix != ".py":
            yield path


class _Module(NamedTuple):
    """What counts of a Python file: its imports, all its strings, and a hash of its code without docstrings."""

    imports: tuple[str, ...]
    strings: frozenset[str]
    code: str


def _module(path: Path) -> _Module:
    return _parsed(path, path.stat().st_mtime_ns)


@functools.cache
def _parsed(path: Path, _changed: int) -> _Module:
    """A file, parsed once; `_changed` makes the cache notice an edit."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    nodes = list(ast.walk(tree))
    strings = frozenset(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
    imports = tuple(_imports(nodes, path))
    for node in nodes:
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and ast.get_docstring(node) is not None:
            node.body = node.body[1:]
    return _Module(imports, strings, hashlib.sha256(ast.dump(tree).encode()).hexdigest())


def _imports(nodes: Iterable[ast.AST], path: Path) -> Iterator[str]:
    """Every name that a file imports, dotted: modules, and `module.name` for `from module import name`."""
    package = (pipeline.__name__, *path.parent.relative_to(PACKAGE).parts)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)
