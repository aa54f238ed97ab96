"""A panel for notebooks: type a sentence, see its translations with confidence and attention; change the search while looking."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from markupsafe import Markup, escape

from pipeline.decoding.translation import Translation
from pipeline.decoding.translator import Translator
from pipeline.inspect.pictures import attention_picture
from pipeline.inspect.reading import Reader
from pipeline.runtime.errors import UserError
from pipeline.support.figures import svg_of

_WIDEST = 12


def n_best(reader: Reader, text: str, beam_size: int = 4, length_penalty: float = 1.0, best: int = 4) -> list[Translation]:
    """The best translations of a sentence, whatever the run's own search is.

    Args:
        reader: of a run.
        text: a sentence; of an empty one there are none.
        beam_size, length_penalty: of the search.
        best: how many, at most as many as the beam has.
    """
    if not (text := reader.cleaned(text)):
        return []
    [found] = translator_with(reader, beam_size, length_penalty, best).alternatives([text])
    return found


def translator_with(reader: Reader, beam_size: int, length_penalty: float, best: int) -> Translator:
    """A run's model with another search; see `n_best`."""
    search = dataclasses.replace(
        reader.translator.search, beam_size=beam_size, length_penalty=length_penalty, best=max(1, min(best, beam_size))
    )
    return Translator(reader.model, reader.tokenizer, search)


def translations_table(found: Sequence[Translation]) -> Markup:
    """Translations as an HTML table: text, score, and confidence (the geometric mean of the pieces' probabilities)."""
    rows = [
        Markup("<tr><td style='text-align:left'>{}</td><td>{:.2f}</td><td>{:.0%}</td></tr>").format(
            one.text, one.score, math.exp(one.log_prob / max(one.tokens, 1))
        )
        for one in found
    ]
    head = Markup("<tr><th style='text-align:left'>translation</th><th>score</th><th>confidence</th></tr>")
    return Markup("<table>{}{}</table>").format(head, Markup("").join(rows))


class TranslationPanel:
    """The panel; a notebook shows it where it is the last line of a cell.

    Args:
        reader: of a run.
        text: what stands in it at first.

    Raises:
        UserError: ipywidgets is not installed.
    """

    def __init__(self, reader: Reader, text: str = "") -> None:
        try:
            import ipywidgets as widgets
        except ImportError:
            raise UserError("the panel needs a package more: pip install ipywidgets") from None
        self._reader = reader
        self._translators: dict[tuple[int, float], Translator] = {}  # a search is compiled once
        self.text = widgets.Text(value=text, description="text", layout=widgets.Layout(width="44em"), continuous_update=False)
        self.beam = widgets.IntSlider(4, 1, _WIDEST, description="beam", continuous_update=False)
        self.penalty = widgets.FloatSlider(1.0, min=0.0, max=2.0, step=0.1, description="penalty", continuous_update=False)
        self.words = widgets.Checkbox(True, description="join pieces to words")
        self.table, self.picture = widgets.HTML(), widgets.HTML()
        controls = widgets.HBox([self.beam, self.penalty, self.words])
        self._whole = widgets.VBox([self.text, controls, self.table, self.picture])
        for control in (self.text, self.beam, self.penalty, self.words):
            control.observe(self._changed, names="value")
        self._changed()

    def _changed(self, _: Any = None) -> None:
        try:
            found = self._translations()
            self.table.value, self.picture.value = str(translations_table(found)) if found else "", ""
            reading = self._reader.read(self.text.value, found[0].text) if found and found[0].text else None
            self.picture.value = svg_of(attention_picture(reading, self.words.value)) if reading else ""
        except UserError as error:
            self.picture.value = str(escape(error))

    def _translations(self) -> list[Translation]:
        if not (text := self._reader.cleaned(self.text.value)):
            return []
        wanted = self.beam.value, self.penalty.value
        if wanted not in self._translators:
            self._translators[wanted] = translator_with(self._reader, *wanted, best=self.beam.value)
        [found] = self._translators[wanted].alternatives([text])
        return found

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self._whole._repr_mimebundle_(**options)
