"""One page, complete in itself, that looks into a run from all sides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from markupsafe import Markup

from pipeline import __version__
from pipeline.data.tables import load_split
from pipeline.inspect import pictures
from pipeline.inspect.embeddings import Embeddings
from pipeline.inspect.reading import Reader, Reading
from pipeline.runtime.errors import UserError
from pipeline.support.console import say
from pipeline.support.figures import svg_of
from pipeline.support.files import write_text
from pipeline.support.pages import rendered
from pipeline.support.run_directory import RunDirectory

if TYPE_CHECKING:
    from datasets import Dataset
    from matplotlib.figure import Figure

SHOWN = 3
"""Sentences, where none are given."""

_WORDS = 12
"""Frequent words whose neighbours are listed."""


@dataclass
class Sentence:
    """A sentence of the page with its pictures.

    Attributes:
        reading: the sentence.
        charts: heading, what it shows, <svg>.
    """

    reading: Reading
    charts: list[tuple[str, str, Markup]] = field(default_factory=list)


def write_inspection(reader: Reader, run: RunDirectory, texts: Sequence[str] = (), path: Path | None = None) -> Path:
    """Writes the page, to `path` or to RUN/inspection/index.html; gives back where it is.

    Args:
        reader: of the run.
        run: the run.
        texts: sentences to look at; without any, some of the validation split.
        path: of the page.

    Raises:
        UserError: a text cannot be read (see `Reader.read`).
    """
    table = load_split(run, "validation")
    path = path or run.root / "inspection" / "index.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    sentences = [_sentence(reader, text) for text in texts or typical(reader.readable(table["source"]), SHOWN)]
    say(f"{len(sentences)} sentences drawn; the whole run")
    page = rendered(
        "pipeline.inspect",
        "page.html.j2",
        title=f"Inside {reader.config.name}",
        version=__version__,
        languages=f"{reader.config.data.source_language} to {reader.config.data.target_language}",
        parameters=reader.model.count_params(),
        sentences=sentences,
        charts=_of_the_run(reader, table, sentences),
        neighbours=_neighbours(reader),
    )
    write_text(path, page)
    return path


def typical(texts: Sequence[str], count: int) -> list[str]:
    """Texts of 6 to 12 words, spread evenly: short enough for a picture, and long enough for something to happen.

    Where no text has so many words, as in languages without spaces, those of 10 to 40 characters; where none has, the shortest.
    """
    fitting = (
        [text for text in texts if 6 <= len(text.split()) <= 12]
        or [text for text in texts if 10 <= len(text) <= 40]
        or sorted(texts, key=len)[:count]
    )
    return [fitting[number * len(fitting) // count] for number in range(min(count, len(fitting)))]


def _sentence(reader: Reader, text: str) -> Sentence:
    reading = reader.read(text)
    found = Sentence(reading)
    for heading, about, draw in _SENTENCE:
        found.charts.append((heading, about, Markup(svg_of(draw(reader, reading)))))
    return found


_SENTENCE: list[tuple[str, str, Callable[[Reader, Reading], Figure]]] = [
    (
        "Where it looked, and what counted",
        "Attention: how much each piece of the translation (a row) looked at each piece of the source. Gradient x input: how much its "
        "probability hangs on the embedding of each; blue speaks for it, orange against. (Not every model and backend has both.)",
        lambda reader, reading: _saliency_or_attention(reader, reading),
    ),
    (
        "The search",
        "Which beginnings were kept at each step; at the ends their scores. Blue is what won.",
        lambda reader, reading: pictures.beam_picture(reader, reading.text),
    ),
    (
        "Gates",
        "How far the gates of each layer are open while it reads a piece: the mean over its units, and the middle half of them.",
        pictures.gates_picture,
    ),
    (
        "Hidden units",
        "The units of the topmost layer that change most, in the order of where they are strongest; blue above 0, orange below.",
        pictures.units_picture,
    ),
]


def _saliency_or_attention(reader: Reader, reading: Reading) -> Figure:
    try:
        return pictures.saliency_picture(reader, reading)
    except UserError:
        return pictures.attention_picture(reading)


def _of_the_run(reader: Reader, table: Dataset, sentences: Sequence[Sentence]) -> list[tuple[str, str, Markup]]:
    charts: list[tuple[str, str, Markup]] = []

    def add(heading: str, about: str, draw: Callable[[], Figure]) -> None:
        try:
            charts.append((heading, about, Markup(svg_of(draw()))))
        except UserError as error:
            say(f"left out: {heading}: {error}")

    found = pictures.found_trackers(reader, table)
    if found and sentences:
        longest = max((one.reading for one in sentences), key=lambda reading: len(reading.target))
        add(
            "Units that keep track",
            "Of the decoder's lowest layer, the unit that goes most with each of these; chosen on half of the sentences, its correlation "
            "measured on the other half.",
            lambda: pictures.trackers_picture(reader, found, longest),
        )
    name = reader.config.name
    add(
        "How far back it learns",
        "The gradient of a sentence's last piece at the decoder's states before it; the geometric mean of long sentences.",
        lambda: pictures.decay_picture({name: reader}, {name: table}),
    )
    add(
        "A map of words",
        "The most frequent pieces that begin words, by the direction of their embeddings (t-SNE: neighbours mean something, distances "
        "across the map do not).",
        lambda: pictures.embeddings_picture(reader),
    )
    return charts


def _neighbours(reader: Reader) -> list[tuple[str, list[tuple[str, float]]]]:
    embeddings = Embeddings(reader)
    words = [word for word in embeddings.names(embeddings.frequent(_WORDS * 4)) if len(embeddings.subwords.encode([word])[0]) == 1]
    return [(word, [(piece.replace("▁", ""), cosine) for piece, cosine in embeddings.neighbours(word, 6)]) for word in words[:_WORDS]]
