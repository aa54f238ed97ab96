"""What other systems made of the same test set: other runs, or files of finished translations."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.configuration import Config
from pipeline.data.sources.lines import read_lines
from pipeline.decoding.evaluation import read_hypotheses
from pipeline.runtime.errors import UserError
from pipeline.scoring.systems import TestSet
from pipeline.support.run_directory import RunDirectory
from pipeline.support.stages import changes, perform

_REMEDY = "Convert the file: iconv -t UTF-8."


def named(systems: Sequence[str]) -> dict[str, Path]:
    """Other systems by name: paths of runs or of text files; NAME=PATH gives one another name than its path's last part.

    Raises:
        UserError: two have one name.
    """
    found: dict[str, Path] = {}
    for system in systems:
        name, equals, path = system.partition("=")
        if not equals or "/" in name or Path(system).exists():  # a path may have such a sign, too
            name, path = Path(system).name, system
        if name in found:
            raise UserError(f"two systems are called '{name}'. Name one of them otherwise: another-name={path}")
        found[name] = Path(path)
    return found


def of_run(run: RunDirectory, split: str, test: TestSet, config: Config | None = None, splits: Sequence[str] = ()) -> list[str]:
    """The translations of a run, which it makes now if it has not, or not with its present weights and these settings.

    Args:
        run: trained.
        split: of it.
        test: the sentences that it is expected to have there.
        config: default: the run's own.
        splits: all that will be asked for, to be translated in one go.

    Raises:
        UserError: it has others.
    """
    if config is None:
        config = run.load_config()
        if not {split, *splits} <= set(config.evaluation.splits):
            config = run.load_config([f"evaluation.splits=[{', '.join(splits or [split])}]"])
    if changes("evaluate", config, run) is not None:
        with contextlib.redirect_stdout(sys.stderr):  # what is asked for is the comparison
            perform("evaluate", config, run, store_config=False)
    sources, hypotheses, references, _ = read_hypotheses(run.hypotheses / f"{split}.tsv")
    if (sources, references) != (list(test.sources), list(test.references)):
        raise UserError(
            f"{run.root}: has other sentences in its {split} split ({len(sources):,}, here {len(test.sources):,}). Only systems that "
            "translated the same ones can be compared: let it translate them, and give the file of its translations."
        )
    return hypotheses


def of_file(path: Path, test: TestSet) -> list[str]:
    """The translations in a text file, one a line.

    Raises:
        UserError: it cannot be read, or has another number of lines.
    """
    if path.is_dir():
        raise UserError(f"{path}: is a folder; expected a file with a translation a line. Runs are compared with --run A --against B.")
    lines = list(read_lines(path, remedy=_REMEDY))
    if len(lines) != len(test.references):
        raise UserError(f"{path} has {len(lines):,} lines, but there are {len(test.references):,} sentences: they must match line by line.")
    return lines
