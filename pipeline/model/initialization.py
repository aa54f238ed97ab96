"""How the weights begin: Xavier's or He's for the inputs, orthogonal for the recurrences."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

Tensor = Any


@dataclass(frozen=True)
class Initialization:
    """The choices of the config's section `model.initialization`.

    Attributes:
        kernel: of what inputs are multiplied by: a name of `KERNELS`.
        recurrent: of what states are multiplied by: a name of `RECURRENT`.
        forget_bias: what an LSTM's forget gate begins with.
    """

    kernel: str = "xavier"
    recurrent: str = "orthogonal"
    forget_bias: float = 1.0

    def kernel_of(self, inputs: int, outputs: int) -> keras.initializers.Initializer:
        """For a kernel, or for each of several that stand side by side in one, such as gates."""
        limit = KERNELS[self.kernel](inputs, outputs)
        return keras.initializers.RandomUniform(-limit, limit)

    def recurrent_kernel(self) -> keras.initializers.Initializer:
        """For [..., D, gates * D]."""
        return Blocks(self.recurrent)


def xavier(inputs: int, outputs: int) -> float:
    """Bound of a uniform distribution that keeps variances both ways, for tanh (Glorot & Bengio, 2010, eq. 16)."""
    return float((6.0 / (inputs + outputs)) ** 0.5)


def he(inputs: int, outputs: int) -> float:
    """Bound of a uniform distribution that keeps variances forwards behind a ReLU (He et al., 2015, eq. 10)."""
    return float((6.0 / inputs) ** 0.5)


KERNELS: dict[str, Callable[[int, int], float]] = {"xavier": xavier, "he": he}

RECURRENT: dict[str, type[keras.initializers.Initializer]] = {
    "orthogonal": keras.initializers.Orthogonal,  # keeps lengths through any number of steps (Saxe et al., 2014)
    "xavier": keras.initializers.GlorotUniform,
    "identity": keras.initializers.Identity,  # a ReLU network that begins by keeping its state (Le et al., 2015)
}


class Blocks(keras.initializers.Initializer):
    """A square matrix for each gate (and direction), side by side: [..., D, gates * D].

    Args:
        name: one of `RECURRENT`.
        seed: of the first block; the others go on from there.
    """

    def __init__(self, name: str, seed: int | None = None) -> None:
        self.name = name
        self.seed = seed

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> Tensor:
        """A tensor of that shape."""
        *lead, units, width = shape
        kind = RECURRENT[self.name]
        arguments = {} if self.name == "identity" else {"seed": keras.random.SeedGenerator(self.seed)}
        gates = width // units
        blocks = [kind(**arguments)((units, units), dtype=dtype) for _ in range(gates * (lead[0] if lead else 1))]
        kernels = [ops.concatenate(blocks[i : i + gates], axis=-1) for i in range(0, len(blocks), gates)]
        return ops.stack(kernels) if lead else kernels[0]

    def get_config(self) -> dict[str, Any]:
        """The arguments that make an equal initialiser."""
        return {"name": self.name, "seed": self.seed}
