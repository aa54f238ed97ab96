"""The recurrent cells: vanilla RNN, GRU and LSTM, each as the equations of one step and their derivatives.

A cell is a function of three things: x_t W + b, the input's part of its gates; h_{t-1} U, the state's part; and the state itself.
But for the product h_{t-1} U every unit goes its own way, so a cell's derivatives are products element by element, and the gradient
through time (`recurrence.py`) needs nothing of a cell but the three methods below.

In all of them D is the number of units, a state is [..., D], or [..., 2 D] where the cell remembers more than it shows (the LSTM's
h and c), and what a layer shows is the first D of it, h.
"""

from __future__ import annotations

from typing import Any, ClassVar

from keras import ops

Tensor = Any


class Cell:
    """What the recurrence asks of a cell.

    Attributes:
        gates: G, how many blocks of D the products have.
        states: how many blocks of D a state has.
    """

    gates: ClassVar[int]
    states: ClassVar[int]

    def step(self, inputs: Tensor, products: Tensor, state: Tensor) -> Tensor:
        """The next state: inputs [..., G D] = x_t W + b, products [..., G D] = h_{t-1} U, state [..., states D]."""
        raise NotImplementedError

    def openings(self, inputs: Tensor, products: Tensor) -> dict[str, Tensor]:
        """How far each gate is open in `step`, 0 to 1, by name: [..., D] each; to look at."""
        return {}

    def linearise(self, inputs: Tensor, products: Tensor, state: Tensor) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """The derivatives of `step` at these points, for any number of steps at once.

        Returns:
            factors, what `pull` needs at every step; and what only `input_gradient` needs besides, if anything.
        """
        raise NotImplementedError

    def pull(self, factors: tuple[Tensor, ...], gradient: Tensor) -> tuple[Tensor, Tensor]:
        """From the gradient of the next state [..., states D]: that of the products [..., G D], and that of the state itself."""
        raise NotImplementedError

    def input_gradient(self, of_products: Tensor, gradient: Tensor, extra: Tensor | None) -> Tensor:
        """The gradient of the inputs [..., G D]; equal to that of the products where a cell only ever sees their sum."""
        return of_products


class VanillaRNN(Cell):
    """The simple recurrent network (Elman, 1990): h_t = f(x_t W + h_{t-1} U + b), f = tanh or ReLU (Le et al., 2015)."""

    gates = 1
    states = 1

    def __init__(self, activation: str) -> None:
        self.activation = activation

    def step(self, inputs: Tensor, products: Tensor, state: Tensor) -> Tensor:
        """See `Cell.step`."""
        return ops.tanh(inputs + products) if self.activation == "tanh" else ops.relu(inputs + products)

    def linearise(self, inputs: Tensor, products: Tensor, state: Tensor) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """The slope of f: 1 - h_t^2, or 1 where h_t > 0."""
        shown = self.step(inputs, products, state)
        return (1.0 - ops.square(shown) if self.activation == "tanh" else ops.cast(shown > 0, shown.dtype),), None

    def pull(self, factors: tuple[Tensor, ...], gradient: Tensor) -> tuple[Tensor, Tensor]:
        """See `Cell.pull`: nothing of the state gets past f."""
        return gradient * factors[0], ops.zeros_like(gradient)


