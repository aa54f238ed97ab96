"""Bar charts as SVG text, to stand in a page; readable on white and on black."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence

# Told apart by people who see few colours as well (Okabe & Ito, 2008), and on any ground.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9")
_INK = "#808080"


def grouped_bars(groups: Sequence[str], series: Mapping[str, Sequence[float]], axis: str, unit: str) -> str:
    """A chart with a group of bars for each of `groups`, one bar a series.

    Args:
        groups: names along the horizontal axis.
        series: name -> a number for each group.
        axis, unit: what the two axes show.

    Returns:
        An <svg> element.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(max(4.0, 1.1 * len(groups)), 2.6))
    axes = figure.add_subplot()
    width = 0.8 / len(series)
    for number, (name, values) in enumerate(series.items()):
        places = [place + (number - (len(series) - 1) / 2) * width for place in range(len(groups))]
        bars = axes.bar(places, values, width * 0.94, label=name, color=COLOURS[number % len(COLOURS)])
        axes.bar_label(bars, fmt="%.1f", fontsize=7, color=_INK, padding=1)
    axes.set_xticks(range(len(groups)), groups)
    axes.set_xlabel(axis, color=_INK)
    axes.set_ylabel(unit, color=_INK)
    axes.tick_params(colors=_INK, labelsize=8)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(_INK)
    if len(series) > 1:
        axes.legend(frameon=False, labelcolor=_INK, fontsize=8, ncols=min(3, len(series)), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return _svg(figure)


def _svg(figure: object) -> str:
    """The same figure gives the same text, without a date, and with text as text."""
    import matplotlib

    file = io.StringIO()
    with matplotlib.rc_context({"svg.hashsalt": "pocketnmt", "svg.fonttype": "none"}):
        figure.savefig(file, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})  # type: ignore[attr-defined]
    text = file.getvalue()
    return text[text.index("<svg") :]
