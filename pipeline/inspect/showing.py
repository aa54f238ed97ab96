"""How a notebook shows a figure: as SVG, whatever its settings are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.support.figures import svg_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Shown:
    """A figure that a notebook draws where this is the last line of a cell."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure

    def _repr_svg_(self) -> str:
        return svg_of(self.figure)
