"""Adam, with TensorFlow's fused kernel where there is one."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

Tensor = Any


class FusedAdam(keras.optimizers.Adam):
    """Adam (Kingma & Ba, 2015, algorithm 1, in the more efficient order of its section 2).

    The arguments, the states and the numbers are those of `keras.optimizers.Adam`. On TensorFlow that one is a dozen passes over each
    weight; here it is one, which counts where batches are small.
    """

    def update_step(self, gradient: Tensor, variable: keras.Variable, learning_rate: Tensor) -> None:
        """Updates one weight and its two moments."""
        if keras.backend.backend() != "tensorflow" or self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        import tensorflow as tf

        index = self._get_variable_index(variable)
        # Keras hands over TensorFlow's own variable here, not the one that wraps it.
        weight = variable if isinstance(variable, tf.Variable) else variable.value
        step = ops.cast(self.iterations + 1, variable.dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=weight.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=ops.power(ops.cast(self.beta_1, variable.dtype), step),
            beta2_power=ops.power(ops.cast(self.beta_2, variable.dtype), step),
            lr=ops.cast(learning_rate, variable.dtype),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            # A dense tensor: rows of repeated tokens must be summed before they are squared.
            grad=tf.convert_to_tensor(gradient),
        )
