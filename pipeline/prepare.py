"""Turns the corpora of a config into cleaned, split tables: python -m pipeline.prepare CONFIG"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.configuration import Config
from pipeline.support.run_directory import RunDirectory
from pipeline.support.stages import stage_main


def run_stage(config: Config, run: RunDirectory) -> None:
    """Writes the run's tables and data/report.json, and prints the report.

    Raises:
        UserError: a source cannot be read, or nothing is left of it.
    """
    from pipeline.data.corpus import prepare_corpus
    from pipeline.data.report import report_lines

    print("\n".join(report_lines(prepare_corpus(config.data, run))))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return stage_main("prepare", "Read, clean and split the corpora of a config.", arguments)


if __name__ == "__main__":
    raise SystemExit(main())
