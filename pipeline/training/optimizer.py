"""AdamW, and what belongs around it: clipping, accumulation, an average of the weights, and nothing at all where a number is not finite."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

Tensor = Any


class FusedAdam(keras.optimizers.Adam):
    """AdamW with clipping, in as few passes over the weights as the backend allows; gradients that are not finite change nothing.

    An update, with the gradient g of each weight w, t updates done with this one, and `rate` the learning rate:

        g <- g * min(1, clip / |g|), the norm over all weights together       (Pascanu et al., 2013, algorithm 1)
        w <- w - rate * weight_decay * w                                      (Loshchilov & Hutter, 2019, algorithm 2)
        m <- m + (1 - beta_1) (g - m)
        v <- v + (1 - beta_2) (g^2 - v)
        w <- w - rate * sqrt(1 - beta_2^t) / (1 - beta_1^t) * m / (sqrt(v) + epsilon)     (Kingma & Ba, 2015, end of section 2)
        a <- a + (1 - decay) (w - a), decay = min(average, (1 + t) / (10 + t))

    The numbers are those of `keras.optimizers.AdamW`, but for a weight whose gradient comes in rows, an embedding: rows of a token that
    stands in the batch several times are summed before their norm is taken.

    The learning rate is a number, set from outside before an update; see `exclude_from_weight_decay` for weights that do not decay.

    Args:
        learning_rate: of the first update.
        global_clipnorm: bound of the gradient's norm.
        weight_decay: 0 = none.
        average: decay of the average of the weights, which begins shorter; 0 = no average.
        accumulate: batches an update: the mean of their gradients, weighted with `batch_tokens`.
        options: of `keras.optimizers.Adam`.

    Attributes:
        averages: a in the order of the weights; empty without.
        batch_tokens: weight of the next batch among those of its update; to be set where `accumulate` is more than 1.
        gradient_norm: |g| before clipping, of the last update, or of the batch that was left out after it.
        skipped: batches left out so far, because their gradient was not finite.
    """

    def __init__(
        self,
        learning_rate: float,
        *,
        global_clipnorm: float,
        weight_decay: float = 0.0,
        average: float = 0.0,
        accumulate: int = 1,
        **options: Any,
    ) -> None:
        super().__init__(float(learning_rate), weight_decay=weight_decay, global_clipnorm=global_clipnorm, **options)
        self.accumulate = accumulate
        self._average = average

    def build(self, variables: list[keras.Variable]) -> None:
        """Makes the states: moments, counts, and where they are asked for averages and sums of gradients."""
        if self.built:
            return
        super().build(variables)
        self.gradient_norm = self.add_variable((), name="gradient_norm")
        self.skipped = self.add_variable((), dtype="int32", name="skipped")
        self.averages = self.add_optimizer_variables(variables, "average") if self._average else []
        self.begin_averages(variables)
        if self.accumulate > 1:
            self.batch_tokens = self.add_variable((), initializer="ones", name="batch_tokens")
            self._sums = self.add_optimizer_variables(variables, "sum")
            self._summed_tokens = self.add_variable((), name="summed_tokens")
            self._summed_batches = self.add_variable((), dtype="int32", name="summed_batches")

    def begin_averages(self, variables: list[keras.Variable]) -> None:
        """The averages, where there are any, are the weights as they are now; to be called where these were set from outside."""
        for average, weight in zip(self.averages, variables, strict=False):
            average.assign(np.asarray(weight))  # a copy: JAX would give the average the weight's own memory

    def apply(self, grads: list[Tensor], trainable_variables: list[keras.Variable] | None = None) -> None:
        """Takes the gradients of a batch; with the last batch of an update, updates the weights."""
        weights = self._trainable_variables if trainable_variables is None else list(trainable_variables)
        gradients = [_dense(gradient) for gradient in grads]
        norm = _norm(gradients)
        finite = ops.isfinite(norm)
        self.skipped.assign_add(ops.cast(ops.logical_not(finite), "int32"))
        self.gradient_norm.assign(norm)
        if self.accumulate == 1:
            self._update(gradients, weights, norm, finite)
            return
        self._sum(gradients, weights, finite)

        def update() -> None:
            tokens = ops.maximum(self._summed_tokens, 1.0)
            means = [self._sums[self._get_variable_index(weight)] / tokens for weight in weights]
            norm = _norm(means)
            # What stays to be seen after an update whose last batch was left out is the norm of that batch.
            self.gradient_norm.assign(ops.where(finite & due, norm, self.gradient_norm.value))
            self._update(means, weights, norm, due & ops.isfinite(norm) & (self._summed_tokens > 0))

        due = ops.equal(self._summed_batches, 0)
        _where_needed(due, update)

    def _sum(self, gradients: list[Tensor], weights: list[keras.Variable], finite: Tensor) -> None:
        """Adds the gradients of a batch to those of the same update before it; a batch that is not finite adds nothing."""
        tokens = self.batch_tokens * ops.cast(finite, "float32")
        kept = ops.cast(self._summed_batches > 0, "float32")  # 0 where an update begins: what the last one has used is forgotten
        for gradient, weight in zip(gradients, weights, strict=True):
            total = self._sums[self._get_variable_index(weight)]
            total.assign(total * kept + _scaled(gradient, tokens))
        self._summed_tokens.assign(self._summed_tokens * kept + tokens)
        self._summed_batches.assign((self._summed_batches + 1) % self.accumulate)

    def _update(self, gradients: list[Tensor], weights: list[keras.Variable], norm: Tensor, go: Tensor) -> None:
        """Updates the weights; where `go` is false, every one of these assignments leaves its variable as it is, to the bit."""
        go = ops.cast(go, "bool")
        rate = ops.where(go, ops.cast(self.learning_rate, "float32"), 0.0)
        beta_1, beta_2 = (ops.where(go, beta, 1.0) for beta in (self.beta_1, self.beta_2))
        scale = ops.where(go, ops.minimum(1.0, self.global_clipnorm / norm), 0.0)
        self.iterations.assign_add(ops.cast(go, self.iterations.dtype))
        # Before the first update of all, t is 0 where `go` is false: powers of 0 would make 0 / 0 of the correction.
        count = ops.maximum(ops.cast(self.iterations, "float32"), 1.0)
        powers = ops.power(self.beta_1, count), ops.power(self.beta_2, count)
        decay = ops.minimum(self._average, (1.0 + count) / (10.0 + count))
        share = ops.where(go, 1.0 - decay, 0.0)
        for gradient, weight in zip(gradients, weights, strict=True):
            index = self._get_variable_index(weight)
            if self.weight_decay and self._use_weight_decay(weight):
                weight.assign(weight * (1.0 - rate * self.weight_decay))
            moments = self._momentums[index], self._velocities[index]
            _adam(weight, moments, _scaled(gradient, scale), rate, (beta_1, beta_2), powers, self.epsilon)
            if self.averages:
                _approach(self.averages[index], weight, share)


def _dense(gradient: Tensor) -> Tensor:
    """Rows of repeated tokens must be summed before they are squared."""
    if keras.backend.backend() != "tensorflow":
        return gradient
    import tensorflow as tf

    return tf.convert_to_tensor(gradient)


def _norm(gradients: list[Tensor]) -> Tensor:
    """Of all gradients together."""
    if keras.backend.backend() != "tensorflow":
        return ops.sqrt(sum(ops.sum(ops.square(gradient)) for gradient in gradients))
    import tensorflow as tf

    return tf.sqrt(2.0 * tf.add_n([tf.nn.l2_loss(gradient) for gradient in gradients]))


def _scaled(gradient: Tensor, scale: Tensor) -> Tensor:
    """gradient * scale; 0 where scale is 0, whatever the gradient is."""
    if keras.backend.backend() != "tensorflow":
        return ops.where(ops.equal(scale, 0.0), 0.0, gradient * scale)
    import tensorflow as tf

    return tf.math.multiply_no_nan(gradient, scale)


def _adam(
    weight: keras.Variable,
    moments: tuple[keras.Variable, keras.Variable],
    gradient: Tensor,
    rate: Tensor,
    betas: tuple[Tensor, Tensor],
    powers: tuple[Tensor, Tensor],
    epsilon: float,
) -> None:
    """Moves a weight and its moments; `powers` are the betas to the power of t."""
    first, second = moments
    if keras.backend.backend() != "tensorflow":
        first.assign(first + (1.0 - betas[0]) * (gradient - first))
        second.assign(second + (1.0 - betas[1]) * (ops.square(gradient) - second))
        alpha = rate * ops.sqrt(1.0 - powers[1]) / (1.0 - powers[0])
        weight.assign(weight - alpha * first / (ops.sqrt(second) + epsilon))
        return
    import tensorflow as tf

    # One pass, where Keras's own Adam is a dozen: that counts where batches are small.
    tf.raw_ops.ResourceApplyAdam(
        var=weight.value.handle,
        m=first.value.handle,
        v=second.value.handle,
        beta1_power=powers[0],
        beta2_power=powers[1],
        lr=rate,
        beta1=betas[0],
        beta2=betas[1],
        epsilon=epsilon,
        grad=gradient,
    )


def _approach(average: keras.Variable, weight: keras.Variable, share: Tensor) -> None:
    """average + share * (weight - average)."""
    if keras.backend.backend() != "tensorflow":
        average.assign(average + share * (weight - average))
        return
    import tensorflow as tf

    tf.raw_ops.ResourceApplyGradientDescent(var=average.value.handle, alpha=share, delta=average.value - weight.value)


def _where_needed(condition: Tensor, action: Callable[[], None]) -> None:
    """Calls an action that changes nothing where `condition` is false; on JAX, whose branches cannot assign, there too."""
    if keras.backend.backend() == "jax":
        action()
    else:
        ops.cond(condition, action, lambda: None)
