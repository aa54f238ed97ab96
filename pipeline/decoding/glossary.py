"""A glossary: terms of the source language, and what each must become."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from pipeline.data.sources.lines import read_lines
from pipeline.decoding.whole_words import may_go_on_after, may_go_on_before
from pipeline.runtime.errors import UserError
from pipeline.runtime.segmentation import RUN_OF_SPACES

_REMEDY = "Convert the file: iconv -t UTF-8."


class Glossary:
    """Finds terms in sentences, as whole words, the longest first; capitals count only in terms that have some.

    Args:
        terms: source term -> target term.
    """

    def __init__(self, terms: dict[str, str]) -> None:
        self.terms = dict(terms)
        # Of equal length first those whose capitals count.
        order = sorted(terms, key=lambda term: (-len(term), _is_folded(term)))
        self._order = [(term, _folded(term), _whole(term)) for term in order]

    @classmethod
    def load(cls, path: Path, edit: Callable[[str], str] = str) -> Glossary:
        """Reads a file of lines: source term, a tab, target term. Blank lines, and those that begin with #, are passed over.

        Args:
            path: the file.
            edit: what is done to the text in which the terms will be looked for.

        Raises:
            UserError: it cannot be read, a line has another form, or one term has two targets.
        """
        terms: dict[str, str] = {}
        for number, line in enumerate(read_lines(path, remedy=_REMEDY), start=1):
            if not line.strip() or line.startswith("#"):
                continue
            source, _, target = (RUN_OF_SPACES.sub(" ", edit(part)).strip() for part in line.partition("\t"))
            if not (source and target) or line.count("\t") > 1:
                raise UserError(f"{path}:{number}: expected a source term, a tab and a target term. Found: {line[:80]!r}")
            if terms.setdefault(source, target) != target:
                raise UserError(f"{path}:{number}: '{source}' must become '{terms[source]}' already; a term can have one target only.")
        if not terms:
            raise UserError(f"{path}: has no terms. Expected lines of a source term, a tab and a target term.")
        return cls(terms)

    def demanded(self, sentence: str, placeholders: Sequence[tuple[int, int]] = ()) -> list[str]:
        """The target terms that a translation of `sentence` must contain, each once.

        Args:
            sentence: of the source language.
            placeholders: start and end of each; what stands in one is no term.
        """
        near = self._near(sentence)
        if not near:
            return []
        # Each is a group, which tells the term: that of "İ" cannot be looked up by "i".
        found = [
            near[(match.lastindex or 0) - 1][0]
            for match in re.finditer("|".join(f"({pattern})" for _, pattern in near), sentence)
            if not any(match.start() < end and match.end() > start for start, end in placeholders)
        ]
        return list(dict.fromkeys(self.terms[term] for term in found))

    def patterns_in(self, text: str) -> Iterator[re.Pattern[str]]:
        """Patterns of the terms that may stand in a text: where it is cut, they stay whole."""
        for _, pattern in self._near(text):
            yield re.compile(pattern)

    def _near(self, text: str) -> list[tuple[str, str]]:
        """Of thousands of terms, the few that can stand in a text, with their patterns."""
        folded = _folded(text)
        return [(term, pattern) for term, begun, pattern in self._order if begun in folded]

    def check(
        self,
        copied: Callable[[str], Iterable[str]],
        encode: Callable[[Sequence[str]], list[list[int]]],
        unknown: int,
        longest: int,
    ) -> None:
        """Makes sure that a model can obey all terms.

        Args:
            copied: what of a source text is copied into its translation as it is.
            encode: target texts to ids.
            unknown: id of what the model does not know.
            longest: pieces of a term, at most.

        Raises:
            UserError: a part of a source term is copied, so that it cannot become another; or the model cannot write a target term.
        """
        for term in self.terms:
            if part := next(iter(copied(term)), None):
                raise UserError(
                    f"the glossary's '{term}': '{part}' is copied into translations as it is (a placeholder, a number, or characters that "
                    "the model has never seen), so that the term cannot become another. Leave it out; if it is for the characters, "
                    "decoding.unknown=mark lets the term be obeyed."
                )
        for term, ids in zip(self.terms.values(), encode(list(self.terms.values())), strict=True):
            if unknown in ids:
                raise UserError(f"the glossary's '{term}' has characters that the model has never seen; it cannot write them.")
            if len(ids) > longest:
                raise UserError(f"the glossary's '{term}' has {len(ids)} pieces; at most {longest} can be demanded.")


def _whole(term: str) -> str:
    """A pattern for a term that is not a part of a longer word, in languages with spaces between words."""
    before, after = may_go_on_before(term[0]), may_go_on_after(term[-1])
    escaped = f"(?i:{re.escape(term)})" if _is_folded(term) else re.escape(term)
    return (r"(?<!\w)" if before else "") + escaped + (r"(?!\w)" if after else "")


def _folded(text: str) -> str:
    """The same for all that matches without regard to capitals, and for some that does not."""
    return text.casefold().replace("ı", "i").replace("\u0307", "")  # the dot of İ


def _is_folded(term: str) -> bool:
    """Whether it is meant in capitals, too."""
    return term == term.lower()
