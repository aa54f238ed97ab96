"""Placeholders as the model sees them: each a slot, one character that tells its kind and which of that kind it is.

"{count} of {total} in <b>" becomes "⟨2.1⟩ of ⟨2.2⟩ in ⟨1.1⟩", a slot a character of Unicode's private use area and one piece of the
vocabulary. So a model learns where a placeholder of a kind goes, and what stands in it cannot be spelt wrongly: it is put back when the
translation is there, and the search sees to it that each slot of the source is written exactly once (pipeline/decoding/kept_slots.py).

The last kind is for text that the vocabulary has no characters for, such as emoji and other scripts. It is copied, too.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

_FIRST = 0xE000
LOST = "\ufffd"
"""What becomes of a character of the text that looks like a slot, where no slot is left for it."""

NUMBERS = r"\d+(?:[.,:]\d+)*"
"""Pattern of a number, for those who want numbers kept as they are."""

# A name, as a rule, or a number: a word that a translation is likely to have from its source.
_NAME = re.compile(r"(?<!\w)(?=\w*[A-Z0-9])\w{2,}(?!\w)")

TOO_MANY = 1_000_000
"""Pieces that a text is said to have for which there are not slots enough: more than any limit."""

Span = tuple[int, int, int]
"""Start, end and kind of what a slot may stand for."""


class Masked(NamedTuple):
    """A text with slots.

    Attributes:
        text: with them.
        kept: slot -> what stood in its place, in the order of the text.
    """

    text: str
    kept: dict[str, str]


@dataclass(frozen=True)
class Slots:
    """The slots of a vocabulary.

    Attributes:
        patterns: regular expressions of placeholders, each a kind of its own; where two match at one place, the first counts.
        number: slots of each kind that a sentence may have; 0 = placeholders are ordinary text.
        known: the characters that the vocabulary has pieces for; None = all.
    """

    patterns: tuple[str, ...] = ()
    number: int = 0
    known: frozenset[str] | None = None

    @property
    def size(self) -> int:
        """Number of slots."""
        return (len(self.patterns) + 1) * self.number if self.number else 0

    @property
    def symbols(self) -> list[str]:
        """All slots, kind by kind; in a vocabulary they have the ids behind the control pieces', in this order."""
        return [chr(_FIRST + index) for index in range(self.size)]

    def knowing(self, characters: frozenset[str]) -> Slots:
        """The same for a vocabulary with these characters."""
        return replace(self, known=characters - set(self.symbols))

    def described(self) -> dict[str, Any]:
        """As it is stored, without what follows from the vocabulary."""
        return {"patterns": list(self.patterns), "number": self.number}

    def mask(self, text: str) -> Masked:
        """Puts slots for placeholders and for text that is not known; of more of a kind than there are slots, the rest stays."""
        return self._masked(text, self._spans(text)) if self.number else Masked(text, {})

    def mask_target(self, text: str, kept: dict[str, str]) -> str:
        """Puts the slots of the source where the target has the same text, each once; other placeholders stay ordinary text."""
        if not self.number:
            return text
        free: dict[str, list[str]] = {}
        for slot, original in kept.items():
            free.setdefault(original, []).append(slot)
        parts, end = [], 0
        for start, stop, _ in self._spans(text, first=tuple(sorted(free, key=len, reverse=True))):
            slots = free.get(text[start:stop])
            if slots:
                parts += [self._plain(text[end:start]), slots.pop(0)]
                end = stop
        return "".join([*parts, self._plain(text[end:])])

    def mask_pair(self, source: str, target: str, with_name: bool = False) -> tuple[str, str]:
        """A sentence pair to learn from.

        Args:
            source, target: the pair.
            with_name: let a name that both sides have once be text that is not known: so the model learns to copy.
        """
        if not self.number:
            return source, target
        spans = self._spans(source)
        if with_name and (name := self._shared_name(source, target, spans)):
            spans = sorted([*spans, name])
        masked = self._masked(source, spans)
        return masked.text, self.mask_target(target, masked.kept)

    def unmask(self, text: str, kept: dict[str, str]) -> str:
        """Puts back what stood in the place of slots; a slot that the source did not have is left out."""
        return self._slot.sub(lambda match: kept.get(match[0], ""), text) if self.number else text

    def fits(self, text: str) -> bool:
        """Whether there are slots for all that wants one."""
        return not self.number or all(count <= self.number for count in Counter(kind for _, _, kind in self._spans(text)).values())

    def count(self, text: str) -> Counter[str]:
        """How often each placeholder stands in a text; unknown text and names are none."""
        foreign = len(self.patterns)
        return Counter(text[start:end] for start, end, kind in self._spans(text) if kind != foreign)

    def placeholders(self, text: str) -> list[tuple[int, int]]:
        """Start and end of each placeholder of a text."""
        return [(start, end) for start, end, kind in self._spans(text) if kind != len(self.patterns)] if self.number else []

    def _masked(self, text: str, spans: Sequence[Span]) -> Masked:
        parts, kept, end = [], {}, 0
        used: Counter[int] = Counter()
        for start, stop, kind in spans:
            if used[kind] < self.number:
                slot = chr(_FIRST + kind * self.number + used[kind])
                parts += [self._plain(text[end:start]), slot]
                kept[slot] = text[start:stop]
                used[kind] += 1
                end = stop
        return Masked("".join([*parts, self._plain(text[end:])]), kept)

    def _plain(self, text: str) -> str:
        """Text that nobody takes for a slot."""
        return self._slot.sub(LOST, text)

    def _spans(self, text: str, first: tuple[str, ...] = ()) -> list[Span]:
        """What slots may stand for, from left to right; where texts of `first` stand, nothing else is found, whatever their kind."""
        foreign = len(self.patterns)
        patterns = [*((_whole(some), foreign) for some in first), *((pattern, kind) for kind, pattern in enumerate(self.compiled))]
        found = sorted(
            (match.start(), order, match.end(), kind) for order, (pattern, kind) in enumerate(patterns) for match in pattern.finditer(text)
        )
        spans, end = [], 0
        for start, _, stop, kind in found:
            if start >= end:
                spans.append((start, stop, kind))
                end = stop
        # Text that is not known: between the others.
        bounds = [0, *(place for start, stop, _ in spans for place in (start, stop)), len(text)]
        for start, stop in zip(bounds[::2], bounds[1::2], strict=True):
            spans += [(match.start(), match.end(), foreign) for match in self._foreign.finditer(text, start, stop)]
        return sorted(spans)

    def _shared_name(self, source: str, target: str, spans: Sequence[Span]) -> Span | None:
        """The first name that both sides have exactly once, outside of placeholders."""
        taken = [source[start:end] for start, end, _ in spans]
        in_target = Counter(_NAME.findall(target))
        for match in _NAME.finditer(source):
            word = match[0]
            if in_target[word] == 1 and source.count(word) == 1 and target.count(word) == 1 and not any(word in text for text in taken):
                return match.start(), match.end(), len(self.patterns)
        return None

    @cached_property
    def compiled(self) -> list[re.Pattern[str]]:
        """The patterns."""
        return [re.compile(pattern, re.ASCII) for pattern in self.patterns]  # as RE2 has them

    @cached_property
    def _slot(self) -> re.Pattern[str]:
        return re.compile(self.slot_pattern)

    @property
    def slot_pattern(self) -> str:
        """Of any one slot."""
        return f"[{chr(_FIRST)}-{chr(_FIRST + max(self.size, 1) - 1)}]"

    @property
    def foreign_pattern(self) -> str:
        """Of text that is not known: its words in a row, and what looks like a slot."""
        run = self.slot_pattern if self.known is None else rf"[^\s{''.join(map(re.escape, sorted(self.known)))}]"
        return f"{run}+(?: +{run}+)*"

    @cached_property
    def _foreign(self) -> re.Pattern[str]:
        return re.compile(self.foreign_pattern, re.ASCII)


def characters_of(subwords: Any) -> frozenset[str]:
    """All that is a piece of a SentencePiece model by itself, '▁' and the control pieces aside: text of these has no unknown pieces."""
    pieces = (subwords.id_to_piece(number) for number in range(subwords.eos_id() + 1, subwords.get_piece_size()))
    return frozenset(piece for piece in pieces if len(piece) == 1) - {"▁"}


def _whole(text: str) -> re.Pattern[str]:
    """Finds a text that is not part of a longer word or number."""
    before, after = text[0].isalnum(), text[-1].isalnum()
    return re.compile((r"(?<!\w)" if before else "") + re.escape(text) + (r"(?!\w)" if after else ""))


NO_SLOTS = Slots()
"""Placeholders are ordinary text."""
