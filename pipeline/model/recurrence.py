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


def gru_sequence(inputs: Tensor, initial: Tensor, kernel: Tensor, bias: Tensor, precision: str = "float32") -> Tensor:
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
        [T, ..., B, D] the states h_1 to h_T.
    """

    @ops.custom_gradient
    def states_of(inputs: Tensor, initial: Tensor, kernel: Tensor, bias: Tensor) -> tuple[Tensor, Any]:
        states = _forward(inputs, initial, kernel, bias, precision)

        def gradients(upstream: Tensor, **_: Any) -> tuple[Tensor, ...]:
            return _backward(upstream, inputs, initial, kernel, bias, states, precision)

        return states, gradients

    return states_of(inputs, initial, kernel, bias)


def gru_step(inputs: Tensor, state: Tensor, kernel: Tensor, bias: Tensor, precision: str = "float32") -> Tensor:
    """One step of `gru_sequence`: inputs [..., B, 3 D], state [..., B, D] -> the next state [..., B, D]."""
    units = state.shape[-1]
    recurrent = matmul(state, kernel, precision)
    gates = ops.sigmoid(inputs[..., : 2 * units] + recurrent[..., : 2 * units])
    update, reset = gates[..., :units], gates[..., units:]
    candidate = ops.tanh(inputs[..., 2 * units :] + reset * (recurrent[..., 2 * units :] + bias))
    return state + update * (candidate - state)


def _forward(inputs: Tensor, initial: Tensor, kernel: Tensor, bias: Tensor, precision: str) -> Tensor:
    kernel = ops.cast(kernel, precision)  # once, not once a step

    def step(state: Tensor, step_inputs: Tensor) -> tuple[Tensor, Tensor]:
        state = gru_step(step_inputs, state, kernel, bias, precision)
        return state, state

    return ops.scan(step, initial, inputs, length=inputs.shape[0])[1]


def _backward(
    upstream: Tensor, inputs: Tensor, initial: Tensor, kernel: Tensor, bias: Tensor, states: Tensor, precision: str
) -> tuple[Tensor, ...]:
    """Gradients of the inputs, h_0, U and b, from `upstream` [T, ..., B, D] = d loss / d h_t as seen from above."""
    units = initial.shape[-1]
    previous = ops.concatenate([initial[None], states[:-1]], axis=0)

    # The gates of all steps at once; the forward loop keeps nothing but the states.
    recurrent = matmul(previous, kernel, precision)
    gates = ops.sigmoid(inputs[..., : 2 * units] + recurrent[..., : 2 * units])
    update, reset = gates[..., :units], gates[..., units:]
    hidden = recurrent[..., 2 * units :] + bias
    candidate = ops.tanh(inputs[..., 2 * units :] + reset * hidden)

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
        above, keep, factor = step_inputs[..., :units], step_inputs[..., units : 2 * units], step_inputs[..., 2 * units :]
        total = above + later * keep + matmul(_thrice(later) * factor, transposed, precision)
        return total, total

    # Step t receives from step t + 1, so the factors stand one step earlier than the gradients they act on.
    def shifted(tensor: Tensor) -> Tensor:
        return ops.concatenate([tensor[1:], ops.zeros_like(tensor[:1])], axis=0)

    # One tensor, not three: Keras's scan on TensorFlow fails on several inputs whose length is known only when it runs.
    loop_inputs = ops.concatenate([upstream, shifted(ops.concatenate([1 - update, factors], axis=-1))], axis=-1)
    totals = ops.scan(step, ops.zeros_like(initial), loop_inputs, length=loop_inputs.shape[0], reverse=True)[1]
    products = _thrice(totals) * factors
    d_inputs = ops.concatenate([products[..., : 2 * units], totals * through_candidate], axis=-1)
    d_initial = totals[0] * (1 - update[0]) + matmul(products[0], transposed, precision)
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
