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
    side_by_side: bool = False,
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
        side_by_side: the two halves of the batch are computed apart from one another, as they always are with consistency.

    Returns:
        A scalar: the sum over real tokens divided by their number; 0 if there are none.
    """
    parts = halves if side_by_side or consistency else lambda batch: [batch]
    ids = [ops.reshape(ops.cast(part, "int32"), (-1, 1)) for part in parts(target_ids)]
    real = [ops.cast(ops.not_equal(part, 0), "float32") for part in ids]
    count = ops.maximum(sum(map(ops.sum, real)), 1.0)

    @ops.custom_gradient
    def loss_of(kernel: Tensor, bias: Tensor, readout: Tensor) -> tuple[Tensor, Any]:
        rows = [ops.reshape(part, (-1, readout.shape[-1])) for part in parts(readout)]
        rounded = ops.cast(kernel, precision)  # once for all products
        forth, back = (ops.transpose(rounded), rounded) if tied else (rounded, ops.transpose(rounded))
        logits = [matmul(part, forth, precision, bias) for part in rows]
        probabilities = [ops.softmax(part) for part in logits]
        losses = [-ops.log(ops.take_along_axis(*pair, axis=1) + TINY) for pair in zip(probabilities, ids, strict=True)]
        if label_smoothing:
            # -log p_v = -log p_y + logit_y - logit_v, and the mean of x W + b over v is x mean(W) + mean(b).
            mean_kernel, mean_bias = ops.mean(kernel, axis=0 if tied else 1), ops.mean(bias)
            for number, part in enumerate(rows):
                mean_logits = ops.sum(part * mean_kernel, axis=1, keepdims=True) + mean_bias
                excess = ops.take_along_axis(logits[number], ids[number], axis=1) - mean_logits
                losses[number] = losses[number] + label_smoothing * excess
        away: Tensor = None
        if consistency:
            away = consistency / 2 * (logits[0] - logits[1])
            losses[0] = losses[0] + ops.sum((probabilities[0] - probabilities[1]) * away, axis=1, keepdims=True)

        def gradients(*arguments: Tensor, upstream: Tensor | None = None) -> tuple[Tensor, ...]:
            share = (arguments[0] if upstream is None else upstream) / count  # PyTorch gives it by name, the others do not
            each = label_smoothing / bias.shape[0]
            d_rows, d_kernels, d_biases = [], [], []
            for number, part in enumerate(rows):
                errors = probabilities[number]
                if consistency:
                    errors = _drawn_together(errors, probabilities[1 - number], -away if number else away, consistency)
                errors = _towards_reference(errors, ids[number], 1.0 - label_smoothing, precision)
                weights = real[number] * share
                weighted = part * weights
                d_row = matmul(errors, back, precision)
                d_kernel = (
                    matmul(ops.transpose(errors), weighted, precision) if tied else matmul(ops.transpose(weighted), errors, precision)
                )
                d_bias = ops.squeeze(matmul(ops.transpose(real[number]), errors, precision), 0) * share
                if label_smoothing:
                    total = each * ops.sum(weighted, axis=0)
                    d_row = d_row - label_smoothing * mean_kernel
                    d_kernel = d_kernel - (total if tied else ops.expand_dims(total, 1))
                    d_bias = d_bias - each * ops.sum(weights)
                d_rows.append(d_row * weights)
                d_kernels.append(d_kernel)
                d_biases.append(d_bias)
            return _sum(d_kernels), _sum(d_biases), ops.reshape(ops.concatenate(d_rows), ops.shape(readout))

        return _sum([ops.sum(loss * part) for loss, part in zip(losses, real, strict=True)]) / count, gradients

    return loss_of(ops.copy(kernel), ops.copy(bias), readout)


def _drawn_together(probabilities: Tensor, other: Tensor, away: Tensor, consistency: float) -> Tensor:
    """p with the gradient of the consistency added: every term that has p in it gathered, for each is a pass over [tokens, V].

    p + c / 2 (p (d - p . d) + p - q) = p (1 + c / 2 - p . a + a) - c / 2 q, where a = c / 2 d is `away`.
    """
    of_token = 1.0 + consistency / 2 - ops.sum(probabilities * away, axis=1, keepdims=True)
    return probabilities * (of_token + away) - consistency / 2 * other


def _towards_reference(errors: Tensor, ids: Tensor, share: float, precision: str) -> Tensor:
    """d loss / d logits but for e / V: `share` less at the reference. (Of padding it is anything, and multiplied by 0 later.)"""
    places = ops.concatenate([ops.expand_dims(ops.arange(ops.shape(ids)[0], dtype="int32"), 1), ids], axis=1)
    of_reference = ops.take_along_axis(errors, ids, axis=1) - share
    return ops.scatter_update(ops.cast(errors, precision), places, ops.squeeze(ops.cast(of_reference, precision), 1))


def halves(batch: Tensor) -> list[Tensor]:
    """[B, ...] -> [B // 2, ...] and the rest."""
    middle = ops.shape(batch)[0] // 2
    return [batch[:middle], batch[middle:]]


def _sum(parts: list[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else parts[0] + parts[1]
