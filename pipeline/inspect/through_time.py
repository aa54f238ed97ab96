"""How far back a network learns: the gradient of one token's loss, followed back through the decoder's states.

Where every step makes the gradient smaller, the first tokens are never told of what went wrong at the last (Bengio et al., 1994;
Pascanu et al., 2013). Gates and attention are there against it, and whether they help can be measured on one's own model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from pipeline.data.batches import Batch
from pipeline.inspect.gradients import gradient_of

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq

Tensor = Any


def gradients_by_distance(model: Seq2Seq, batches: Sequence[Batch], distances: int = 30) -> NDArray[np.float64]:
    """|d loss_T / d s_t| by T - t: the loss of each sentence's last token, by the decoder's state before it writes token t.

    Args:
        model: trained or new.
        batches: sentences; those with few tokens say something about small distances only.
        distances: how far back.

    Returns:
        [distances], the geometric mean over the sentences of the norm at each distance, as a share of that at distance 0: the state
        before the step that writes the last token. nan where no sentence is that long.
    """
    found: list[list[float]] = [[] for _ in range(distances)]
    for batch in batches:
        norms = np.linalg.norm(state_gradients(model, batch), axis=-1)  # --> [B, T]
        for row, length in zip(norms, np.count_nonzero(batch.target_ids, axis=1), strict=True):
            own = row[:length][::-1]
            for distance, norm in enumerate(own[:distances]):
                if own[0] > 0:
                    found[distance].append(max(float(norm / own[0]), 1e-30))
    return np.array([np.exp(np.mean(np.log(some))) if some else np.nan for some in found])


def state_gradients(model: Seq2Seq, batch: Batch) -> NDArray[np.float32]:
    """d loss_T / d s_t of each sentence: [B, T, Y], where s_t is the decoder's state before step t, t = 0 its first (0 after the end).

    It is the whole state: of all layers, of an LSTM h and c, with coverage the attention so far as well. All paths from s_t on count:
    through the states, and through what later steps look at.
    """
    encoded = model.encode(ops.convert_to_tensor(batch.source_ids))
    size, length = batch.target_ids.shape

    # One number is added to each state as it is made; the gradient of these additions is that of the states.
    def loss(added: Tensor) -> Tensor:
        return ops.sum(last_losses(model, batch, encoded, added))

    return gradient_of(loss, np.zeros((size, length, encoded.state.shape[-1]), np.float32))


def last_losses(model: Seq2Seq, batch: Batch, encoded: Any, added: Tensor) -> Tensor:
    """-log p of each sentence's last token [B], where `added` [B, T, Y] is added to the states before they are used."""
    size, length = batch.target_ids.shape
    ends = np.count_nonzero(batch.target_ids, axis=1) - 1
    inputs, ids = ops.convert_to_tensor(batch.target_inputs), ops.convert_to_tensor(batch.target_ids)
    state, losses = encoded.state[:, None], ops.zeros((size,))
    for index in range(length):
        logits, state, _ = model.decode_step(inputs[:, index : index + 1], state + added[:, index : index + 1], encoded)
        own = ops.take_along_axis(ops.log_softmax(logits[:, 0]), ids[:, index : index + 1], axis=1)[:, 0]
        losses = losses - ops.where(ops.convert_to_tensor(ends == index), own, 0.0)
    return losses
