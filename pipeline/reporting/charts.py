"""The charts of a run's page, as SVG text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pipeline.support.figures import COLOURS, INK, new_figure, svg_of
from pipeline.support.history import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# A panel: what it is called, its curves (column of history.csv -> name), and whether its scale is logarithmic.
_PANELS: list[tuple[str, dict[str, str], bool]] = [
    ("loss, nats a token", {"train_loss": "training, smoothing included", "validation_loss": "validation"}, False),
    ("BLEU, greedy", {"bleu": "validation"}, False),
    ("learning rate", {"learning_rate": "learning rate"}, False),
    ("gradient norm", {"gradient_norm": "mean", "gradient_norm_max": "largest"}, True),
    ("share", {"clipped": "updates clipped", "padding": "padding"}, False),
    ("target tokens a second", {"tokens_per_second": "tokens a second"}, False),
]


def training_curves(rows: Sequence[Row]) -> str:
    """All that history.csv has, by updates; an older file may lack a column, and then its curve is not drawn."""
    wanted = [panel for panel in _PANELS if any(column in rows[0] for column in panel[1])]
    figure, panels = new_figure(7.0, 1.7 * len(wanted), len(wanted), sharex=True)
    updates = [row["update"] for row in rows]
    for axes, (name, curves, logarithmic) in zip(panels, wanted, strict=True):
        for colour, (column, label) in zip(COLOURS, curves.items(), strict=False):
            if column in rows[0]:
                axes.plot(updates, [row[column] for row in rows], color=colour, label=label, marker="o", markersize=3)
        if logarithmic:
            axes.set_yscale("log")
        axes.set_ylabel(name, fontsize=8)
        _legend(axes)
    best = [row["update"] for row in rows if row["best"]]
    for axes in panels if best else []:
        axes.axvline(best[-1], color=INK, linewidth=0.6, linestyle=":")
    panels[-1].set_xlabel("updates (dotted: the weights that were kept)")
    return svg_of(figure)


def length_chart(source: NDArray[np.int64], target: NDArray[np.int64], limit: int) -> str:
    """How many training sentences have how many pieces [N] on each side, and the model's limit."""
    figure: Figure
    figure, [axes] = new_figure(7.0, 2.4)
    longest = int(max(source.max(initial=1), target.max(initial=1), limit + 1))
    for colour, (name, lengths) in zip(COLOURS, {"source": source, "target": target}.items(), strict=False):
        axes.hist(lengths, bins=list(bins_of(longest)), histtype="step", color=colour, label=name, linewidth=1.4)
    axes.axvline(limit, color=INK, linewidth=0.8, linestyle=":")
    axes.set_yscale("log")
    axes.set_xlabel("pieces of a sentence (dotted: model.max_tokens)")
    axes.set_ylabel("sentences", fontsize=8)
    _legend(axes)
    return svg_of(figure)


def bins_of(longest: int) -> NDArray[np.float64]:
    """Bounds of at most 81 bars for lengths from 0 to `longest`: in whole pieces, or some would hold more lengths than others."""
    width = 1 + longest // 81
    return np.arange(0, longest + 1 + width, width, dtype=np.float64) - 0.5


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, labelcolor=INK, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
