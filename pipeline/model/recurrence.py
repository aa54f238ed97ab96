"""A cell over a whole sequence, with its gradient through time written out.

Automatic differentiation of a loop repeats many small operations backwards, one step at a time. Nearly all of them can be taken out of
the loop: given the states, the gates of all steps are one large product, and so is the gradient of the recurrent kernel. Only
`d loss / d state_t` has to be carried back step by step, here as in the textbooks (Werbos, 1990).
"""

from __future__ import annotations

from typing import Any

from keras import ops

from pipeline.model.cells import Cell
from pipeline.model.precision import matmul

Tensor = Any

_EPSILON = 1e-5


def run_sequence(
    cell: Cell,
    inputs: Tensor,
    initial: Tensor,
    kernel: Tensor,
    scale: Tensor | None = None,
    mask: Tensor | None = None,
    precision: str = "float32",
    training: bool = False,
) -> Tensor:
    """What a cell shows at every step of a sequence.

    Args:
        cell: its equations, G gates and states of n D numbers.
        inputs: [T, ..., B, G D] the inputs x_t W + b.
        initial: [..., B, n D] the state before the first step.
        kernel: [..., D, G D] U; leading axes run independent cells side by side (the two directions of an encoder).
        scale: [..., 1, G D] of layer normalisation: the cell then sees `normalise(h_{t-1} U)` times this. Without it, h_{t-1} U.
        mask: [T, ..., B, 1], 1 at real tokens and 0 at padding, through which no gradient passes: where padding comes first, that
            would be divided by the deviation of a state of zeros, step after step.
        precision: of the matrix products.
        training: its gradient will be asked for, so the products h_{t-1} U are kept; without it they are computed once more for that.

    Returns:
        outputs [T, ..., B, D], h_1 to h_T.
    """
    units = kernel.shape[-2]

    @ops.custom_gradient
    def outputs_of(inputs: Tensor, initial: Tensor, kernel: Tensor, *norm: Tensor) -> tuple[Tensor, Any]:
        scale = norm[0] if norm else None
        rounded = ops.cast(kernel, precision)  # once, not once a step

        def step(carry: tuple[Tensor, ...], time: Tensor) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
            products = matmul(carry[0][..., :units], rounded, precision)
            state = cell.step(inputs[time], _scaled(cell, products, scale), carry[0])
            carry = (state, products) if training else (state,)
            return carry, carry

        # Keras's scan on TensorFlow wants outputs that look like the carry, so all that is kept is carried.
        _, (states, *kept) = ops.scan(step, (initial, ops.zeros_like(inputs[0])) if training else (initial,), _times(inputs))

        def gradients(*arguments: Tensor, upstream: Tensor | None = None, **_: Any) -> tuple[Tensor, ...]:
            of_outputs = arguments[0] if upstream is None else upstream  # PyTorch gives it by name, the others do not
            return _through_time(cell, of_outputs, inputs, initial, kernel, scale, mask, states, *kept, precision=precision)

        return states[..., :units], gradients

    return outputs_of(inputs, initial, kernel, *([] if scale is None else [scale]))


def run_step(cell: Cell, inputs: Tensor, state: Tensor, kernel: Tensor, scale: Tensor | None = None, precision: str = "float32") -> Tensor:
    """One step of `run_sequence`: inputs [..., B, G D], state [..., B, n D] -> the next state [..., B, n D]."""
    return cell.step(inputs, state_products(cell, state, kernel, scale, precision), state)


def state_products(cell: Cell, state: Tensor, kernel: Tensor, scale: Tensor | None = None, precision: str = "float32") -> Tensor:
    """The state's part of the gates: state [..., B, n D] -> [..., B, G D]."""
    return _scaled(cell, matmul(state[..., : kernel.shape[-2]], kernel, precision), scale)


def _scaled(cell: Cell, products: Tensor, scale: Tensor | None) -> Tensor:
    return products if scale is None else normalise(products, cell.gates)[0] * scale


def normalise(products: Tensor, gates: int) -> tuple[Tensor, Tensor]:
    """Layer normalisation of each gate by itself (Ba et al., 2016; for each gate: Chen et al., 2018, 4.1), scale and bias apart.

    Args:
        products: [..., G D].
        gates: G.

    Returns:
        the same with mean 0 and variance 1 over each block of D; [..., G, 1] what each block was multiplied by.
    """
    blocks = _blocks(products, gates)
    centred = blocks - ops.mean(blocks, axis=-1, keepdims=True)
    factor = ops.rsqrt(ops.mean(ops.square(centred), axis=-1, keepdims=True) + _EPSILON)
    return _flat(centred * factor), factor


