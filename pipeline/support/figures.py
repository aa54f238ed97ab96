"""Pictures by matplotlib that can be read on white and on black: no background of their own, grey ink, strong colours."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.runtime.errors import UserError
from pipeline.support.files import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
"""Told apart by people who see few colours as well (Okabe & Ito, 2008), and on any ground."""

INK = "#808080"
ENDINGS = (".svg", ".png", ".pdf")
_DOTS = 160  # an inch of a .png


def new_figure(width: float, height: float, rows: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    """A figure of so many inches with panels one below the other, in grey ink."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    panels = figure.subplots(rows, 1, squeeze=False, **options)[:, 0]
    for axes in panels:
        in_ink(axes)
    return figure, list(panels)


def in_ink(axes: Axes) -> None:
    """Makes an empty panel readable on any ground."""
    axes.set_facecolor("none")
    axes.tick_params(which="both", colors=INK, labelsize=8)
    axes.xaxis.label.set_color(INK)
    axes.yaxis.label.set_color(INK)
    axes.title.set_color(INK)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(INK)


def plain(text: str) -> str:
    """A text of a user, to be shown letter for letter: matplotlib reads what stands between two $ as a formula, such as '%1$d/%2$d', and
    leaves names that begin with '_' out of legends."""
    return ("\u200b" if text.startswith("_") else "") + text.replace("$", r"\$")


def svg_of(figure: Figure) -> str:
    """A figure as an <svg> element; the same figure gives the same text, without a date, and with text as text."""
    file = io.StringIO()
    with _settings():
        figure.savefig(file, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def save_figure(figure: Figure, path: Path) -> None:
    """Writes a figure; the ending says as what.

    Raises:
        UserError: it is none of `ENDINGS`.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UserError(f"{path}: pictures are written as {', '.join(ENDINGS)}; give one of these endings.")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary, _settings():
        kind = path.suffix[1:].lower()
        metadata = {} if kind == "png" else {"Date" if kind == "svg" else "CreationDate": None}
        figure.savefig(temporary, format=kind, transparent=True, bbox_inches="tight", dpi=_DOTS, metadata=metadata)


def _settings() -> Any:
    import matplotlib

    return matplotlib.rc_context({"svg.hashsalt": "pocketnmt", "svg.fonttype": "none"})
