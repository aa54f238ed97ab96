"""Several models that translate together, each of any architecture, all with the same vocabulary."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
from keras import ops

from pipeline.configuration import Config
from pipeline.data.subwords import Tokenizer, short
from pipeline.decoding.weights import load_model
from pipeline.runtime.errors import UserError
from pipeline.support.run_directory import RunDirectory

if TYPE_CHECKING:
    from pipeline.model.decoder import Encoded
    from pipeline.model.seq2seq import Seq2Seq

Tensor = Any


class EncodedTogether(NamedTuple):
    """What decoding needs to know of a batch of source sentences: of each model its own.

    Attributes:
        members: one a model.
        state: [B, X] their states side by side, so that the search can carry them as one.
    """

    members: list[Encoded]
    state: Tensor


class Ensemble(keras.Model):
    """Models that translate as one (Sutskever et al., 2014): at each step p(y) = (p_1(y) + ... + p_N(y)) / N.

    The mean is that of the probabilities; in the mean of their logarithms a single model could forbid a token to all. An ensemble has
    what a search asks of a model, `encode` and `decode_step`, and is not trained itself.

    Args:
        members: trained models, with the same source and target vocabulary.
    """

    def __init__(self, members: Sequence[Seq2Seq]) -> None:
        super().__init__(name="ensemble")
        self.members = list(members)
        self.built = True

    def encode(self, source_ids: Tensor) -> EncodedTogether:
        """Reads source sentences: ids [B, S], 0 at padding."""
        members = [member.encode(source_ids) for member in self.members]
        return EncodedTogether(members, ops.concatenate([encoded.state for encoded in members], axis=-1))

    def read_token(self, token_ids: Tensor, state: Tensor, encoded: EncodedTogether) -> tuple[Tensor, Tensor, Tensor]:
        """All of `decode_step`: the mean needs the probabilities of each."""
        return self.decode_step(token_ids, state, encoded)

    def logits(self, readout: Tensor, layer: None = None) -> Tensor:
        """See `read_token`: they are there."""
        return readout

    def decode_step(self, token_ids: Tensor, state: Tensor, encoded: EncodedTogether) -> tuple[Tensor, Tensor, Tensor]:
        """One decoding step of K hypotheses a sentence; see `Seq2Seq.decode_step`.

        Returns:
            log_probs [B, K, V], logarithms of the mean probabilities; next state [B, K, X]; attention weights [B, K, S], their mean.
        """
        steps = [
            member.decode_step(token_ids, own_state, own_encoded)
            for member, own_state, own_encoded in zip(self.members, _split(state, encoded), encoded.members, strict=True)
        ]
        log_probs = ops.stack([ops.log_softmax(logits, axis=-1) for logits, _, _ in steps])  # --> [N, B, K, V]
        mean = ops.logsumexp(log_probs, axis=0) - math.log(len(steps))
        state = ops.concatenate([next_state for _, next_state, _ in steps], axis=-1)
        return mean, state, ops.mean(ops.stack([weights for _, _, weights in steps]), axis=0)


def _split(state: Tensor, encoded: EncodedTogether) -> list[Tensor]:
    """The state of each model: [B, K, X] -> N times [B, K, X_n]."""
    batch, beams, _ = ops.shape(state)
    states, start = [], 0
    for member in encoded.members:
        width = ops.shape(member.state)[-1]
        # A width may depend on the source, known to no graph; the reshape gives back those that are known.
        states.append(ops.reshape(state[..., start : start + width], (batch, beams, width)))
        start += width
    return states


def load_others(others: Sequence[RunDirectory], config: Config, tokenizer: Tokenizer, precision: str = "float32") -> list[Seq2Seq]:
    """The models of runs that are to translate together with a first one.

    Args:
        others: the runs; each model is built from its own config.
        config, tokenizer: of the first run.
        precision: of the matrix products of all, see `load_model`.

    Raises:
        UserError: a run has another tokenizer, translates between other languages, or lacks the attention that the search looks at; or see
            `load_model`.
    """
    models = []
    for other in others:
        own_config, own_tokenizer = other.load_config(), Tokenizer.load(other.tokenizer)
        if own_tokenizer.fingerprint != tokenizer.fingerprint:
            raise UserError(
                f"{other.root}: cannot join the ensemble: its tokenizer is {short(own_tokenizer.fingerprint)}, but {tokenizer.where} is "
                f"{short(tokenizer.fingerprint)}. Only runs with the same data and tokenizer can translate together."
            )
        own_languages, languages = ((data.source_language, data.target_language) for data in (own_config.data, config.data))
        if own_languages != languages:
            raise UserError(
                f"{other.root}: cannot join the ensemble: it translates {'-'.join(own_languages)}, the first run {'-'.join(languages)}."
            )
        if config.decoding.coverage_penalty and own_config.model.attention.kind == "none":
            raise UserError(
                f"{other.root}: has no attention, which decoding.coverage_penalty looks at. Without it: --set decoding.coverage_penalty=0"
            )
        models.append(load_model(other, own_config, own_tokenizer, precision))
    return models
