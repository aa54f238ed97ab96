"""Cutting long lines: nothing is lost, cuts fall where a reader would make them, placeholders stay whole."""

from __future__ import annotations

import random
import re

import pytest

from pipeline.runtime.segmentation import join_translations, split_line

PLACEHOLDERS = [re.compile(r"\{[^{}]*\}"), re.compile(r"https?://\S+")]


def words(text: str) -> int:
    return len(text.split())


def test_a_short_line_stays_whole() -> None:
    assert split_line("One. Two. Three.", 3, words) == ["One. Two. Three."]
    assert split_line("", 3, words) == []
    assert split_line("  ", 3, words) == ["  "]


def test_sentences_come_first_as_many_as_fit() -> None:
    assert split_line("One two. Three! Four five? Six… Seven.", 3, words) == ["One two. Three! ", "Four five? Six… ", "Seven."]


def test_line_breaks_end_sentences() -> None:
    assert split_line("Heading\nSome text here", 3, words) == ["Heading\n", "Some text here"]


def test_quotes_and_brackets_belong_to_their_sentence() -> None:
    assert split_line("“Stop.” He did. (Really.) Yes", 3, words) == ["“Stop.” He did. ", "(Really.) Yes"]


@pytest.mark.parametrize("text", ["It has approx. five parts", "Version 3.5 is out now", "See example.com for more info"])
def test_not_every_full_stop_ends_a_sentence(text: str) -> None:
    assert len(split_line(f"{text}. Then more follows here.", words(text), words)) == 2


def test_clauses_come_next() -> None:
    assert split_line("When it rains, we stay at home; else we go.", 5, words) == ["When it rains, ", "we stay at home; ", "else we go."]


def test_then_words() -> None:
    assert split_line("a b c d e f g", 3, words) == ["a b c ", "d e f ", "g"]


def test_then_characters() -> None:
    assert split_line("abcdefgh", 3, len) == ["abc", "def", "gh"]


def test_chinese_and_japanese_are_cut_at_their_own_punctuation() -> None:
    assert split_line("今天下雨。我们在家！好吗？", 6, len) == ["今天下雨。", "我们在家！", "好吗？"]
    assert split_line("如果下雨，我们在家", 6, len) == ["如果下雨，", "我们在家"]
    assert split_line("我们在家里", 2, len) == ["我们", "在家", "里"]


def test_placeholders_are_not_cut() -> None:
    line = "Open {the. long name} of https://x.y/z?a=b. Now. Then"
    for limit in range(3, 12):
        segments = split_line(line, limit, words, PLACEHOLDERS)
        assert "".join(segments) == line
        for placeholder in ("{the. long name}", "https://x.y/z?a=b."):
            assert sum(placeholder in segment for segment in segments) == 1


def test_a_placeholder_longer_than_the_limit_is_cut_at_last() -> None:
    assert split_line("{abcdefgh}", 4, len, PLACEHOLDERS) == ["{abc", "defg", "h}"]


def test_accents_and_emoji_stay_together() -> None:
    assert split_line("e\u0301e\u0301", 2, len) == ["e\u0301", "e\u0301"]
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert split_line(f"ab{family}", 5, len) == ["ab", family]


def test_nothing_is_ever_lost_and_every_segment_fits() -> None:
    generator = random.Random(7)
    alphabet = ["word ", "a", "Б", ". ", "! ", ", ", "。", "漢字", "{a b}", " ", "\n", "…", '"', "https://a.b/c "]
    for _ in range(500):
        line = "".join(generator.choice(alphabet) for _ in range(generator.randrange(60)))
        limit = generator.randrange(1, 20)
        for count in (words, len):
            segments = split_line(line, limit, count, PLACEHOLDERS)
            assert "".join(segments) == line
            assert all(len(segment) > 0 and count(segment) <= limit for segment in segments)


def test_a_very_long_line_needs_few_counts() -> None:
    counted = 0

    def count(text: str) -> int:
        nonlocal counted
        counted += len(text)
        return len(text)

    line = "x" * 50_000
    assert "".join(split_line(line, 64, count)) == line
    assert counted < 60 * len(line)


@pytest.mark.parametrize(
    ("segments", "translations", "line"),
    [
        (["One. ", "Two."], ["Eins.", "Zwei."], "Eins. Zwei."),
        (["One.\n", "Two."], ["Eins.", "Zwei."], "Eins. Zwei."),
        (["One. ", "Two."], ["一。", "二。"], "一。二。"),
        (["一。", "二。"], ["One.", "Two."], "One. Two."),
        (["Donau", "dampf"], ["dan", "ube"], "danube"),
        (["One. ", "Two. ", "Three."], ["Eins.", "", "Drei."], "Eins. Drei."),
        ([], [], ""),
    ],
)
def test_translations_are_joined_as_the_target_is_written(segments: list[str], translations: list[str], line: str) -> None:
    assert join_translations(segments, translations) == line


@pytest.mark.parametrize("unit", ["A man walks. ", "word ", "x", ".", "...) ", ", ", " - ", "。", "{a} ", "{", "<a", "e\u0301"])
def test_a_line_of_a_megabyte_is_cut_at_once(unit: str) -> None:
    """Work in proportion to the length of the line, whatever it is made of; anything else would never end here."""
    text = (unit * (1_000_000 // len(unit)))[:1_000_000]
    segments = split_line(text, 64, lambda part: -(-len(part) // 4), PLACEHOLDERS)
    assert "".join(segments) == text
    assert max(map(len, segments)) <= 256
