"""The export's report as a page."""

from __future__ import annotations

from typing import Any


def report_page(title: str, report: dict[str, Any]) -> str:
    """The page as HTML; `report` as `pipeline.exporters.artefacts` describes it."""
    from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=PackageLoader("pipeline.exporters", "."),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # An artefact that is not a .tflite file has neither.
    artefacts = {name: {"measured": None, "ops": None, **artefact} for name, artefact in report["artefacts"].items()}
    lengths: list[str] = []
    for artefact in artefacts.values():
        if artefact["measured"]:
            lengths = list(artefact["measured"]["milliseconds"]["1"])
    return environment.get_template("report.html.j2").render(title=title, report={**report, "artefacts": artefacts}, lengths=lengths)
