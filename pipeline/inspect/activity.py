"""What goes on in the recurrent layers while a sentence is read and its translation written: states and gates, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from keras import ops
from numpy.typing import NDArray

from pipeline.inspect.reading import Reading
from pipeline.model.recurrence import state_products
from pipeline.model.recurrent import Recurrent

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq

Tensor = Any


@dataclass(frozen=True)
class Activity:
    """One direction of one layer over one sentence.

    Attributes:
        layer: such as 'encoder 1, forwards' or 'decoder 2'.
        side: 'source' or 'target': of which sentence the steps are the pieces. A decoder's step t has read piece t - 1 and writes t.
        shown: [N, D] what the layer shows after each step, h.
        gates: name -> [N, D] how far each gate is open, 0 to 1; a vanilla RNN has none.
    """

    layer: str
    side: str
    shown: NDArray[np.float32]
    gates: dict[str, NDArray[np.float32]]


def activities(model: Seq2Seq, reading: Reading) -> list[Activity]:
    """Of every recurrent layer of the model, the encoder's first, lowest first."""
    encoder = list(_recurrent(model.encoder))
    decoder: list[Recurrent] = list(model.decoder.layers)
    with ExitStack() as stack:
        calls = [stack.enter_context(_noted(layer, "call")) for layer in encoder]
        steps = [stack.enter_context(_noted(layer, "step")) for layer in decoder]
        encoded = model.encode(ops.convert_to_tensor(reading.source_ids))
        state = encoded.state[:, None]
        for token in reading.target_inputs[0]:
            _, state, _ = model.decode_step(ops.full((1, 1), int(token), dtype="int32"), state, encoded)
    found: list[Activity] = []
    for number, (layer, [(inputs, *_)]) in enumerate(zip(encoder, calls, strict=True), start=1):
        found += _of_whole(layer, inputs, f"encoder {number}")
    for number, (layer, noted) in enumerate(zip(decoder, steps, strict=True), start=1):
        found.append(_joined(f"decoder {number}", "target", [_step(layer, layer.project(inputs), state) for inputs, state in noted]))
    return found


def _recurrent(encoder: Any) -> Iterator[Recurrent]:
    """The recurrent layers of an encoder; one of self-attention has none."""
    yield from (layer for layer in getattr(encoder, "layers", []) if isinstance(layer, Recurrent))


@contextmanager
def _noted(layer: Recurrent, method: str) -> Iterator[list[tuple[Tensor, ...]]]:
    """Inside, what a layer's method is given is noted down."""
    noted: list[tuple[Tensor, ...]] = []
    original = getattr(layer, method)

    def noting(*arguments: Tensor, **named: Any) -> Tensor:
        noted.append(arguments)
        return original(*arguments, **named)

    with mock.patch.object(layer, method, noting):
        yield noted


def _of_whole(layer: Recurrent, inputs: Tensor, name: str) -> list[Activity]:
    """Of a layer that reads the sentence [1, S, X] at once, a direction at a time."""
    gates = layer.project(inputs)  # --> [1, S, directions * G D]
    if not layer.bidirectional:
        return [_joined(name, "source", _steps(layer, gates, None))]
    forward, backward = ops.split(gates, 2, axis=-1)
    reversed_steps = _steps(layer, ops.flip(backward, axis=1), 1)[::-1]
    return [
        _joined(f"{name}, forwards", "source", _steps(layer, forward, 0)),
        _joined(f"{name}, backwards", "source", reversed_steps),
    ]


Step = tuple[Tensor, dict[str, Tensor]]


def _steps(layer: Recurrent, gates: Tensor, direction: int | None) -> list[Step]:
    state = ops.zeros((1, layer.state_size))
    found: list[Step] = []
    for index in range(gates.shape[1]):
        found.append(_step(layer, gates[:, index], state, direction))
        state = found[-1][0]
    return found


def _step(layer: Recurrent, inputs: Tensor, state: Tensor, direction: int | None = None) -> Step:
    """The next state, and the gates on the way to it: inputs [..., G D] as `Recurrent.project` gives them."""
    kernel, scale = layer.recurrent_kernel, layer.recurrent_scale if layer.layer_norm else None
    if direction is not None:
        kernel, scale = kernel[direction], None if scale is None else scale[direction]
    elif scale is not None:
        scale = scale[0]
    products = state_products(layer.cell, state, kernel, scale, layer.precision)
    return layer.cell.step(inputs, products, state), layer.cell.openings(inputs, products)


def _joined(name: str, side: str, steps: list[Step]) -> Activity:
    def rows(tensors: list[Tensor]) -> NDArray[np.float32]:
        return np.stack([np.asarray(tensor).reshape(-1) for tensor in tensors])

    openings = {gate: rows([of_step[gate] for _, of_step in steps]) for gate in steps[0][1]}
    states = rows([state for state, _ in steps])
    units = next(iter(openings.values())).shape[1] if openings else states.shape[1]
    return Activity(name, side, states[:, :units], openings)
