"""Saliency: how much each target piece hangs on each source piece, by the gradient; beside attention, because attention alone misleads.

Attention says where the decoder looked. What it saw there, a state of a recurrent encoder, knows of its neighbours too, and what looked
like a glance at one word may have used another (Jain & Wallace, 2019). The gradient follows every path.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from pipeline.inspect.gradients import gradient_of
from pipeline.inspect.reading import Reading
from pipeline.runtime.errors import UserError

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq


def saliency(model: Seq2Seq, reading: Reading) -> NDArray[np.float32]:
    """Gradient times input (Denil et al., 2014; for translation: Ding et al., 2019).

    Returns:
        [T, S], e_s . d log p(y_t) / d e_s: by how much log p(y_t) would rise, to first order, were the embedding e_s of source piece s
        twice as large. Positive: the piece speaks for y_t.

    Raises:
        UserError: the first thing that the encoder does to an embedding is to normalise it: its size then means nothing, and all is 0.
    """
    lowest = getattr(model.encoder, "layers", [None])[0]
    if getattr(lowest, "layer_norm", False) and not model.encoder.words:
        raise UserError("gradient x input says nothing of a model with encoder.layer_norm: it makes all embeddings equally large.")
    steps = reading.target_ids.shape[1]
    embedded = np.asarray(model.embed_source(ops.convert_to_tensor(reading.source_ids)))
    # The sentence once for each target token, each row asked for the probability of its own: one gradient gives them all.
    rows = np.repeat(embedded, steps, axis=0)
    gradient = gradient_of(lambda embedded: ops.sum(own_log_probs(model, reading, embedded)), rows)
    return np.einsum("tse,tse->ts", gradient, rows)


def own_log_probs(model: Seq2Seq, reading: Reading, embedded: Any) -> Any:
    """log p(y_t) where the source's embeddings are those of row t: [T, S, E] -> [T]."""
    steps, length = reading.target_ids.shape[1], reading.source_ids.shape[1]
    encoded = model.encode_embedded(embedded, ops.ones((steps, length), dtype="bool"))
    inputs = ops.repeat(ops.convert_to_tensor(reading.target_inputs), steps, axis=0)
    readout, _ = model.decoder.teacher_forced(model.embed_target(inputs), encoded)
    own = ops.convert_to_tensor(np.eye(steps, dtype=np.float32))[..., None]
    log_probs = ops.log_softmax(model.logits(ops.sum(readout * own, axis=1)))
    return ops.take_along_axis(log_probs, ops.convert_to_tensor(reading.target_ids[0])[:, None], axis=1)[:, 0]
