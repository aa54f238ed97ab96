"""A sentence and its translation as the model saw them: pieces of both sides, probabilities, attention. What all pictures begin with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from keras import ops
from numpy.typing import NDArray

from pipeline.configuration import Config
from pipeline.data.batches import pad
from pipeline.data.subwords import BOS, Subwords, Tokenizer
from pipeline.decoding.search_model import attention_weights
from pipeline.decoding.text_stream import clean_line
from pipeline.decoding.translator import Translator
from pipeline.runtime.errors import UserError
from pipeline.runtime.segmentation import RUN_OF_SPACES
from pipeline.support.run_directory import RunDirectory

if TYPE_CHECKING:
    from pipeline.model.seq2seq import Seq2Seq

Ids = NDArray[np.int32]
END = "</s>"


@dataclass(frozen=True)
class Reading:
    """A sentence, a translation of it, and what the model makes of both; EOS is the last piece of each side.

    Attributes:
        text, translation: as people write them, but cleaned.
        source_ids: [1, S]; target_ids: [1, T].
        source, target: their S and T pieces, '▁' where a word begins.
        probabilities: [T] of each target piece, after the pieces before it.
        attention: [T, S] how much each target piece looked at each source piece; rows sum to 1 (to 0 in a model without attention).
    """

    text: str
    translation: str
    source_ids: Ids
    target_ids: Ids
    source: list[str]
    target: list[str]
    probabilities: NDArray[np.float32]
    attention: NDArray[np.float32]

    @property
    def target_inputs(self) -> Ids:
        """[1, T] the translation shifted right, BOS first."""
        return shifted(self.target_ids)


class Reader:
    """A run's model, and all that is needed to look into it.

    Args:
        model: trained.
        tokenizer: the one it was trained with.
        translator: translates with this model.
        config: of the run.
    """

    def __init__(self, model: Seq2Seq, tokenizer: Tokenizer, translator: Translator, config: Config) -> None:
        self.model, self.tokenizer, self.translator, self.config = model, tokenizer, translator, config

    @classmethod
    def load(cls, run: RunDirectory, config: Config | None = None) -> Reader:
        """That of a run; without `config`, as the run stores it.

        Raises:
            UserError: the run is not trained, or its files do not go together.
        """
        config = config or run.load_config([])
        translator = Translator.load(run, config)
        return cls(translator.model, translator.tokenizer, translator, config)

    def cleaned(self, text: str) -> str:
        """A sentence as `translate` gives it to the model."""
        return RUN_OF_SPACES.sub(" ", clean_line(text, self.config.data.cleaning))

    def readable(self, texts: Sequence[str]) -> list[str]:
        """Those that are not longer than the model's limit."""
        return [text for text in texts if self.tokenizer.count(text) <= self.config.model.max_tokens]

    def read(self, text: str, translation: str | None = None) -> Reading:
        """Reads a sentence, with its translation by the model, or with another one.

        Raises:
            UserError: the text is empty, or it or the given translation is longer than the model's limit.
        """
        text = self.cleaned(text)
        [ids], [kept] = self.tokenizer.encode_source([text])
        if not ids:
            raise UserError("there is no text to look at: give a sentence.")
        self._check_length("the text", ids)
        if translation is None:
            [found] = self.translator.translate([text])
            target, translation = found.ids, found.text
        else:
            translation = self.cleaned(translation)
            [target] = self.tokenizer.encode_target([translation], [kept])
            self._check_length("the translation", target)
        source_ids, target_ids = pad([ids]), pad([target])
        inputs = shifted(target_ids)
        return Reading(
            text,
            translation,
            source_ids,
            target_ids,
            self.pieces(self.tokenizer.source, ids, kept),
            self.pieces(self.tokenizer.target, target, kept),
            np.exp(token_log_probs(self.model, source_ids, inputs, target_ids))[0],
            np.asarray(attention_weights(self.model, ops.convert_to_tensor(source_ids), ops.convert_to_tensor(inputs)))[0],
        )

    def demand_attention(self) -> None:
        """Makes sure that the model has attention.

        Raises:
            UserError: it has none.
        """
        if self.config.model.attention.kind == "none":
            raise UserError("this model has no attention (model.attention.kind: none); `saliency` shows what a translation hangs on.")

    def _check_length(self, what: str, ids: Sequence[int]) -> None:
        limit = self.config.model.max_tokens
        if len(ids) > limit:
            raise UserError(f"{what} has {len(ids)} pieces: {limit} is the limit (model.max_tokens). Give one sentence.")

    def pieces(self, subwords: Subwords, ids: list[int], kept: dict[str, str]) -> list[str]:
        """Pieces of ids without EOS, and the end; a slot as what stands in it."""
        return [_shown(piece, kept) for piece in subwords.pieces(ids)] + [END]


def shifted(target_ids: Ids) -> Ids:
    """[B, T] shifted right, BOS first: what the decoder reads."""
    return np.concatenate([np.full((len(target_ids), 1), BOS, np.int32), target_ids[:, :-1]], axis=1)


def token_log_probs(model: Seq2Seq, source_ids: Any, target_inputs: Any, target_ids: Any) -> NDArray[np.float32]:
    """Log probability of each target token after those before it.

    Args:
        model: trained.
        source_ids: [B, S], EOS after each sentence, then 0.
        target_inputs: [B, T] the targets shifted right, BOS first; target_ids: [B, T].

    Returns:
        [B, T]; 0 at padding.
    """
    readout = model({"source_ids": ops.convert_to_tensor(source_ids), "target_inputs": ops.convert_to_tensor(target_inputs)})
    log_probs = ops.log_softmax(model.logits(readout))
    chosen = ops.take_along_axis(log_probs, ops.convert_to_tensor(target_ids)[..., None], axis=-1)[..., 0]
    return np.where(np.asarray(target_ids) > 0, np.asarray(chosen), 0.0).astype(np.float32)


def _shown(piece: str, kept: dict[str, str]) -> str:
    for symbol, text in kept.items():
        piece = piece.replace(symbol, text)
    return piece
