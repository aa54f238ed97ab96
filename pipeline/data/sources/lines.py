"""Reading text files line by line, with errors that name the file, the line and the byte."""

from __future__ import annotations

import codecs
import contextlib
import difflib
import gzip
import io
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, cast

from pipeline.runtime.errors import UserError

_REMEDY = "Set 'encoding' of this source to what the file is in (often latin-1 or cp1252), or convert the file."


@contextlib.contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file's bytes, a .gz unpacked on the fly.

    Raises:
        UserError: the file is missing, cannot be read, or is a damaged .gz.
    """
    try:
        raw = path.open("rb")
        with raw, gzip.GzipFile(fileobj=raw) if path.suffix == ".gz" else raw as file:
            yield cast("IO[bytes]", file)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file (looked from {Path.cwd()}).{_neighbours(path)}") from None
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{path}: is not a whole gzip file ({error}). Copy it again, or rename it if it is not compressed.") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}.") from error


def read_lines(path: Path, encoding: str = "utf-8", remedy: str = _REMEDY) -> Iterator[str]:
    r"""Lines without their ends. Only \n and \r\n end a line: a corpus may well have U+2028 or a form feed inside one.

    Args:
        path: of the file, .gz or not.
        encoding: of its text.
        remedy: what an error about the encoding says to do.

    Raises:
        UserError: as `opened`; or the text is not in `encoding`.
    """
    try:
        codec = codecs.lookup(encoding).name
        "".encode(codec)  # refuses rot13 and the like, which are no encodings of text
    except LookupError:
        raise UserError(f"{path}: encoding '{encoding}' is not known. Usual ones: utf-8, latin-1, cp1252, utf-16.") from None
    with opened(path) as file:
        # In UTF-16 and -32 the byte 0x0A is not always a line end: these must be decoded before they are cut.
        wide = codec.startswith(("utf-16", "utf-32"))
        yield from _decode_then_cut(file, path, codec, remedy) if wide else _cut_then_decode(file, path, codec, remedy)


def _cut_then_decode(file: IO[bytes], path: Path, codec: str, remedy: str) -> Iterator[str]:
    for number, raw in enumerate(file, start=1):
        if number == 1 and codec.startswith("utf-8"):
            raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            line = raw.decode(codec)
        except UnicodeDecodeError as error:
            raise UserError(
                f"{path}:{number}: byte {error.start + 1} of the line (0x{raw[error.start]:02X}) is not {codec}. {remedy}"
            ) from None
        yield line.removesuffix("\n").removesuffix("\r")


def _decode_then_cut(file: IO[bytes], path: Path, codec: str, remedy: str) -> Iterator[str]:
    number = 0
    try:
        with io.TextIOWrapper(file, encoding=codec, newline="\n") as text:
            for line in text:
                number += 1
                yield line.removeprefix("\ufeff" if number == 1 else "").removesuffix("\n").removesuffix("\r")
    except UnicodeError as error:
        byte = f"byte {error.start + 1} of a block" if isinstance(error, UnicodeDecodeError) else str(error)
        raise UserError(f"{path}: some line after line {number} is not {codec} ({byte}). {remedy}") from None


def _neighbours(path: Path) -> str:
    """A hint at files of nearly that name."""
    if not path.parent.is_dir():
        return f" There is no folder {path.parent} either."
    near = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], n=3)
    return f" Did you mean {' or '.join(near)}?" if near else ""
