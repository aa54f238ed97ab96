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


def translations_of(systems: Sequence[str], split: str, test: TestSet) -> dict[str, list[str]]:
    """The translations of a test set by runs and from files; a run that has not translated it yet does so now.

    Args:
        systems: paths of runs, or of text files with a translation a line; NAME=PATH gives one another name than its path's last part.
        split: of the runs, where the test set comes from; empty where there are files alone.
        test: the test set.

    Returns:
        name -> translations.

    Raises:
        UserError: two have one name, a file has another number of lines, or a run has other sentences in that split, or there is a run
            where files alone are expected.
    """
    found: dict[str, list[str]] = {}
    for system in systems:
        before, equals, after = system.partition("=")
        path = Path(after if equals else system)
        name = before if equals else path.name
        if name in found:
            raise UserError(f"two systems are called '{name}'. Name one of them otherwise: another-name={path}")
        if path.is_dir() and not split:
            raise UserError(f"{path}: is a folder; expected a file with a translation a line. Runs are compared with --run A --against B.")
        found[name] = of_run(RunDirectory.existing(path), split, test) if path.is_dir() else of_file(path, test)
    return found


def of_run(run: RunDirectory, split: str, test: TestSet, config: Config | None = None) -> list[str]:
    """The translations of a run, which it makes now if it has not, or not with its present weights and these settings.

    Args:
        run: trained.
        split: of it.
        test: the sentences that it is expected to have there.
        config: default: the run's own.

    Raises:
        UserError: it has others.
    """
    if config is None:
        config = run.load_config()
        if split not in config.evaluation.splits:
            config = run.load_config([f"evaluation.splits=[{split}]"])
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
    """A translation a line."""
    lines = list(read_lines(path, remedy=_REMEDY))
    if len(lines) != len(test.references):
        raise UserError(f"{path} has {len(lines):,} lines, but there are {len(test.references):,} sentences: they must match line by line.")
    return lines
