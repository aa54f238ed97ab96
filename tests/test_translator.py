"""Sentences become batches: of about equal lengths, bounded in sentences and in tokens, whatever order they come in."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from pipeline.decoding import translator as module
from pipeline.decoding.search import Found, Search
from pipeline.decoding.translator import Translator


class Letters:
    """A tokenizer whose pieces are letters: 'a' is 4."""

    def __init__(self) -> None:
        def encode(texts: list[str]) -> list[list[int]]:
            return [[ord(char) - 93 for char in text] for text in texts]

        self.target = SimpleNamespace(encode=encode, encode_words=encode)

    def encode_source(self, texts: list[str]) -> tuple[list[list[int]], list[dict[str, str]]]:
        return self.target.encode(texts), [{} for _ in texts]

    def decode_target(self, ids: list[list[int]], kept: list[dict[str, str]]) -> list[str]:
        return ["".join(chr(id_ + 93) for id_ in one).upper() for one in ids]


class Copying(Translator):
    """Finds the source."""

    def __init__(self, **options: Any) -> None:
        super().__init__(None, Letters(), Search(4, 200, 1.0), **options)  # type: ignore[arg-type]
        self.seen: list[tuple[tuple[int, ...], int | None]] = []

    def search_ids(
        self, source_ids: Any, begun: Any = None, phrases: Any = None, beam_size: int | None = None, slotless: bool = False
    ) -> Found:
        self.seen.append((source_ids.shape, beam_size))
        return Found(source_ids[:, None], np.zeros((len(source_ids), 1)), np.zeros((len(source_ids), 1)))


def lines(number: int, longest: int) -> list[str]:
    generator = random.Random(1)
    return ["".join(generator.choices("abcdef", k=generator.randrange(longest))) for _ in range(number)]


def test_batches_are_bounded_and_results_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_TOKENS", 300)
    translator = Copying(batch_sentences=16)
    texts = lines(200, 60)
    assert [one.text for one in translator.translate(texts)] == [text.upper() for text in texts]
    shapes = [shape for shape, _ in translator.seen]
    assert sum(sentences for sentences, _ in shapes) == sum(map(bool, texts))
    assert all(sentences <= 16 and sentences * width <= 300 for sentences, width in shapes)
    assert max(sentences for sentences, _ in shapes) == 16
    assert max(sentences * width for sentences, width in shapes) > 240
    cells = sum(sentences * width for sentences, width in shapes)
    assert sum(len(text) + 1 for text in texts if text) > 0.9 * cells


def test_a_sentence_that_is_too_long_by_itself_is_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_TOKENS", 10)
    translator = Copying()
    assert [one.text for one in translator.translate(["a" * 50, "b", "c" * 30])] == ["A" * 50, "B", "C" * 30]


def test_a_wider_beam_takes_the_room_of_more_sentences() -> None:
    translator = Copying(batch_sentences=16)
    found = translator.alternatives(["abc"] * 40, None, [["abcdefabcdef"] if number % 2 else [] for number in range(40)])
    assert [one[0].text for one in found] == ["ABC"] * 40
    (narrow, wide) = ({beam: size for (size, _), beam in translator.seen if (beam == 4) is plain} for plain in (True, False))
    assert narrow == {4: 4} and max(wide.values()) <= 16 * 4 / min(wide)
