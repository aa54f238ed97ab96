"""The recurrence of a gated recurrent unit over a whole sequence, with its gradient through time written out.

Automatic differentiation of a loop repeats many small operations backwards, one step at a time. For the GRU nearly all of them
can be taken out of the loop: given the states, the gates of all steps are one large product, and so is the gradient of the
recurrent kernel. Only `d loss / d h_t` has to be carried back step by step.
"""

from __future__ import annotations

from typing import Any

from keras import ops

from pipeline.model.precision import matmul

Tensor = Any

# Added to the update gate's input at padding: sigmoid(-1e4) is exactly 0, so the state passes through unchanged.
HOLD = -1e4


def gru_sequence(inputs: Tensor, initial: Tensor, kernel: Tensor, bias: Tensor, precision: str = "float32") -> tuple[Tensor, Tensor]:
    """States of a GRU over a sequence (Cho et al., 2014; Bahdanau et al., 2015, A.1.1):

        z_t = sigmoid(x_t^z + h_{t-1} U^z)                          how much is replaced; 0 keeps the state
        r_t = sigmoid(x_t^r + h_{t-1} U^r)
        n_t = tanh(x_t^n + r_t * (h_{t-1} U^n + b))
        h_t = h_{t-1} + z_t * (n_t - h_{t-1})

    Where the paper multiplies r_t before the recurrent product, we do after it, so that one product serves all three gates.

    Args:
        inputs: [T, ..., B, 3 D] the inputs x_t already multiplied by their kernels, in the order z, r, n.
        initial: [..., B, D] h_0.
        kernel: [..., D, 3 D] U; leading axes run independent GRUs side by side (the two directions of an encoder).
        bias: [..., 1, D] b.
        precision: of the matrix products.

    Returns:
        states [T, ..., B, D], h_1 to h_T; last [..., B, D], h_T once more, which is cheaper than to cut it out of the states.
    """

    @ops.custom_gradient
    def states_of(inputs: Tensor, initial: Tensor, kernel: Tensor, bias: Tensor) -> tuple[tuple[Tensor, Tensor], Any]:
        last, states = _forward(inputs, initial, kernel, bias, precision)

        def gradients(*upstream: Any, **_: Any) -> tuple[Tensor, ...]:
            # JAX hands over the gradients of both results as one tuple, the other backends one by one.
            of_states, of_last = upstream if len(upstream) == 2 else upstream[0]
            return _backward(of_states, of_last, inputs, initial, kernel, bias, states, precision)

        return (states, last), gradients

    return states_of(inputs, initial, kernel, bias)


def gru_step(inputs: Tensor, state: Tensor, kernel: Tensor, bias: Tensor, precision: str = "float32") -> Tensor:
    """One step of `gru_sequence`: inputs [..., B, 3 D], state [..., B, D] -> the next state [..., B, D]."""
    update, _, _, candidate = _gates(inputs, matmul(state, kernel, precision), bias)
    return state + update * (candidate - state)


def _gates(inputs: Tensor, recurrent: Tensor, bias: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """z, r, what r multiplies, and n, from the inputs' and the state's products [..., 3 D]."""
    units = inputs.shape[-1] // 3
    of_gates, of_candidate = ops.split(inputs, [2 * units], axis=-1)
    recurrent_of_gates, hidden = ops.split(recurrent, [2 * units], axis=-1)
    update, reset = ops.split(ops.sigmoid(of_gates + recurrent_of_gates), 2, axis=-1)
    hidden = hidden + bias
    return update, reset, hidden, ops.tanh(of_candidate + reset * hidden)


def _forward(inputs: Tensor, initial: Tensor, kernel: Tensor, bias: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    kernel = ops.cast(kernel, precision)  # once, not once a step

    def step(state: Tensor, step_inputs: Tensor) -> tuple[Tensor, Tensor]:
        state = gru_step(step_inputs, state, kernel, bias, precision)
        return state, state

    return ops.scan(step, initial, inputs)


def _backward(
    of_states: Tensor, of_last: Tensor, inputs: Tensor, initial: Tensor, kernel: Tensor, bias: Tensor, states: Tensor, precision: str
) -> tuple[Tensor, ...]:
    """Gradients of the inputs, h_0, U and b, from those of the states [T, ..., B, D], as seen from above, and of the last state."""
    units = initial.shape[-1]
    previous = ops.concatenate([initial[None], states[:-1]], axis=0)

    # The gates of all steps at once; the forward loop keeps nothing but the states.
    update, reset, hidden, candidate = _gates(inputs, matmul(previous, kernel, precision), bias)

    # d (gate inputs) / d h_t, all steps: what a unit of gradient at the state does to each product h_{t-1} U.
    through_candidate = update * (1 - candidate * candidate)
    factors = ops.concatenate(
        [
            (candidate - previous) * update * (1 - update),
            through_candidate * hidden * reset * (1 - reset),
            through_candidate * reset,
        ],
        axis=-1,
    )
    transposed = ops.cast(ops.swapaxes(kernel, -1, -2), precision)

    def step(later: Tensor, step_inputs: Tensor) -> tuple[Tensor, Tensor]:
        above, keep, factor = ops.split(step_inputs, [units, 2 * units], axis=-1)
        total = above + later * keep + matmul(_thrice(later) * factor, transposed, precision)
        return total, total

    # Step t receives from step t + 1, so the factors stand one step earlier than the gradients they act on; after the last step
    # stands what comes from `last`, which passes unchanged: keep = 1, factor = 0.
    keep = ops.concatenate([1 - update[1:], ops.ones_like(update[:1])], axis=0)
    factor = ops.concatenate([factors[1:], ops.zeros_like(factors[:1])], axis=0)
    # One tensor, not three: Keras's scan on TensorFlow fails on several inputs whose length is known only when it runs.
    loop_inputs = ops.concatenate([of_states, keep, factor], axis=-1)
    first, totals = ops.scan(step, of_last, loop_inputs, reverse=True)
    products = _thrice(totals) * factors
    d_inputs = ops.concatenate([products[..., : 2 * units], totals * through_candidate], axis=-1)
    d_initial = first * (1 - update[0]) + matmul(products[0], transposed, precision)
    d_kernel = _kernel_gradient(previous, products, precision)
    d_bias = ops.sum(products[..., 2 * units :], axis=(0, -2))[..., None, :]
    return d_inputs, d_initial, d_kernel, d_bias


def _kernel_gradient(previous: Tensor, products: Tensor, precision: str) -> Tensor:
    """sum over t and batch of previous^T products: [..., D, 3 D], one large product a direction."""

    def rows(tensor: Tensor) -> Tensor:  # [T, ..., B, X] -> [..., T * B, X]
        tensor = ops.moveaxis(tensor, 0, -3)
        return ops.reshape(tensor, (*tensor.shape[:-3], -1, tensor.shape[-1]))

    return matmul(ops.swapaxes(rows(previous), -1, -2), rows(products), precision)


def _thrice(tensor: Tensor) -> Tensor:
    return ops.concatenate([tensor, tensor, tensor], axis=-1)
