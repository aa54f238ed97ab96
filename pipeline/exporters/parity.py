"""Do the artefacts translate as the model does? The same sentences through all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.decoding.translator import Translator
from pipeline.exporters.fresh_process import fresh_answers
from pipeline.runtime.errors import UserError
from pipeline.runtime.translator import PhoneTranslator
from pipeline.scoring.metrics import bleu_against, corpus_bleu

_SIGNIFICANT = 0.05

ENOUGH = 100
"""Sentences of which resampling says something; of fewer, too many a difference seems to be no chance."""


_ROUNDING = 1e-5
"""Scores that differ by less are equal: sums of logarithms, each rounded to seven digits, in different orders."""


@dataclass(frozen=True)
class Sentences:
    """What everything is compared on.

    Attributes:
        split: where they come from.
        texts: the sources, cleaned, none of them empty or longer than the model's limit.
        source_ids: their ids, without EOS.
        references: their translations.
        language: code of the target language.
    """

    split: str
    texts: list[str]
    source_ids: list[list[int]]
    references: list[str]
    language: str

    def bleu(self, hypotheses: Sequence[str]) -> float:
        """BLEU of translations of all of them."""
        return corpus_bleu(hypotheses, self.references, self.language)


@dataclass(frozen=True)
class Answers:
    """What the model, or an artefact, makes of the sentences.

    Attributes:
        ids: of each translation, without EOS.
        texts: the translations.
        scores: of each.
        milliseconds: for each sentence alone, on one thread; empty where that was not measured.
    """

    ids: list[list[int]]
    texts: list[str]
    scores: list[float]
    milliseconds: list[float] = field(default_factory=list)

    @property
    def latency(self) -> float | None:
        """Median milliseconds a sentence."""
        return statistics.median(self.milliseconds) if self.milliseconds else None

    def equal(self, other: Answers) -> int:
        """Number of sentences with the same ids."""
        return sum(mine == others for mine, others in zip(self.ids, other.ids, strict=True))


def keras_answers(translator: Translator, sentences: Sentences) -> Answers:
    """What the model itself answers: the measure of all others."""
    translations = translator.translate(sentences.texts)
    return Answers([one.ids for one in translations], [one.text for one in translations], [one.score for one in translations])


def saved_model_answers(saved_model: Path, sentences: Sentences, eos: int, pad: int) -> Answers:
    """What a SavedModel answers in a process of its own."""
    answer = fresh_answers(saved_model, sentences.texts, [[*ids, eos] for ids in sentences.source_ids])
    ids = [[token for token in row if token not in (eos, pad)] for row in answer["ids"]]
    return Answers(ids, answer["translations"], answer["scores"], answer["milliseconds"])


def phone_answers(phone: PhoneTranslator, sentences: Sentences) -> Answers:
    """What a .tflite file answers, its texts by way of the app's own code."""
    ids, texts, scores, milliseconds = [], [], [], []
    phone.translate_ids(sentences.source_ids[0])  # warms up
    for text in sentences.texts:
        source_ids, kept = phone.encode(text)
        start = time.perf_counter()
        found = phone.translate_ids(source_ids)
        milliseconds.append(1000 * (time.perf_counter() - start))
        ids.append(found.ids)
        texts.append(phone.decode(found.ids, kept))
        scores.append(found.score)
    return Answers(ids, texts, scores, milliseconds)


def demand_equal(name: str, sentences: Sentences, expected: Answers, found: Answers) -> None:
    """Makes sure that an artefact in float32 translates every sentence to the model's own ids, and to its text.

    Two translations of one score are equally good to the model, and rounding, which is another in another engine, chooses. So where the
    scores are equal, ids may differ, in a sentence of a hundred.

    Raises:
        UserError: it does not; the message shows the first sentence that differs.
    """
    differing = [index for index in range(len(sentences.texts)) if expected.ids[index] != found.ids[index]]
    wrong = [index for index in differing if abs(expected.scores[index] - found.scores[index]) > _ROUNDING]
    if wrong or len(differing) > max(1, len(sentences.texts) // 100):
        first = (wrong or differing)[0]
        raise UserError(
            f"{name}: translates {len(differing)} of {len(sentences.texts)} sentences to other ids than the model; nothing was exported. "
            f"One of them, number {first + 1}:\n"
            f"  source     {sentences.texts[first]}\n"
            f"  source ids {sentences.source_ids[first]}\n"
            f"  model      {expected.ids[first]}  (score {expected.scores[first]:.6f})\n"
            f"  {name:10} {found.ids[first]}  (score {found.scores[first]:.6f})\n"
            "The exporter is wrong: please report it."
        )
    texts = [index for index in range(len(sentences.texts)) if index not in differing and expected.texts[index] != found.texts[index]]
    if texts:
        first = texts[0]
        raise UserError(
            f"{name}: has the model's ids, but other text in {len(texts)} of {len(sentences.texts)} sentences; nothing was exported. "
            f"The first, number {first + 1} of them:\n"
            f"  source     {sentences.texts[first]}\n"
            f"  model      {expected.texts[first]!r}\n"
            f"  {name:10} {found.texts[first]!r}\n"
            "Its SentencePiece differs from the run's: please report it."
        )


def compared(sentences: Sentences, expected: Answers, found: Answers) -> dict[str, Any]:
    """An artefact's part of the report, as far as its answers decide it; see `pipeline.exporters.artefacts`."""
    bleu, p_value = bleu_against(found.texts, expected.texts, sentences.references, sentences.language)
    return {
        "equal": expected.equal(found),
        "bleu": round(bleu, 4),
        "p_value": round(p_value, 4),
        "score_difference": round(max(abs(mine - its) for mine, its in zip(expected.scores, found.scores, strict=True)), 7),
        "milliseconds": None if found.latency is None else round(found.latency, 2),
    }


def demand_quality(artefacts: dict[str, dict[str, Any]], bleu: float, most: float, sentences: int) -> str | None:
    """Makes sure that no artefact has lost more BLEU than it may; a loss that may be chance is none.

    Args:
        artefacts: name -> its part of the report.
        bleu: the model's.
        most: `export.max_bleu_loss`.
        sentences: how many were translated.

    Returns:
        Why this could not be checked, where it could not: a line for the reader; None if it was, or if nothing can be lost because all
        artefacts have float32's ids.

    Raises:
        UserError: an artefact has lost more.
    """
    small = [name for name, artefact in artefacts.items() if artefact["equal"] < sentences or name.endswith(("float16", "int8"))]
    if small and sentences < ENOUGH:
        return (
            f"BLEU of {', '.join(small)} not checked against export.max_bleu_loss ({most:g}): only {sentences} "
            f"sentence{'s' * (sentences != 1)}, {ENOUGH} are needed to tell a loss from chance. A larger data.test, or "
            "export.parity_sentences, gives more."
        )
    for name, artefact in artefacts.items():
        if bleu - artefact["bleu"] > most and artefact["p_value"] < _SIGNIFICANT:
            kind, _, precision = name.partition("/")
            remedy = f"Leave {precision} out of export.{kind}" if precision else "Set export.saved_model_weights to float32"
            raise UserError(
                f"{name}: has {artefact['bleu']:.2f} BLEU, {bleu - artefact['bleu']:.2f} less than the model "
                f"(p = {artefact['p_value']:.3f}), "
                f"but export.max_bleu_loss allows {most:g}. Nothing was exported. {remedy}, or allow more."
            )
    return None