class GRU(Cell):
    """The gated recurrent unit (Cho et al., 2014; Bahdanau et al., 2015, A.1.1):

        z_t = sigmoid(x_t W_z + h_{t-1} U_z + b_z)              how much is replaced; 0 keeps the state
        r_t = sigmoid(x_t W_r + h_{t-1} U_r + b_r)
        n_t = tanh(x_t W_n + b_n + r_t * (h_{t-1} U_n))
        h_t = h_{t-1} + z_t * (n_t - h_{t-1})

    Where the papers multiply r_t before the recurrent product, we do after it, so that one product serves all three gates.
    """

    gates = 3
    states = 1

    def step(self, inputs: Tensor, products: Tensor, state: Tensor) -> Tensor:
        """See `Cell.step`; the gates stand in the order z, r, n."""
        update, _, _, candidate = self._gates(inputs, products)
        return state + update * (candidate - state)

    def openings(self, inputs: Tensor, products: Tensor) -> dict[str, Tensor]:
        """See `Cell.openings`."""
        update, reset, _, _ = self._gates(inputs, products)
        return {"update": update, "reset": reset}

    def linearise(self, inputs: Tensor, products: Tensor, state: Tensor) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """d h_t / d h_{t-1} past the product, d h_t / d (h_{t-1} U) for each gate; besides, d h_t / d (x_t W_n)."""
        update, reset, hidden, candidate = self._gates(inputs, products)
        through_candidate = update * (1.0 - candidate * candidate)
        of_gates = [
            (candidate - state) * update * (1.0 - update),
            through_candidate * hidden * reset * (1.0 - reset),
            through_candidate * reset,
        ]
        return (1.0 - update, ops.concatenate(of_gates, axis=-1)), through_candidate

    def pull(self, factors: tuple[Tensor, ...], gradient: Tensor) -> tuple[Tensor, Tensor]:
        """See `Cell.pull`."""
        keep, of_gates = factors
        return ops.concatenate([gradient] * 3, axis=-1) * of_gates, gradient * keep

    def input_gradient(self, of_products: Tensor, gradient: Tensor, extra: Tensor | None) -> Tensor:
        """See `Cell.input_gradient`: x_t W_n is added after r_t, h_{t-1} U_n before it."""
        return ops.concatenate([of_products[..., : 2 * gradient.shape[-1]], gradient * extra], axis=-1)

    @staticmethod
    def _gates(inputs: Tensor, products: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """z, r, what r multiplies, and n."""
        units = inputs.shape[-1] // 3
        of_gates, of_candidate = ops.split(inputs, [2 * units], axis=-1)
        products_of_gates, hidden = ops.split(products, [2 * units], axis=-1)
        update, reset = ops.split(ops.sigmoid(of_gates + products_of_gates), 2, axis=-1)
        return update, reset, hidden, ops.tanh(of_candidate + reset * hidden)


class LSTM(Cell):
    """Long short-term memory (Hochreiter & Schmidhuber, 1997; the forget gate: Gers et al., 2000):

    i_t, f_t, o_t = sigmoid(x_t W + h_{t-1} U + b)          three gates, each with its own W, U and b
    g_t = tanh(x_t W_g + h_{t-1} U_g + b_g)
    c_t = f_t * c_{t-1} + i_t * g_t                         what it remembers
    h_t = o_t * tanh(c_t)                                   what it shows
    """

    gates = 4
    states = 2

    def step(self, inputs: Tensor, products: Tensor, state: Tensor) -> Tensor:
        """See `Cell.step`; the gates stand in the order i, f, o, g, a state is h beside c."""
        _, _, out, _, _, memory = self._gates(inputs, products, state)
        return ops.concatenate([out * ops.tanh(memory), memory], axis=-1)

    def openings(self, inputs: Tensor, products: Tensor) -> dict[str, Tensor]:
        """See `Cell.openings`."""
        units = inputs.shape[-1] // 4
        return dict(
            zip(("input", "forget", "output"), ops.split(ops.sigmoid((inputs + products)[..., : 3 * units]), 3, axis=-1), strict=True)
        )

    def linearise(self, inputs: Tensor, products: Tensor, state: Tensor) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """d c_t / d c_{t-1}, d h_t / d c_t; d c_t / d of the products of i, f and g, d h_t / d that of o."""
        take, forget, out, candidate, before, memory = self._gates(inputs, products, state)
        squashed = ops.tanh(memory)
        factors = (
            forget,
            out * (1.0 - squashed * squashed),
            candidate * take * (1.0 - take),
            before * forget * (1.0 - forget),
            squashed * out * (1.0 - out),
            take * (1.0 - candidate * candidate),
        )
        return factors, None

    def pull(self, factors: tuple[Tensor, ...], gradient: Tensor) -> tuple[Tensor, Tensor]:
        """See `Cell.pull`."""
        forget, shown, of_take, of_forget, of_out, of_candidate = factors
        of_shown, of_memory = ops.split(gradient, 2, axis=-1)
        of_memory = of_memory + of_shown * shown
        of_products = ops.concatenate([of_memory * of_take, of_memory * of_forget, of_shown * of_out, of_memory * of_candidate], axis=-1)
        return of_products, ops.concatenate([ops.zeros_like(of_shown), of_memory * forget], axis=-1)

    @staticmethod
    def _gates(inputs: Tensor, products: Tensor, state: Tensor) -> tuple[Tensor, ...]:
        """i, f, o, g, c_{t-1}, c_t."""
        units = inputs.shape[-1] // 4
        of_gates, of_candidate = ops.split(inputs + products, [3 * units], axis=-1)
        take, forget, out = ops.split(ops.sigmoid(of_gates), 3, axis=-1)
        candidate, before = ops.tanh(of_candidate), state[..., units:]
        return take, forget, out, candidate, before, forget * before + take * candidate


CELLS: dict[str, Cell] = {"tanh": VanillaRNN("tanh"), "relu": VanillaRNN("relu"), "gru": GRU(), "lstm": LSTM()}
