"""Bar charts as SVG text, to stand in a page; readable on white and on black."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.support.figures import COLOURS, INK, new_figure, plain, svg_of


def grouped_bars(groups: Sequence[str], series: Mapping[str, Sequence[float]], axis: str, unit: str) -> str:
    """A chart with a group of bars for each of `groups`, one bar a series.

    Args:
        groups: names along the horizontal axis.
        series: name -> a number for each group.
        axis, unit: what the two axes show.

    Returns:
        An <svg> element.
    """
    figure, [axes] = new_figure(max(4.0, 1.1 * len(groups)), 2.6)
    width = 0.8 / len(series)
    for number, (name, values) in enumerate(series.items()):
        places = [place + (number - (len(series) - 1) / 2) * width for place in range(len(groups))]
        bars = axes.bar(places, values, width * 0.94, label=plain(name), color=COLOURS[number % len(COLOURS)])
        axes.bar_label(bars, fmt="%.1f", fontsize=7, color=INK, padding=1)
    axes.set_xticks(range(len(groups)), [plain(group) for group in groups])
    axes.set_xlabel(axis)
    axes.set_ylabel(unit)
    if len(series) > 1:
        axes.legend(frameon=False, labelcolor=INK, fontsize=8, ncols=min(3, len(series)), loc="lower center", bbox_to_anchor=(0.5, 1.0))
    return svg_of(figure)
