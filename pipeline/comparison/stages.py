"""The stages of a variation: skipped when nothing has changed, copied from another variation where they would make the same."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from pipeline.configuration import Config
from pipeline.support.console import say
from pipeline.support.files import replacing, write_json
from pipeline.support.run_directory import RunDirectory
from pipeline.support.stage_table import STAGES, stages_of
from pipeline.support.stages import SCHEMA_VERSION, changes, check_ahead, load_records, perform, tidy_up

COMPARED = ("prepare", "tokenize", "diversify", "train", "evaluate")
SHARED = ("prepare", "tokenize", "diversify", "train")
"""What a variation may take over from another one, the training too: those that differ in decoding alone compare it on the same weights."""


def is_done(config: Config, run: RunDirectory) -> bool:
    """Whether a variation is trained and scored, and nothing has changed since."""
    return all(changes(name, config, run) is None for name in _compared(config))


def do_stages(config: Config, run: RunDirectory, others: Sequence[RunDirectory]) -> None:
    """Does what a variation lacks.

    Args:
        config: of the variation.
        run: its folder.
        others: runs of other variations, whether they exist or not.

    Raises:
        UserError: what a stage finds wrong.
    """
    compared = _compared(config)
    for number, name in enumerate(compared):
        reason = changes(name, config, run)
        if reason is None:
            tidy_up(name, config, run)
            continue
        check_ahead(config, run, compared[number:])
        other = _done_elsewhere(name, config, run, others)
        if other is not None:
            say(f"{name}: as in {other.root}")
            _take_over(name, run, other)
            run.store_config(config)
        else:
            say(f"{name} ({reason})")
            perform(name, config, run)
    run.store_config(config)  # also where it changed in what no stage depends on


def _compared(config: Config) -> list[str]:
    return [name for name in stages_of(config) if name in COMPARED]


def _done_elsewhere(name: str, config: Config, run: RunDirectory, others: Sequence[RunDirectory]) -> RunDirectory | None:
    """A run that has done the stage just as this one would: with the same keys, inputs, code and results of earlier stages."""
    # Earlier weights are set aside, with what belongs to them, by the stages themselves.
    if name not in SHARED or run.best_weights.exists():
        return None
    results = _results(name, run)
    return next((other for other in others if results == _results(name, other) and changes(name, config, other) is None), None)


def _results(name: str, run: RunDirectory) -> list[str | None]:
    """Hashes of the results that a stage builds on."""
    records = load_records(run)
    return [records[needed]["result"] if needed in records else None for needed in STAGES[name].needs]


def _take_over(name: str, run: RunDirectory, other: RunDirectory) -> None:
    """Copies the files that a stage has made elsewhere, then its record: without that, whatever is there counts for nothing."""
    with run.locked():
        records, record = load_records(run), load_records(other)[name]
        for path in record["files"]:
            with replacing(run.root / path) as temporary:
                shutil.copyfile(other.root / path, temporary)
        write_json(run.stages, {"schema_version": SCHEMA_VERSION, "stages": {**records, name: record}})
