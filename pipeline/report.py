"""Writes a page of a run, complete in itself: config, corpus, curves, scores, translations, attention: python -m pipeline.report RUN"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.support.console import guarded, say
from pipeline.support.files import write_text
from pipeline.support.quiet import import_keras
from pipeline.support.run_directory import RunDirectory


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.report", description="Write a page of a run, whatever it has so far.")
    parser.add_argument("run", metavar="RUN", help="folder of a run, such as artifacts/quickstart")
    parser.add_argument("--output", type=Path, metavar="FILE", help="the page (default: RUN/report.html)")
    options = parser.parse_args(arguments)

    def command() -> int:
        run = RunDirectory.existing(options.run)
        config = run.load_config()  # a mistake in it is answered before Keras is there
        import_keras()
        from pipeline.reporting.page import run_page

        path = options.output or run.root / "report.html"
        page = run_page(run, config)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, page)
        say(f"written: {path}")
        return 0

    return guarded(command)


if __name__ == "__main__":
    raise SystemExit(main())
