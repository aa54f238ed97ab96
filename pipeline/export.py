"""Exports a run as SavedModel, .tflite and a page, and checks them against the model: python -m pipeline.export --run RUN"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Sequence
from typing import Any

from pipeline.configuration import Config
from pipeline.runtime.errors import UserError
from pipeline.support.console import add_run_arguments, say
from pipeline.support.files import replacing, write_json, write_text
from pipeline.support.quiet import import_keras
from pipeline.support.run_directory import RunDirectory
from pipeline.support.stages import stage_main


def check_stage(config: Config, run: RunDirectory, web: bool = False) -> None:
    """Refuses what `run_stage` could not do, as far as it is known before the run is trained; `web`: the page is asked for.

    Raises:
        UserError: there is nothing to export, or the page cannot be made.
    """
    wanted = config.export
    if not wanted.saved_model and not wanted.tflite and not wanted.tflite_text:
        raise UserError("export: there is nothing to export. Set export.saved_model to true, or name precisions in export.tflite.")
    if web or wanted.web:
        from pipeline.exporters.web_page import check_page

        check_page(config)


def run_stage(config: Config, run: RunDirectory, web: bool = False) -> None:
    """Writes export/: saved_model/, tflite/ and tflite.zip, tflite_text/ and web/ where they are asked for, report.json and report.html.

    Or nothing, where an artefact does not translate as the model does. A page that is there is made again, asked for or not: it would
    have another model than the other files.

    Raises:
        UserError: an artefact failed its checks (the folder is then as it was before), or the run is not trained.
    """
    check_stage(config, run, web)
    wanted = config.export
    from pipeline.exporters.report_page import report_page
    from pipeline.exporters.web_page import check_page, write_page

    web = web or wanted.web
    lost = None  # why a page that is there cannot be made again
    if not web and run.web.exists():
        try:
            check_page(config)
            web = True
        except UserError as error:
            lost = str(error)
    import_keras()
    from pipeline.exporters.artefacts import export_artefacts

    say("making the artefacts and trying each of them (takes about a minute for a small model) ...")
    with replacing(run.export) as temporary:
        temporary.mkdir()
        report = export_artefacts(config, run, temporary)
        if wanted.tflite:
            shutil.make_archive(str(temporary / run.tflite.name), "zip", temporary, run.tflite.name)
        if web:
            write_page(temporary / run.tflite.name, temporary / run.web.name)
        write_json(temporary / run.export_report.name, report)
        write_text(temporary / run.export_report.with_suffix(".html").name, report_page(f"{config.name}: export", report))
    print("\n".join(report_table(report)))
    if report["not_checked"]:
        say(f"note: {report['not_checked']}")
    if wanted.tflite and config.tokenizer.type != "unigram":
        say("note: the sources in tflite/apps/ read unigram tokenizers alone; with this one, an app needs SentencePiece's own library.")
    if lost:
        say(
            f"note: {run.web} was removed: it had the model of an earlier export, and cannot be made again. {lost}\n"
            f"To have it again, mend this and run: python -m pipeline.export --run {run.root} --web"
        )
    if web:
        say(f"the page: python -m http.server -d {run.web}, then open the address that it shows")


def report_table(report: dict[str, Any]) -> list[str]:
    """The report in short (its schema: pipeline/exporters/artefacts.py)."""
    count = report["sentences"]["count"]
    width = max(map(len, ["model", *report["artefacts"]]))
    lines = [
        f"{'artefact':{width}} {'size':>9} {'same ids':>11} {'BLEU':>7} {'a sentence':>11}",
        f"{'model':{width}} {'':>9} {'':>11} {report['model']['bleu']:>7.2f}",
    ]
    for name, artefact in report["artefacts"].items():
        same = f"{artefact['equal']} of {count}"
        lines.append(
            f"{name:{width}} {artefact['bytes'] / 1e6:>6.1f} MB {same:>11} {artefact['bleu']:>7.2f} {artefact['milliseconds']:>8.1f} ms"
        )
    sentences = report["sentences"]
    return [
        *lines,
        f"{count} sentences of the {sentences['split']} split, {sentences['source_tokens']:g} source tokens in the median; "
        f"beam {report['search']['beam_size']}, one thread, {report['processor']}. Made and checked in {report['seconds']:.0f} s.",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return stage_main("export", __doc__, arguments, add_arguments=_add_arguments)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument("--web", action="store_true", help="also a page that translates in a browser; the same as --set export.web=true")


if __name__ == "__main__":
    raise SystemExit(main())
