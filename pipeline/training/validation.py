"""How good the model is right now: loss, perplexity, BLEU of greedy translations, and a few of these to look at."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pipeline.data.batches import EncodedPairs, plan_epoch
from pipeline.data.subwords import BOS, EOS, Tokenizer
from pipeline.decoding.search import Search
from pipeline.decoding.translator import Translator
from pipeline.scoring.metrics import corpus_bleu

if TYPE_CHECKING:
    from pipeline.configuration import Config
    from pipeline.model.seq2seq import Seq2Seq

SAMPLES = 3


@dataclass(frozen=True)
class Validation:
    """The outcome of a validation.

    Attributes:
        loss: cross-entropy, nats a token, without label smoothing.
        bleu: sacreBLEU of greedy translations of the chosen sentences.
        samples: (source, translation, reference) of a few of them.
    """

    loss: float
    bleu: float
    samples: list[tuple[str, str, str]]

    @property
    def perplexity(self) -> float:
        """exp(loss)."""
        return math.exp(min(self.loss, 100.0))


class Validator:
    """Validates a model on the validation split, the same sentences every time.

    Args:
        model: the one in training.
        tokenizer: of the run.
        pairs: the split, encoded.
        texts: (sources, references) of the sentences to translate.
        config: of the run.
    """

    def __init__(
        self, model: Seq2Seq, tokenizer: Tokenizer, pairs: EncodedPairs, texts: tuple[list[str], list[str]], config: Config
    ) -> None:
        self._model = model
        self._pairs = pairs
        self._batches = plan_epoch(pairs, config.training.batch_tokens, seed=0)
        self._pad_multiple = config.training.pad_multiple
        self._sources, self._references = texts
        self._language = config.data.target_language
        # Of no setting of `decoding`: which weights are kept must not depend on how they will be tried.
        greedy = Search(1, config.model.max_tokens, length_penalty=1.0, slots=tokenizer.slots.size, bos=BOS, eos=EOS)
        self._translator = Translator(model, tokenizer, greedy, 128, self._pad_multiple)

    @property
    def texts(self) -> list[tuple[str, str]]:
        """The sentences that are translated, with their references."""
        return list(zip(self._sources, self._references, strict=True))

    def __call__(self) -> Validation:
        """Scores the model as it is."""
        translations = [translation.text for translation in self._translator.translate(self._sources)]
        bleu = corpus_bleu(translations, self._references, self._language)
        rows = list(zip(self._sources, translations, self._references, strict=True))
        samples = [rows[number * len(rows) // SAMPLES] for number in range(min(SAMPLES, len(rows)))]
        return Validation(self._loss(), bleu, samples)

    def _loss(self) -> float:
        total = 0.0
        tokens = 0
        for indices in self._batches:
            batch = self._pairs.batch(np.sort(indices), self._pad_multiple)
            self._model.reset_metrics()
            total += float(self._model.test_on_batch(batch.inputs, batch.target_ids)) * batch.target_tokens
            tokens += batch.target_tokens
        return total / max(tokens, 1)
