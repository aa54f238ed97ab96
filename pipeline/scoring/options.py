"""The options of `python -m pipeline.evaluate`, and which of them exclude each other."""

from __future__ import annotations

import argparse
from pathlib import Path

from pipeline.support.console import add_engine_argument, add_ensemble_argument, add_set_argument
from pipeline.support.run_directory import SPLITS


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m pipeline.evaluate",
        description="Score translations with sacreBLEU: of a run's splits, of a file that the run translates (--source, --references), "
        "or finished ones (--hypotheses, --references). Several systems on one test set are compared with the first: the run with those "
        "of --against, or the files of --hypotheses among themselves.",
    )
    options.add_argument("--run", metavar="RUN", help="folder of a run, such as artifacts/quickstart")
    add_set_argument(options)
    add_ensemble_argument(options, "; the scores are shown, not stored")
    add_engine_argument(options)
    options.add_argument(
        "--against",
        nargs="+",
        action="extend",
        default=[],
        metavar="SYSTEM",
        help="other systems: runs, or files with a translation a line; NAME=PATH gives one a name",
    )
    options.add_argument(
        "--tokenized-bleu",
        action="store_true",
        help="also BLEU of lower-cased, Moses-tokenised text; the same as --set evaluation.tokenized_bleu=true",
    )
    options.add_argument(
        "--comet",
        metavar="COMMAND",
        help="also COMET, by this command, such as 'comet/bin/comet-score --gpus 0'; --hypotheses need --source for it",
    )
    options.add_argument("--split", action="append", choices=SPLITS, help="a split of the run, as often as needed (default: the config's)")
    options.add_argument("--source", type=Path, metavar="FILE", help="text for the run to translate, a sentence a line")
    options.add_argument(
        "--hypotheses",
        nargs="+",
        action="extend",
        default=[],
        metavar="FILE",
        help="finished translations, a sentence a line; or NAME=FILE",
    )
    options.add_argument("--references", type=Path, metavar="FILE", help="the right translations, line by line")
    options.add_argument("--page", type=Path, metavar="FILE", help="of several systems: write a page with charts and sentences (.html)")
    options.add_argument(
        "--language", default="", metavar="CODE", help="target language of --hypotheses, for BLEU's tokenisation (default: that of --run)"
    )
    return options


def misfit(options: argparse.Namespace) -> str | None:
    """What does not go together among the options; None = nothing."""
    text = options.source is not None
    if options.references is None and (text or options.hypotheses):
        return "--source and --hypotheses need --references"
    if options.references is not None and not (text or options.hypotheses):
        return "--references goes with --source or --hypotheses"
    if options.references is not None and options.split:
        return "--split and --references exclude each other"
    if not options.hypotheses and options.run is None:
        return "expected --run RUN, or --hypotheses FILE --references FILE"
    if options.overrides and options.hypotheses:
        return "--set and --hypotheses exclude each other: finished translations are scored as they are"
    if options.language and not options.hypotheses:
        return "--language goes with --hypotheses: a run's language stands in its config"
    if options.ensemble and options.hypotheses:
        return "--ensemble and --hypotheses exclude each other: finished translations need no runs"
    if options.against and (options.hypotheses or options.ensemble or text):
        return "--against goes with --run alone: further files of translations follow --hypotheses"
    if options.against and options.engine is not None:
        return "--engine goes with --run alone; write its translations to a file, and compare that: --against NAME=FILE"
    if text and options.hypotheses and options.run is not None:
        return "--run, --source and --hypotheses exclude each other: finished translations need no run; --language names theirs"
    if options.engine is not None and options.hypotheses:
        return "--engine and --hypotheses exclude each other: finished translations need no engine"
    if options.page is not None and not (options.against or options.hypotheses):
        return "--page goes with --against or --hypotheses; of a run alone there is one beside its hypotheses"
    return None
