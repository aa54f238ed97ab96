"""Pairs from a data set of the Hugging Face hub, or a local folder in that format."""

from __future__ import annotations

import contextlib
import gzip
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.configuration.schema_data import HubSource
from pipeline.data.sources.pair import Pair
from pipeline.runtime.errors import UserError
from pipeline.support.console import say

_ROWS = 1000


def read_hub(source: HubSource, source_language: str, target_language: str) -> Iterator[Pair]:
    """Pairs of the chosen splits, in the order of `source.splits`; those of a data set that has only `train` are split by hash.

    Raises:
        UserError: the data set is not there or cannot be reached, or lacks a split or a column (those there are listed).
    """
    with contextlib.ExitStack() as stack:
        splits = _open(source, stack)
        chosen = {theirs: ours for theirs, ours in source.splits.items() if theirs in splits}
        missing = [name for name in source.splits if name not in splits]
        # The default asks for the usual three; a data set that has only some of them is fine.
        usual = source.splits == HubSource.model_fields["splits"].get_default(call_default_factory=True)
        if not chosen or (missing and not usual):
            raise UserError(
                f"{source.name}: has no split {', '.join(repr(name) for name in missing)}. Splits there: {', '.join(splits)}. "
                f"Set 'splits' of this source, such as {{{next(iter(splits))}: train}}."
            )
        if usual and list(chosen) == ["train"]:
            say(f"{source.name}: has no split but 'train', so its pairs are split by hash; 'splits: {{train: train}}' keeps them together.")
            chosen = {"train": None}
        for theirs, ours in chosen.items():
            fields: tuple[list[str], list[str]] | None = None
            for batch in _batches(splits[theirs], f"{source.name}, split {theirs}"):
                if fields is None:
                    fields = (
                        _field(source.name, batch, source.source_field, source_language),
                        _field(source.name, batch, source.target_field, target_language),
                    )
                for source_text, target_text in zip(*(_column(source.name, batch, field) for field in fields), strict=True):
                    yield Pair(source_text, target_text, source.tag, ours)


def _open(source: HubSource, stack: contextlib.ExitStack) -> dict[str, Any]:
    """The data set's splits by name."""
    import datasets
    import huggingface_hub

    folder = Path(source.name)
    local = folder.exists() or source.name.startswith((".", "/", "~"))
    if local and not folder.is_dir():
        raise UserError(f"{source.name}: no such folder (looked from {Path.cwd()}).")
    datasets.disable_progress_bars()
    # Its retries would be told on stderr one by one; the error at the end says it once.
    huggingface_hub.logging.set_verbosity_error()
    try:
        if local and ((folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()):
            loaded: Any = datasets.load_from_disk(str(folder))
        elif local:
            # Streamed: nothing is converted, nothing but lock files is written, and those into a folder of our own.
            cache = stack.enter_context(tempfile.TemporaryDirectory(prefix="pocketnmt-"))
            loaded = datasets.load_dataset(str(folder), source.config, streaming=True, cache_dir=cache)
        else:
            say(f"asking the hub for {source.name} ...")
            loaded = datasets.load_dataset(source.name, source.config, revision=source.revision)
    except ConnectionError as error:
        raise UserError(
            f"{source.name}: the hub could not be reached, and the data set is not in its cache on this machine. Connect once, or "
            f"download it elsewhere ('hf download --repo-type dataset {source.name} --local-dir FOLDER') and set 'name' to that folder."
        ) from error
    except datasets.exceptions.DatasetNotFoundError as error:
        raise UserError(
            f"{source.name}: {_sentence(error)} Check 'name' and 'revision', or log in if it is private ('hf auth login')."
        ) from error
    except huggingface_hub.errors.HfHubHTTPError as error:
        raise UserError(
            f"{source.name}: the hub answered: {_sentence(error)} Log in again ('hf auth login', or another HF_TOKEN), or try later."
        ) from error
    except (
        datasets.exceptions.DatasetsError,
        FileNotFoundError,
        gzip.BadGzipFile,
        ValueError,
        RuntimeError,
        EOFError,
        zlib.error,
    ) as error:
        raise UserError(f"{source.name}: cannot be opened: {_sentence(error)} Check 'config' and 'revision' of this source.") from error
    return dict(loaded) if isinstance(loaded, dict) else {"train": loaded}


def _batches(split: Any, where: str) -> Iterator[dict[str, list[Any]]]:
    """The rows of a split, as columns; what is wrong in the middle of a streamed file shows only here."""
    import datasets

    try:
        yield from split.iter(batch_size=_ROWS)
    except (datasets.exceptions.DatasetsError, ValueError, OSError, EOFError, zlib.error) as error:
        raise UserError(f"{where}: cannot be read: {_sentence(error)} Repair the file, or fetch the data set again.") from error


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text if text.endswith(".") else text + "."


def _field(name: str, batch: dict[str, list[Any]], chosen: str | None, language: str) -> list[str]:
    """The path of keys that leads to a side's text, told by the first rows."""
    columns = _columns(batch)
    candidates = [chosen] if chosen else [language, f"translation.{language}"]
    for candidate in candidates:
        if candidate in columns:
            return columns[candidate]
    key = "source_field or target_field"
    raise UserError(
        f"{name}: has no column {' or '.join(repr(candidate) for candidate in candidates)}. Columns there: {', '.join(columns)}. Set {key}."
    )


def _columns(batch: dict[str, list[Any]]) -> dict[str, list[str]]:
    """Every column with the path of keys to it; nested ones with dots."""
    found: dict[str, list[str]] = {}

    def visit(value: Any, path: list[str]) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                visit(inner, [*path, key])
        else:
            found[".".join(path)] = path

    for name, values in batch.items():
        visit(next((value for value in values if value is not None), None), [name])
    return found


def _column(name: str, batch: dict[str, list[Any]], path: list[str]) -> list[str]:
    values = batch[path[0]]
    for key in path[1:]:
        values = [value.get(key) if value else None for value in values]
    odd = next((value for value in values if isinstance(value, list | dict | bytes)), None)
    if odd is not None:
        raise UserError(
            f"{name}: column '{'.'.join(path)}' has no text, but what is of type {type(odd).__name__}: {str(odd)[:60]}. "
            "Set source_field or target_field."
        )
    return ["" if value is None else str(value) for value in values]