def _through_time(
    cell: Cell,
    of_outputs: Tensor,
    inputs: Tensor,
    initial: Tensor,
    kernel: Tensor,
    scale: Tensor | None,
    mask: Tensor | None,
    states: Tensor,
    products: Tensor | None = None,
    *,
    precision: str,
) -> tuple[Tensor, ...]:
    """Gradients of the inputs, the initial state, U and the scale from those of the outputs [T, ..., B, D], as seen from above."""
    units = kernel.shape[-2]
    previous = ops.concatenate([initial[None], states[:-1]], axis=0)
    shown = previous[..., :units]

    # All steps at once: the products, where the forward loop has not kept them, and the derivatives of the cell there.
    products = matmul(shown, kernel, precision) if products is None else products
    normalised, factor = (products, None) if scale is None else normalise(products, cell.gates)
    factors, extra = cell.linearise(inputs, normalised if scale is None else normalised * scale, previous)
    factors = factors if mask is None else tuple(one * mask for one in factors)
    transposed = ops.cast(ops.swapaxes(kernel, -1, -2), precision)

    def of_raw_products(of_products: Tensor, normalised: Tensor, factor: Tensor | None) -> Tensor:
        return of_products if scale is None else _normalise_gradient(of_products * scale, normalised, factor, cell.gates)

    def step(later: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        above = of_outputs[time]
        total = ops.concatenate([later[..., :units] + above, later[..., units:]], axis=-1) if cell.states > 1 else later + above
        of_products, of_state = cell.pull(tuple(one[time] for one in factors), total)
        of_products = of_raw_products(of_products, normalised[time], None if factor is None else factor[time])
        of_shown = matmul(of_products, transposed, precision)
        if cell.states == 1:
            return of_state + of_shown, total
        return ops.concatenate([of_state[..., :units] + of_shown, of_state[..., units:]], axis=-1), total

    of_initial, totals = ops.scan(step, ops.zeros_like(initial), _times(inputs), reverse=True)

    of_products, _ = cell.pull(factors, totals)
    of_inputs = cell.input_gradient(of_products, totals, extra)
    of_kernel = _kernel_gradient(shown, of_raw_products(of_products, normalised, factor), precision)
    if scale is None:
        return of_inputs, of_initial, of_kernel
    return of_inputs, of_initial, of_kernel, ops.sum(of_products * normalised, axis=(0, -2))[..., None, :]


def _times(inputs: Tensor) -> Tensor:
    """[T, ...] -> 0 to T - 1. A loop over these takes row by row where it lies; one over the rows themselves copies them all first."""
    return ops.arange(ops.shape(inputs)[0], dtype="int32")


def _normalise_gradient(gradient: Tensor, normalised: Tensor, factor: Tensor | None, gates: int) -> Tensor:
    """The gradient of what `normalise` was given, from that of what it gave."""
    gradient, normalised = _blocks(gradient, gates), _blocks(normalised, gates)
    along = ops.mean(gradient * normalised, axis=-1, keepdims=True)
    return _flat((gradient - ops.mean(gradient, axis=-1, keepdims=True) - normalised * along) * factor)


def _kernel_gradient(shown: Tensor, of_products: Tensor, precision: str) -> Tensor:
    """sum over t and batch of shown^T of_products: [..., D, G D], one large product a direction."""

    def rows(tensor: Tensor) -> Tensor:  # [T, ..., B, X] -> [..., T * B, X]
        tensor = ops.moveaxis(tensor, 0, -3)
        return ops.reshape(tensor, (*tensor.shape[:-3], -1, tensor.shape[-1]))

    return matmul(ops.swapaxes(rows(shown), -1, -2), rows(of_products), precision)


def _blocks(tensor: Tensor, gates: int) -> Tensor:
    """[..., G D] -> [..., G, D]."""
    return ops.reshape(tensor, (*ops.shape(tensor)[:-1], gates, tensor.shape[-1] // gates))


def _flat(blocks: Tensor) -> Tensor:
    """[..., G, D] -> [..., G D]."""
    return ops.reshape(blocks, (*ops.shape(blocks)[:-2], blocks.shape[-2] * blocks.shape[-1]))
