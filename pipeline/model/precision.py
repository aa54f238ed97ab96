"""Matrix products in a chosen precision; everything between them stays float32."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any


def matmul(left: Tensor, right: Tensor, precision: str, bias: Tensor | None = None) -> Tensor:
    """`left @ right` with the operands rounded to `precision` and the result in float32.

    With "bfloat16" a processor that has the instructions multiplies up to twice as fast and keeps 8 bits of the mantissa;
    states, softmax and loss never pass through it.

    Args:
        left: [..., M, K].
        right: [K, N], for all of left's leading axes, or [..., K, N], one for each.
        precision: "float32" or "bfloat16".
        bias: [N], added to the product in float32.

    Returns:
        [..., M, N] float32.
    """
    if precision != "float32":
        left, right = ops.cast(left, precision), ops.cast(right, precision)
    # One large product; TensorFlow would run one small product for each of the leading axes.
    flat = len(left.shape) > 2 and len(right.shape) == 2
    product = ops.matmul(ops.reshape(left, (-1, left.shape[-1])) if flat else left, right)
    if precision != "float32":
        product = ops.cast(product, "float32")
    if bias is not None:
        product = product + bias
    return ops.reshape(product, (*ops.shape(left)[:-1], right.shape[-1])) if flat else product
