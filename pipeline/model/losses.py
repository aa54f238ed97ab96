"""Cross-entropy of a batch of sentences: a mean over its tokens, never over its padding."""

from __future__ import annotations

from typing import Any

from keras import ops

from pipeline.model.precision import matmul

Tensor = Any

# Added to a probability before its logarithm: changes none above 1e-29, and bounds a token's loss by 85 nats.
TINY = 1e-37


def output_cross_entropy(
    readout: Tensor,
    kernel: Tensor,
    bias: Tensor,
    target_ids: Tensor,
    label_smoothing: float = 0.0,
    precision: str = "float32",
    tied: bool = False,
    consistency: float = 0.0,
) -> Tensor:
    """Mean cross-entropy a token, in nats, of softmax(x W + b), with its gradient written out.

    With smoothing the reference token y has probability 1 - e and e is spread evenly over the vocabulary (Szegedy et al., 2016, 7):

        loss = -(1 - e) log p_y - e / V sum_v log p_v        d loss / d logits = p - (1 - e) [v = y] - e / V

    [tokens, V] is by far the largest tensor of a training step and each pass over it counts, so there are no labels of that size, and
    what is the same for the whole vocabulary (e / V) or for a whole token (its share of the mean) is never multiplied in there.

    With a weight c of consistency (R-Drop: Liang et al., 2021, eq. 4, halved) each sentence was read twice, with dropout of its own, and
    stands in the batch twice, B/2 rows apart. What the two, p and q with logits z and w, disagree in counts as well, both ways:

        loss + c / 4 (KL(p || q) + KL(q || p)) = loss + c / 4 sum_v (p_v - q_v) (z_v - w_v)
        its gradient by z: c / 2 (p (d - p . d) + p - q), where d = z - w; c / 2, not c / 4, for each counts the pair

    Args:
        readout: [B, T, R], x.
        kernel: [R, V], W; with `tied` the table of embeddings [V, R], used transposed.
        bias: [V], b.
        target_ids: [B, T] reference ids, 0 at padding.
        label_smoothing: e.
        precision: of the matrix products; softmax and loss are float32.
        tied: how the kernel lies.
        consistency: c; needs the second half of the batch to be the first once more.

    Returns:
        A scalar: the sum over real tokens divided by their number; 0 if there are none.
    """
    ids = ops.reshape(ops.cast(target_ids, "int32"), (-1, 1))
    real = ops.cast(ops.not_equal(ids, 0), "float32")
    count = ops.maximum(ops.sum(real), 1.0)

    @ops.custom_gradient
    def loss_of(rows: Tensor, kernel: Tensor, bias: Tensor) -> tuple[Tensor, Any]:
        rounded = ops.cast(kernel, precision)  # once for all three products
        forth, back = (ops.transpose(rounded), rounded) if tied else (rounded, ops.transpose(rounded))
        logits = matmul(rows, forth, precision, bias)
        probabilities = ops.softmax(logits)
        of_reference = ops.take_along_axis(probabilities, ids, axis=1)
        losses = -ops.log(of_reference + TINY)
        if label_smoothing:
            # -log p_v = -log p_y + logit_y - logit_v, and the mean of x W + b over v is x mean(W) + mean(b).
            mean_kernel = ops.mean(kernel, axis=0 if tied else 1)
            mean_logits = ops.sum(rows * mean_kernel, axis=1, keepdims=True) + ops.mean(bias)
            losses = losses + label_smoothing * (ops.take_along_axis(logits, ids, axis=1) - mean_logits)
        if consistency:
            apart, away = probabilities - _other_half(probabilities), logits - _other_half(logits)
            losses = losses + consistency / 4 * ops.sum(apart * away, axis=1, keepdims=True)

        def gradients(*arguments: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
            share = (arguments[0] if upstream is None else upstream) / count  # PyTorch gives it by name, the others do not
            weighted = rows * (real * share)
            # errors: d loss / d logits of a token, but for e / V. (Of padding it is anything, and multiplied by 0 below.)
            places = ops.concatenate([ops.expand_dims(ops.arange(ops.shape(ids)[0], dtype="int32"), 1), ids], axis=1)
            errors = probabilities
            if consistency:
                mean_away = ops.sum(probabilities * away, axis=1, keepdims=True)
                errors = errors + consistency / 2 * (probabilities * (away - mean_away) + apart)
            of_reference_error = ops.take_along_axis(errors, ids, axis=1) - (1.0 - label_smoothing)
            errors = ops.scatter_update(ops.cast(errors, precision), places, ops.squeeze(ops.cast(of_reference_error, precision), 1))
            d_rows = matmul(errors, back, precision)
            d_kernel = matmul(ops.transpose(errors), weighted, precision) if tied else matmul(ops.transpose(weighted), errors, precision)
            d_bias = ops.squeeze(matmul(ops.transpose(real), errors, precision), 0) * share
            if label_smoothing:
                each = label_smoothing / bias.shape[0]
                total = each * ops.sum(weighted, axis=0)
                d_rows = d_rows - label_smoothing * mean_kernel
                d_kernel = d_kernel - (total if tied else ops.expand_dims(total, 1))
                d_bias = d_bias - each * share * ops.sum(real)
            return d_rows * (real * share), d_kernel, d_bias

        return ops.sum(losses * real) / count, gradients

    return loss_of(ops.reshape(readout, (-1, readout.shape[-1])), ops.copy(kernel), ops.copy(bias))


def _other_half(rows: Tensor) -> Tensor:
    """Each row's other reading: the rows [2N, ...] with their halves exchanged."""
    first, second = ops.split(rows, 2, axis=0)
    return ops.concatenate([second, first], axis=0)
