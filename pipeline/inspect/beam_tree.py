"""A beam search as a tree: which hypotheses were kept at each step, with their scores, and which won."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import numpy as np
from keras import ops

from pipeline.data.batches import pad
from pipeline.data.subwords import EOS
from pipeline.decoding.beam_search import Beam
from pipeline.decoding.finished import Finished
from pipeline.decoding.search import NEVER
from pipeline.decoding.search_model import search_with
from pipeline.inspect.reading import END, Reader
from pipeline.runtime.errors import UserError


@dataclass
class Node:
    """A beginning of a translation that was kept, and what it grew into.

    Attributes:
        piece: the last one; '' at the root.
        log_prob: of all pieces up to here, natural logarithm.
        score: what it ended with (see `Search`), where it ended or was cut off at the limit.
        best: on the way to the translation that won.
        children: the one that won first, then the likeliest.
    """

    piece: str = ""
    log_prob: float = 0.0
    score: float | None = None
    best: bool = False
    children: list[Node] = field(default_factory=list)

    @property
    def leaves(self) -> int:
        """How many ends it has."""
        return sum(child.leaves for child in self.children) or 1

    @property
    def depth(self) -> int:
        """Pieces from here to the farthest end."""
        return 1 + max((child.depth for child in self.children), default=-1)


def beam_tree(reader: Reader, text: str, beam_size: int | None = None) -> Node:
    """Searches for the translation of a sentence, and remembers all that was kept on the way.

    Args:
        reader: of the run.
        text: a sentence.
        beam_size: another than the run's.

    Raises:
        UserError: the text is empty.
    """
    [ids], [kept] = reader.tokenizer.encode_source([reader.cleaned(text)])
    if not ids:
        raise UserError("there is no text to look at: give a sentence.")
    search = reader.translator.search
    width = beam_size or search.beam_size
    search = dataclasses.replace(search, beam_size=width, best=width)  # all that end are remembered, not the best alone
    source_ids = ops.convert_to_tensor(pad([ids]))
    encoded = reader.model.encode(source_ids)
    searching = search_with(reader.model, encoded, source_ids, search)
    beam = searching.begin(encoded.state)
    seen: dict[tuple[int, ...], float] = {}
    ended: dict[tuple[int, ...], float] = {}
    while bool(np.any(np.asarray(searching.unfinished(_with_the_best_alone(beam))))):
        beam = searching.grow(beam)
        _note(beam, seen, ended)
    root = Node(best=True)
    nodes: dict[tuple[int, ...], Node] = {(): root}
    for beginning in sorted({whole[:length] for whole in seen for length in range(1, len(whole) + 1)}, key=len):
        *_, last = beginning
        piece = END if last == EOS else reader.pieces(reader.tokenizer.target, [last], kept)[0]
        parent = nodes[beginning[:-1]]
        nodes[beginning] = Node(piece, seen.get(beginning, parent.log_prob), ended.get(beginning))
        parent.children.append(nodes[beginning])
    if ended:
        winner = np.trim_zeros(np.asarray(beam.finished.written[0])[0, 0], "b").tolist()
        for length in range(1, len(winner) + 1):
            nodes[tuple(winner[:length])].best = True
    for node in nodes.values():
        node.children.sort(key=lambda child: (not child.best, -child.log_prob))
    return root


def _with_the_best_alone(beam: Beam) -> Beam:
    """A beam that goes on only while something can beat the best that has ended, as one does that looks for a single translation."""
    finished = beam.finished
    first = Finished(finished.scores[:, :1], finished.log_probs[:, :1], finished.ended[:, :1], finished.written)
    return beam._replace(finished=first)


def _note(beam: Beam, seen: dict[tuple[int, ...], float], ended: dict[tuple[int, ...], float]) -> None:
    """Adds the hypotheses that are alive, with their log probabilities, and those that have ended, with their scores."""
    length = int(np.asarray(beam.index))
    for row, log_prob in zip(np.asarray(beam.written[0]), np.asarray(beam.alive)[0], strict=True):
        if log_prob > NEVER / 2:
            seen[tuple(row[:length].tolist())] = float(log_prob)
    finished = beam.finished
    tokens, scores = np.asarray(finished.written[0])[0], np.asarray(finished.scores)[0]
    for row, score, log_prob in zip(tokens, scores, np.asarray(finished.log_probs)[0], strict=True):
        if score > NEVER / 2:
            whole = tuple(np.trim_zeros(row, "b").tolist())
            ended[whole], seen[whole] = float(score), float(log_prob)
