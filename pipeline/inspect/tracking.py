"""Units that keep track of something: found by correlation with what is known of each place in a text (after Karpathy et al., 2015)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from keras import ops
from numpy.typing import NDArray

from pipeline.data.batches import Batch
from pipeline.inspect.reading import END

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq

_ENOUGH = 30
"""Places where a feature must be different from its usual value; of fewer, any unit of hundreds fits some by chance."""


@dataclass(frozen=True)
class Tracker:
    """A unit that tracks a feature.

    Attributes:
        feature: what it tracks.
        unit: its number in the layer.
        correlation: Pearson's, on sentences that it was not chosen by.
    """

    feature: str
    unit: int
    correlation: float


def position(pieces: Sequence[str]) -> list[float]:
    """How many pieces have been read."""
    return [float(place) for place in range(len(pieces))]


def in_brackets(pieces: Sequence[str]) -> list[float]:
    """1 between an opening bracket and the closing one."""
    return _between(pieces, {"(": ")", "[": "]", "{": "}"})


def in_quotation_marks(pieces: Sequence[str]) -> list[float]:
    """1 between quotation marks, of whatever kind: “English”, „German“ or »German«, « French », ”Swedish”."""
    return _between(pieces, {'"': '"', "“": "”", "„": "“”", "”": "”", "«": "»", "»": "«»", "‹": "›", "›": "‹"})


def inside_a_word(pieces: Sequence[str]) -> list[float]:
    """1 at pieces that go on with a word."""
    return [float(not piece.startswith("▁") and piece != END) for piece in pieces]


def capital(pieces: Sequence[str]) -> list[float]:
    """1 at pieces that begin with a capital letter."""
    return [float(piece.lstrip("▁")[:1].isupper()) for piece in pieces]


FEATURES: dict[str, Callable[[Sequence[str]], list[float]]] = {
    "length": position,
    "brackets": in_brackets,
    "quotation marks": in_quotation_marks,
    "inside a word": inside_a_word,
    "capital letter": capital,
}
"""What units are looked for, by name: pieces of a sentence -> a number for each."""


def _between(pieces: Sequence[str], pairs: Mapping[str, str]) -> list[float]:
    """`pairs`: what opens -> what then closes."""
    closing = ""
    values: list[float] = []
    for piece in pieces:
        for character in piece:
            if not closing:
                closing = pairs.get(character, "")
            elif character in closing:
                closing = ""
        values.append(float(bool(closing)))
    return values


def trackers(states: Sequence[NDArray[np.float32]], pieces: Sequence[Sequence[str]]) -> list[Tracker]:
    """For each feature the unit that tracks it best.

    The unit is chosen on every other sentence and its correlation measured on the rest: the best of hundreds of units fits the
    sentences it was chosen by better than it deserves.

    Args:
        states: of each sentence [N, D].
        pieces: of each its N pieces.

    Returns:
        one for each feature that occurs often enough, the best first.
    """
    if len(states) < 2:
        return []
    halves = [np.concatenate(states[half::2]) for half in (0, 1)]
    found: list[Tracker] = []
    for name, feature in FEATURES.items():
        values = [np.concatenate([np.array(feature(some)) for some in pieces[half::2]]) for half in (0, 1)]
        if min(np.count_nonzero(half != np.median(half)) for half in values) < _ENOUGH:
            continue
        unit = int(np.argmax(np.abs(correlations(halves[0], values[0]))))
        found.append(Tracker(name, unit, float(correlations(halves[1][:, unit : unit + 1], values[1])[0])))
    return sorted(found, key=lambda tracker: -abs(tracker.correlation))


def correlations(states: NDArray[np.float32], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's correlation of each unit [N, D] with the values [N]: [D]; 0 for units that never change."""
    states = states - states.mean(axis=0)
    values = values - values.mean()
    scale = np.sqrt((states**2).sum(axis=0) * (values**2).sum())
    return np.where(scale > 1e-9, states.T @ values / np.maximum(scale, 1e-9), 0.0)


def decoder_states(model: Seq2Seq, batches: Sequence[Batch], layer: int = 0) -> list[NDArray[np.float32]]:
    """What a layer of the decoder shows after it has read each token of each target: of each sentence [N, D], EOS not read.

    Args:
        model: trained.
        batches: sentence pairs.
        layer: from 0, the lowest.
    """
    units = model.decoder.units
    start = sum(below.state_size for below in model.decoder.layers[:layer])
    found: list[NDArray[np.float32]] = []
    for batch in batches:
        encoded = model.encode(ops.convert_to_tensor(batch.source_ids))
        size, length = batch.target_inputs.shape
        state, after = encoded.state[:, None], np.zeros((size, length - 1, units), np.float32)
        for index in range(length):
            _, state, _ = model.decode_step(ops.convert_to_tensor(batch.target_inputs[:, index : index + 1]), state, encoded)
            if index:  # the first step has read BOS, not a piece
                after[:, index - 1] = np.asarray(state)[:, 0, start : start + units]
        lengths = np.count_nonzero(batch.target_ids, axis=1) - 1
        found += [row[:length] for row, length in zip(after, lengths, strict=True)]
    return found
