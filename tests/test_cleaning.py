"""Cleaning: what each rule does to a pair, that it can be switched off, and what the tally remembers."""

import pytest

from pipeline.configuration.schema_data import Cleaning
from pipeline.data.cleaning import CleanBatch, Tally, clean_batch
from pipeline.data.sources import Pair

OFF = Cleaning(normalize=None, control_characters=False, empty=False, max_characters=None, max_ratio=None, copies=False, duplicates=None)


def clean(pairs: list[Pair], rules: Cleaning) -> CleanBatch:
    return clean_batch(0, list(zip(*pairs, strict=True)), rules)


def cleaned(source: str, target: str, rules: Cleaning) -> tuple[list[tuple[str, str]], dict[str, int]]:
    batch = clean([Pair(source, target, "", None)], rules)
    return list(zip(batch.sources, batch.targets, strict=True)), batch.tally.counts


@pytest.mark.parametrize(
    ("rule", "value", "source", "target"),
    [
        ("empty", True, " \u3000", "Wort"),
        ("max_characters", 5, "word", "Wörter"),
        ("max_ratio", 2.0, "a", "a word too many"),
        ("copies", True, "WLAN", "WLAN"),
    ],
)
def test_a_rule_drops_what_it_should_and_only_when_switched_on(rule: str, value: object, source: str, target: str) -> None:
    assert cleaned(source, target, OFF) == ([(source, target)], {})
    assert cleaned(source, target, OFF.model_copy(update={rule: value})) == ([], {rule: 1})
    assert cleaned("house", "Haus!", OFF.model_copy(update={rule: value})) == ([("house", "Haus!")], {})


def test_unicode_normalisation() -> None:
    assert cleaned("cafe\u0301 \ufb01", "x", OFF.model_copy(update={"normalize": "NFC"})) == ([("café \ufb01", "x")], {"normalize": 1})
    assert cleaned("cafe\u0301 \ufb01", "x", OFF.model_copy(update={"normalize": "NFKC"})) == ([("café fi", "x")], {"normalize": 1})


def test_control_characters_and_spaces_become_one_space() -> None:
    rules = OFF.model_copy(update={"control_characters": True})
    assert cleaned(" a\tb\r\nc\u2028d\u00a0 e\x00f\u200b ", "x", rules) == ([("a b c d e f", "x")], {"control_characters": 1})
    # Joiners carry meaning in Persian, Indic scripts and emoji.
    assert cleaned("می\u200cخواهم", "👩\u200d💻", rules) == ([("می\u200cخواهم", "👩\u200d💻")], {})


def test_half_characters_are_replaced_so_that_they_can_be_stored() -> None:
    assert cleaned("a\ud800b", "x", OFF) == ([("a\ufffdb", "x")], {})


def test_given_test_pairs_are_kept_whole() -> None:
    pairs = [
        Pair("WLAN", "WLAN", "", "test"),
        Pair("a", "b" * 500, "", "validation"),
        Pair("", "x", "", "test"),
        Pair("WLAN", "WLAN", "", "train"),
    ]
    batch = clean(pairs, Cleaning())
    assert batch.sources == ["WLAN", "a"]
    assert list(batch.given) == [3, 2]
    assert batch.tally.counts == {"empty": 1, "copies": 1}


def test_equal_pairs_have_equal_identities() -> None:
    pairs = [Pair("a", "b", "", None), Pair("a ", "b", "", None), Pair("a", "c", "", None), Pair("ab", "", "", None)]
    rules = OFF.model_copy(update={"control_characters": True, "duplicates": "pair"})
    first, second, other_target, cut_elsewhere = clean(pairs, rules).identities
    assert first == second
    assert len({first, other_target, cut_elsewhere}) == 3
    by_source = clean(pairs, rules.model_copy(update={"duplicates": "source"})).identities
    assert by_source[0] == by_source[1] == by_source[2] != by_source[3]


def test_a_tally_keeps_the_first_three_examples() -> None:
    tally, later = Tally(), Tally()
    for number in range(2):
        tally.add("empty", f"early {number}", "")
    for number in range(5):
        later.add("empty", f"late {number}", "")
    tally.merge(later)
    assert tally.counts == {"empty": 7}
    assert tally.examples == {"empty": [("early 0", ""), ("early 1", ""), ("late 0", "")]}
