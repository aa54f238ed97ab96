"""Doing the stages of a run, and whether what a stage was made from (stage_table.py) has changed since.

A finished stage leaves a record in `stages.json` (see `Record`). It need not be done again while its keys of the config, its
input files, its code and the results of earlier stages are those of the record, and its own files are still there. Results are
compared by content: a stage that was done again and made the same files leaves later stages alone.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, TypedDict

from pipeline.configuration import Config
from pipeline.runtime.errors import UserError
from pipeline.support.console import add_config_arguments, config_and_run, guarded, say
from pipeline.support.files import read_json, write_json
from pipeline.support.fingerprints import code_fingerprint, input_files, result_fingerprint
from pipeline.support.run_directory import RunDirectory
from pipeline.support.stage_table import STAGES, Stage, stages_of

SCHEMA_VERSION = 1


def _needs(stage: Stage, config: Config) -> list[str]:
    """The stages whose files a stage reads, with this config."""
    asked_for = stages_of(config)
    return [needed for needed in stage.needs if needed in asked_for]


class Record(TypedDict):
    """What is kept of a finished stage in `stages.json`: {"schema_version": 1, "stages": {name: Record}}."""

    config: dict[str, Any]  # "section.key" -> value, of the keys that it reads
    inputs: dict[str, list[int] | None]  # local corpus file -> [bytes, time of change in ns]
    code: str  # hash of the code
    needs: dict[str, str]  # earlier stage -> its `result`
    files: dict[str, int]  # what it made -> bytes
    result: str  # hash of what later stages read of it
    seconds: float  # of the run that finished it
    finished: str  # time, ISO 8601, UTC


# The options that every stage's command has.
_SHARED = ("config", "run", "overrides", "artifacts")


def perform(name: str, config: Config, run: RunDirectory, *, store_config: bool = True, **options: Any) -> float:
    """Does a stage, changed or not, and records it; gives back its seconds.

    A stage may have a function `finished(config, run)`, which is called when it is recorded.

    Args:
        store_config: keep `config` as the run's own; not for a command that only tries other values on a finished run.
        options: of that stage alone, handed to its `run_stage`.

    Raises:
        UserError: an earlier stage is not done, or was done with another config; or whatever the stage itself finds wrong.
    """
    with run.locked():
        return _perform(STAGES[name], config, run, store_config, options)


def _perform(stage: Stage, config: Config, run: RunDirectory, store_config: bool, options: dict[str, Any]) -> float:
    for needed in _needs(stage, config):
        require(run, config, needed)
    # The record goes first: if the stage is stopped half-way, its files are neither the old ones nor the new ones.
    records = load_records(run)
    before = records.pop(stage.name, None)
    _store_records(run, records)
    # What a training has left, finished or in progress, needs its own config until others take its place.
    if store_config and not run.checkpoints.exists():
        run.store_config(config)
    made_from = _made_from(stage, config, records)
    start = time.monotonic()
    module = importlib.import_module(f"pipeline.{stage.name}")
    try:
        module.run_stage(config, run, **options)
    except BaseException:
        if before is not None and _untouched(stage, before, run):
            _store_records(run, records | {stage.name: before})
        raise
    seconds = time.monotonic() - start
    records[stage.name] = Record(
        config=made_from["config"],
        inputs=made_from["inputs"],
        code=made_from["code"],
        needs=made_from["needs"],
        files={path: (run.root / path).stat().st_size for path in _files(stage, run)},
        result=result_fingerprint(run.root, stage.result),
        seconds=round(seconds, 2),
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    _store_records(run, records)
    tidy_up(stage.name, config, run)
    if store_config and stage.name in ("train", "evaluate", "export"):
        run.store_config(config)
    return seconds


def tidy_up(name: str, config: Config, run: RunDirectory) -> None:
    """What a stage has to do when it is recorded; again where a process was killed before that, and the stage need not be done again."""
    module = importlib.import_module(f"pipeline.{name}")
    if hasattr(module, "finished"):
        module.finished(config, run)


def _untouched(stage: Stage, record: Record, run: RunDirectory) -> bool:
    """Whether a stage that has failed, such as for want of memory, has left what it had made before as it was."""
    return bool(stage.result) and _missing(record, run) is None and result_fingerprint(run.root, stage.result) == record["result"]


def check_ahead(config: Config, run: RunDirectory, names: Sequence[str]) -> None:
    """Looks at once for what one of these stages would miss only hours later, when the others are done.

    A stage may have functions `check_stage(config, run)` and, for what is known only of prepared data, `check_data(config, run)` beside
    its `run_stage`.

    Raises:
        UserError: of such a function.
    """
    for name in names:
        module = importlib.import_module(f"pipeline.{name}")
        for check in ("check_stage", "check_data")[: 1 if "prepare" in names else 2]:
            if hasattr(module, check):
                getattr(module, check)(config, run)


def changes(name: str, config: Config, run: RunDirectory) -> str | None:
    """Why a stage must be done, in words; None if nothing has changed since it was."""
    stage, records = STAGES[name], load_records(run)
    record = records.get(name)
    if record is None:
        return "not done yet"
    now = _made_from(stage, config, records)
    if different := "; ".join(_differences(record["config"], now["config"], "before", "now")):
        return different
    if moved := [path for path in sorted({*record["inputs"], *now["inputs"]}) if record["inputs"].get(path) != now["inputs"].get(path)]:
        return f"{', '.join(moved[:3])}{' …' if len(moved) > 3 else ''} changed"
    if again := [needed for needed in _needs(stage, config) if record["needs"].get(needed) != now["needs"].get(needed)]:
        return f"there is a new result of {' and '.join(again)}"
    if record["code"] != now["code"]:
        return "its code has changed"
    if gone := _missing(record, run):
        return f"{gone} is missing or was changed by hand"
    return None


def require(run: RunDirectory, config: Config, name: str) -> None:
    """Checks that a stage, and all that it needs, is done and fits `config`; changed code or input files do not matter.

    Raises:
        UserError: it is not; the message says what to run.
    """
    stage = STAGES[name]
    for needed in _needs(stage, config):
        require(run, config, needed)
    records = load_records(run)
    record, command = records.get(name), f"python -m pipeline.{name} CONFIG"
    if record is None:
        raise UserError(f"{run.root}: the stage '{name}' is not done yet. First run: {command}")
    if different := list(_differences(record["config"], _values(config, stage), "there", "in this config")):
        raise UserError(
            f"{run.root}: '{name}' was done with another config: {'; '.join(different)}. "
            "Do again what has changed (python -m pipeline.run CONFIG), or give this config another name."
        )
    if again := [needed for needed in _needs(stage, config) if record["needs"].get(needed) != records[needed]["result"]]:
        raise UserError(f"{run.root}: '{again[0]}' was done again after '{name}', with another result. Run: {command}")
    if gone := _missing(record, run):
        raise UserError(f"{run.root / gone}: is missing or was changed by hand. Make it again: {command}")


def stage_main(
    name: str,
    description: str | None,
    arguments: Sequence[str] | None = None,
    add_arguments: Callable[[argparse.ArgumentParser], None] = add_config_arguments,
) -> int:
    """The command of a stage, `python -m pipeline.<name>`: always does it, and records it; gives back the exit status.

    Args:
        add_arguments: `add_config_arguments`, or `add_run_arguments` for a stage that takes a finished run, and options of the stage's
            own, which go to its `run_stage` by name.
    """
    parser = argparse.ArgumentParser(prog=f"python -m pipeline.{name}", description=description)
    add_arguments(parser)
    options = parser.parse_args(arguments)

    def command() -> int:
        config, run = config_and_run(options)
        own = {key: value for key, value in vars(options).items() if key not in _SHARED}
        perform(name, config, run, store_config=getattr(options, "run", None) is None, **own)
        say(f"{name}: done, in {run.root}")
        return 0

    return guarded(command, goes_on=True)


def load_records(run: RunDirectory) -> dict[str, Record]:
    """The records of the finished stages, by name."""
    if not run.stages.exists():
        return {}
    value = read_json(run.stages)
    if value.get("schema_version") != SCHEMA_VERSION or not isinstance(value.get("stages"), dict):
        raise UserError(f"{run.stages}: was written by another version of this program. Remove it to do all stages again.")
    return value["stages"]


def _store_records(run: RunDirectory, records: dict[str, Record]) -> None:
    write_json(run.stages, {"schema_version": SCHEMA_VERSION, "stages": records})


def _made_from(stage: Stage, config: Config, records: dict[str, Record]) -> dict[str, Any]:
    """The part of a record that is known before the stage is done."""
    return {
        "config": _values(config, stage),
        "inputs": {} if stage.needs else input_files(config),
        "code": code_fingerprint(f"pipeline.{stage.name}", stage.code_left_out),
        "needs": {needed: records[needed]["result"] for needed in _needs(stage, config) if needed in records},
    }


def _values(config: Config, stage: Stage) -> dict[str, Any]:
    """The values that a stage depends on, "section.key" -> value."""
    everything = dict(_flat(config.model_dump(mode="json")))

    def within(key: str, sections: tuple[str, ...]) -> bool:
        return any(key == section or key.startswith(f"{section}.") for section in sections)

    return {key: value for key, value in everything.items() if within(key, stage.keys) and not within(key, stage.keys_left_out)}


def _flat(section: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in section.items():
        if isinstance(value, list) and any(isinstance(element, dict) for element in value):
            value = {str(number): element for number, element in enumerate(value)}
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _differences(found: dict[str, Any], wanted: dict[str, Any], there: str, here: str) -> Iterator[str]:
    """Every key whose values differ, with both of them."""
    for key in sorted({*found, *wanted}):
        if found.get(key) != wanted.get(key):
            values = [str(value) if len(str(value)) <= 60 else f"{str(value)[:57]}..." for value in (found.get(key), wanted.get(key))]
            yield f"{key}: {values[0]} {there}, {values[1]} {here}"


def _files(stage: Stage, run: RunDirectory) -> list[str]:
    return sorted({str(path.relative_to(run.root)) for glob in stage.files for path in run.root.glob(glob) if path.is_file()})


def _missing(record: Record, run: RunDirectory) -> str | None:
    """The first file that a stage has made and that is not there any more as it was."""
    for path, size in record["files"].items():
        if not (run.root / path).is_file() or (run.root / path).stat().st_size != size:
            return path
    return None
