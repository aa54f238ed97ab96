"""The export's report as a page."""

from __future__ import annotations

from typing import Any

from pipeline.support.pages import rendered

SCHEMA_VERSION = 2
"""Of report.json; the schema: pipeline/exporters/artefacts.py."""


def report_page(title: str, report: dict[str, Any]) -> str:
    """The page as HTML; `report` as `pipeline.exporters.artefacts` describes it."""
    # An artefact that is not a .tflite file has neither.
    artefacts = {name: {"measured": None, "ops": None, **artefact} for name, artefact in report["artefacts"].items()}
    lengths: list[str] = []
    for artefact in artefacts.values():
        if artefact["measured"]:
            lengths = list(artefact["measured"]["milliseconds"]["1"])
    return rendered(
        "pipeline.exporters", "report.html.j2", title=title, report={"not_checked": None, **report, "artefacts": artefacts}, lengths=lengths
    )
