"""Text as Moses' scripts leave it: lower-cased, its punctuation normalised, tokenised (sacremoses, an optional package)."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence

from pipeline.runtime.errors import UserError
from pipeline.support.languages import base_language


def moses(language: str) -> Callable[[Sequence[str]], list[str]]:
    """What lower-cases, normalises and tokenises texts of a language, by English rules where none is given.

    Raises:
        UserError: sacremoses is not installed.
    """
    check_sacremoses()
    import sacremoses

    rules = _rules(language)
    # perl_parity: the scripts' own treatment of ’ and of French quotes, which sacremoses would put right.
    normalizer = sacremoses.MosesPunctNormalizer(rules, perl_parity=True)
    tokenizer = sacremoses.MosesTokenizer(rules)
    return lambda texts: [" ".join(tokenizer.tokenize(normalizer.normalize(text.lower()), escape=False)) for text in texts]


def signature_of_moses(language: str) -> dict[str, str]:
    """What must stand in a signature of sacreBLEU, which knows nothing of what was done before, in place of what it says."""
    import sacremoses

    rules = f"moses-{_rules(language)}"
    return {"case:mixed": "case:lc", "tok:none": f"norm:{rules}|tok:{rules}|sacremoses:{sacremoses.__version__}"}


def check_sacremoses() -> None:
    """Makes sure that `moses` can work: better before minutes of translating than after.

    Raises:
        UserError: sacremoses is not installed.
    """
    if importlib.util.find_spec("sacremoses") is None:
        raise UserError("BLEU of tokenised text needs a package more: pip install sacremoses (or leave out evaluation.tokenized_bleu)")


def _rules(language: str) -> str:
    return base_language(language) or "en"
