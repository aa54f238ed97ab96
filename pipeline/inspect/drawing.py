"""The pictures: matrices of two sentences, layers over time, curves."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipeline.inspect.activity import Activity
from pipeline.support.figures import COLOURS, INK, in_ink, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Matrix = NDArray[np.float32]
_CELL = 0.3  # inches


def matrices(panels: Mapping[str, Matrix], source: Sequence[str], target: Sequence[str]) -> Figure:
    """Matrices [T, S] of target pieces against source pieces, side by side.

    Strength is how opaque a cell is, so that an empty one is white on white and black on black. Negative values are orange.
    """
    from matplotlib.figure import Figure

    width, height = _CELL * len(source), _CELL * len(target)
    figure = Figure(figsize=((width + 0.6) * len(panels) + 1.2, height + 1.4), layout="constrained")
    for number, (title, matrix) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), number + 1)
        _image(axes, matrix)
        axes.set_title(title, fontsize=9)
        axes.set_xticks(range(len(source)), [plain(_shown(piece)) for piece in source], rotation=60, ha="left", rotation_mode="anchor")
        axes.xaxis.tick_top()
        axes.set_yticks(range(len(target)), [] if number else [plain(_shown(piece)) for piece in target])
    return figure


def gate_curves(activities: Sequence[Activity], source: Sequence[str], target: Sequence[str]) -> Figure:
    """How far the gates of each layer are open at each piece: the mean over the units, and the middle half of them as a band."""
    gated = [activity for activity in activities if activity.gates]
    figure, panels = new_figure(max(4.5, 0.45 * max(len(source), len(target)) + 1), 2.0 * max(1, len(gated)), max(1, len(gated)))
    if not gated:
        panels[0].text(0.5, 0.5, "a vanilla RNN has no gates", color=INK, ha="center", transform=panels[0].transAxes)
        panels[0].set_axis_off()
    for axes, activity in zip(panels, gated, strict=False):
        steps = range(len(activity.shown))
        for colour, (name, values) in zip(COLOURS, activity.gates.items(), strict=False):
            axes.fill_between(steps, *np.quantile(values, [0.25, 0.75], axis=1), color=colour, alpha=0.2, linewidth=0)
            axes.plot(steps, values.mean(axis=1), color=colour, label=name, marker="o", markersize=2.5)
        axes.set_ylim(0, 1)
        axes.set_title(activity.layer, fontsize=9)
        axes.set_xticks(steps, _step_names(activity, source, target), rotation=45, ha="right", rotation_mode="anchor")
        axes.legend(frameon=False, labelcolor=INK, fontsize=7, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def unit_map(activity: Activity, source: Sequence[str], target: Sequence[str], units: int = 32) -> Figure:
    """The units of a layer that change most over a sentence, one a row: blue above 0, orange below."""
    liveliest = np.argsort(-activity.shown.std(axis=0))[:units]
    # Neighbours that behave alike make a picture that can be read: sorted by where each is strongest.
    chosen = sorted(liveliest.tolist(), key=lambda unit: int(np.argmax(np.abs(activity.shown[:, unit]))))
    figure, [axes] = new_figure(_CELL * len(activity.shown) + 1.2, 0.13 * len(chosen) + 1.0)
    _image(axes, activity.shown[:, chosen].T, aspect="auto")
    axes.set_title(f"{activity.layer}: units over time", fontsize=9)
    axes.set_xticks(range(len(activity.shown)), _step_names(activity, source, target), rotation=60, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(chosen)), [str(unit) for unit in chosen], fontsize=5)
    axes.set_ylabel("unit")
    return figure


def strips(rows: Sequence[tuple[str, Sequence[str], NDArray[Any]]]) -> Figure:
    """Texts underlined by a unit: for each row a name, the pieces, and a number for each piece; blue above 0, orange below."""
    from matplotlib.patches import Rectangle

    widest = max([40] + [sum(len(_shown(piece)) + 1 for piece in pieces) for _, pieces, _ in rows])
    figure, [axes] = new_figure(0.085 * widest + 0.3, 0.46 * len(rows) + 0.2)
    axes.set_axis_off()
    axes.set_xlim(0, widest)
    axes.set_ylim(-2 * len(rows), 0.2)
    for number, (name, pieces, values) in enumerate(rows):
        axes.text(0, -2 * number, name, color=INK, fontsize=7, va="top")
        place = 0
        for piece, colour in zip(pieces, _colours(np.asarray(values)[None])[0], strict=True):
            shown = _shown(piece)
            axes.add_patch(Rectangle((place, -2 * number - 1.75), len(shown) + 0.9, 0.4, facecolor=colour, linewidth=0))
            axes.text(place + 0.45, -2 * number - 1.05, plain(shown), color=INK, family="monospace", fontsize=7.5, va="center")
            place += len(shown) + 1
    return figure


def decay_curves(curves: Mapping[str, NDArray[np.float64]]) -> Figure:
    """|d loss_T / d s_t| by T - t, s the decoder's states, for one or several models, on a logarithmic scale."""
    figure, [axes] = new_figure(5.6, 3.2)
    for colour, (name, values) in zip(itertools.cycle(COLOURS), curves.items(), strict=False):
        axes.plot(range(len(values)), values, color=colour, label=plain(name), marker="o", markersize=3)
    axes.set_yscale("log")
    axes.set_xlabel("T - t: pieces back from the last one")
    axes.set_ylabel("gradient at the state before step t,\nas a share of that at T")
    axes.legend(frameon=False, labelcolor=INK, fontsize=8)
    axes.grid(color=INK, alpha=0.2, linewidth=0.5)
    return figure


def word_map(places: Matrix, names: Sequence[str]) -> Figure:
    """Words [N] where `Embeddings.map` puts them, [N, 2]."""
    figure, [axes] = new_figure(7.5, 5.5)
    axes.scatter(places[:, 0], places[:, 1], s=5, color=COLOURS[0], linewidth=0)
    for (x, y), name in zip(places, names, strict=True):
        axes.annotate(plain(name), (x, y), xytext=(2, 1), textcoords="offset points", fontsize=6.5, color=INK)
    axes.set_axis_off()
    return figure


def _image(axes: Axes, matrix: Matrix, aspect: Literal["equal", "auto"] = "equal") -> None:
    in_ink(axes)
    axes.imshow(_colours(matrix), aspect=aspect, interpolation="nearest")
    for spine in axes.spines.values():
        spine.set_visible(True)
        spine.set_alpha(0.4)
    axes.tick_params(length=0)


def _colours(matrix: Matrix) -> NDArray[np.float64]:
    """[..., 4] red, green, blue and opacity: blue above 0, orange below; the strongest cell is opaque, unless all are weak."""
    from matplotlib.colors import to_rgb

    strongest = max(float(np.max(np.abs(matrix), initial=0.0)), 1e-9)
    colours = np.where(matrix[..., None] >= 0, to_rgb(COLOURS[0]), to_rgb(COLOURS[4]))
    return np.concatenate([colours, np.abs(matrix)[..., None] / strongest], axis=-1)


def _step_names(activity: Activity, source: Sequence[str], target: Sequence[str]) -> list[str]:
    """What a layer reads at each of its steps."""
    return [plain(_shown(piece)) for piece in (source if activity.side == "source" else ["<s>", *target[:-1]])]


def _shown(piece: str) -> str:
    return piece.replace("▁", "") if len(piece) > 1 else piece.replace("▁", "_")
