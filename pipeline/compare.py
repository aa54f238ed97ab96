"""Trains and scores variations of one config and prints a table: python -m pipeline.compare FILE. Killed, the same command goes on."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.comparison.fresh_process import do_stages_in_fresh_process
from pipeline.comparison.plan import Plan, Variation, load_plan
from pipeline.comparison.results import Result, read_result
from pipeline.comparison.stages import COMPARED
from pipeline.comparison.tables import as_json, as_markdown
from pipeline.support.console import add_set_argument, guarded, say
from pipeline.support.files import write_json, write_text
from pipeline.support.run_directory import RunDirectory
from pipeline.support.stages import check_ahead


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status is 1 where a variation failed."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.compare", description=__doc__)
    parser.add_argument("file", metavar="FILE", type=Path, help="what is compared (its form: pipeline/comparison/plan.py)")
    add_set_argument(parser)
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="folder of the comparison's folder (default: artifacts)")
    parser.add_argument(
        "--only",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME",
        help="train and score these variations alone; the table shows all (FILE goes before this option)",
    )
    options = parser.parse_args(arguments)

    def command() -> int:
        plan = load_plan(options.file, options.overrides, options.artifacts)
        chosen = plan.chosen(options.only)
        for variation in chosen:
            check_ahead(variation.config, variation.run, COMPARED)
        with RunDirectory(plan.folder).locked():
            return compare(plan, chosen)

    return guarded(command, goes_on=True)


def compare(plan: Plan, chosen: Sequence[Variation]) -> int:
    """Does the chosen variations, one after the other, and keeps the tables up to date; prints them at the end."""
    results = {variation.name: result for variation in plan.variations if (result := read_result(variation)) is not None}
    failures: dict[str, str] = {}
    for number, variation in enumerate(chosen, start=1):
        heading = f"[{number}/{len(chosen)}] {variation.name}"
        if variation.name in results:
            say(f"{heading}: skipped, nothing has changed")
            variation.run.store_config(variation.config)  # it may have, in what no stage depends on
            continue
        say(heading)
        others = [other.run for other in plan.variations if other is not variation]
        failure = do_stages_in_fresh_process(variation.config, variation.run, others)
        result = read_result(variation)
        if failure is not None or result is None:
            failures[variation.name] = failure or "its files were changed meanwhile"
        else:
            results[variation.name] = result
        _write(plan, results, failures)
    print(_write(plan, results, failures), end="")
    for name, failure in failures.items():
        say(f"{name} failed: {failure}")
    say(f"the tables are in {plan.folder}: comparison.md and comparison.json")
    return 1 if failures else 0


def _write(plan: Plan, results: dict[str, Result], failures: dict[str, str]) -> str:
    """Writes what is known so far; gives back the Markdown."""
    markdown = as_markdown(plan, results, failures)
    write_text(plan.folder / "comparison.md", markdown)
    write_json(plan.folder / "comparison.json", as_json(plan, results, failures))
    return markdown


if __name__ == "__main__":
    raise SystemExit(main())
