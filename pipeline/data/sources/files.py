"""Pairs from files on disk: two plain text files, TSV, TMX, PO, XLIFF, each also as .gz."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from pipeline.configuration.schema_data import FilesSource
from pipeline.data.sources.bilingual import read_po, read_tmx, read_xliff
from pipeline.data.sources.lines import read_lines
from pipeline.data.sources.pair import Pair
from pipeline.runtime.errors import UserError

Texts = Iterator[tuple[str, str]]


def read_files(source: FilesSource, source_language: str, target_language: str) -> Iterator[Pair]:
    """Pairs of the file or files, in their order; each is read as a stream (PO, which is small, as a whole).

    Raises:
        UserError: a file is missing, unreadable, of another format or encoding, or two files differ in length.
    """
    if source.path is None:
        assert source.source is not None and source.target is not None  # the schema's check
        texts = _read_parallel(Path(source.source), Path(source.target), source.encoding)
    else:
        path = Path(source.path)
        suffix = path.with_suffix("").suffix if path.suffix == ".gz" else path.suffix
        match suffix.lower():
            case ".tsv":
                texts = _read_tsv(path, source.encoding)
            case ".tmx":
                texts = read_tmx(path, source_language, target_language)
            case ".xlf" | ".xliff":
                texts = read_xliff(path, source_language, target_language)
            case ".po":
                texts = read_po(path, source_language, target_language)
            case _:
                raise UserError(
                    f"{path}: the format is told by the name, and '{suffix}' is none of .tsv, .tmx, .po, .xlf, .xliff (also with .gz). "
                    f"For two plain text files give 'source' and 'target' instead of 'path'."
                )
    for source_text, target_text in texts:
        yield Pair(source_text, target_text, source.tag, source.split)


def _read_parallel(source: Path, target: Path, encoding: str) -> Texts:
    sources, targets = read_lines(source, encoding), read_lines(target, encoding)
    count = 0
    for source_line, target_line in itertools.zip_longest(sources, targets):
        if source_line is None or target_line is None:
            raise _different_lengths(source, target, encoding)
        count += 1
        yield source_line, target_line
    if count == 0:
        raise UserError(f"{source} and {target}: are both empty.")


def _different_lengths(source: Path, target: Path, encoding: str) -> UserError:
    """Both counts and where the files seem to part; reads both once more, which an error may cost."""
    from pipeline.data.sources.drift import drift_line, lengths_of

    source_lengths, target_lengths = lengths_of(read_lines(source, encoding)), lengths_of(read_lines(target, encoding))
    line = drift_line(source_lengths, target_lengths)
    surplus = abs(len(source_lengths) - len(target_lengths))
    longer, shorter = (source, target) if len(source_lengths) > len(target_lengths) else (target, source)
    if line > min(len(source_lengths), len(target_lengths)):
        guess = f"They seem to agree to the end of {shorter.name}; {longer.name} goes on from line {line}"
    else:
        shown = " / ".join(f"{path.name}: {_line(path, line, encoding)!r}" for path in (source, target))
        guess = f"By the lengths of the lines they drift apart near line {line} ({shown})"
    return UserError(
        f"{source} has {len(source_lengths):,} lines, but {target} has {len(target_lengths):,}: they are not parallel. "
        f"{guess}. Look there for {surplus:,} surplus or missing line{'s' * (surplus > 1)}."
    )


def _line(path: Path, number: int, encoding: str) -> str:
    text = next(itertools.islice(read_lines(path, encoding), number - 1, None), "")
    return text if len(text) <= 60 else text[:57] + "..."


def _read_tsv(path: Path, encoding: str) -> Texts:
    for number, line in enumerate(read_lines(path, encoding), start=1):
        if not line:
            continue
        columns = line.split("\t")
        if len(columns) != 2:
            remedy = f"Keep the two columns you mean: cut -f1,2 {path.name} > two-columns.tsv"
            if len(columns) == 1:
                remedy = "There is no tab in it: put one between source and target, or remove the line."
            raise UserError(
                f"{path}:{number}: has {len(columns)} column{'s' * (len(columns) != 1)}, expected 2 (source, a tab, target). "
                f"The line begins: {line[:60]!r}. {remedy}"
            )
        yield columns[0], columns[1]
