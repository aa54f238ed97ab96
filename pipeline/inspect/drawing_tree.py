"""The picture of a beam search as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.inspect.beam_tree import Node
from pipeline.inspect.reading import END
from pipeline.support.figures import COLOURS, INK, new_figure, plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ACROSS, _DOWN = 0.85, 0.24  # inches a piece, inches a leaf


def tree_figure(root: Node) -> Figure:
    """The tree from left to right, one column a piece: what won is blue, what was kept for a while is grey; at its end each its score."""
    figure, [axes] = new_figure(_ACROSS * (root.depth + 1.6), max(1.2, _DOWN * root.leaves + 0.3))
    axes.set_axis_off()
    _draw(axes, root, 0, 0.0)
    axes.set_xlim(-0.3, root.depth + 1.3)
    axes.set_ylim(-root.leaves + 0.2, 0.8)
    return figure


def _draw(axes: Axes, node: Node, depth: int, top: float) -> float:
    """Draws a node at the height `top`, and what it grew into from there downwards, the first child level with it; gives back `top`."""
    below = top
    for child in node.children:
        height = _draw(axes, child, depth + 1, below)
        colour, width = (COLOURS[0], 1.6) if child.best else (INK, 0.6)
        axes.plot([depth + 0.42, depth + 0.58], [top, height], color=colour, linewidth=width, solid_capstyle="round")
        below -= child.leaves
    colour = COLOURS[0] if node.best else INK
    name = "<s>" if depth == 0 else node.piece.replace("▁", "") or "_"
    axes.text(depth, top, plain(name), color=colour, fontsize=7.5, ha="center", va="center", fontweight="bold" if node.best else "normal")
    if node.score is not None:
        axes.text(depth + (0.45 if name == END else 0.6), top, f"{node.score:.2f}", color=colour, fontsize=7, va="center")
    return top
