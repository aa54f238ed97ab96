"""Words of pieces, alignments and their error rate, features of texts and the units that track them: without a model."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.inspect.alignments import alignment_error_rate, alignment_of, parse_pharaoh, read_gold, strongest_links, to_pharaoh
from pipeline.inspect.reading import Reading
from pipeline.inspect.tracking import capital, in_brackets, in_quotation_marks, inside_a_word, position, trackers
from pipeline.inspect.words import joined, word_groups, words_of
from pipeline.runtime.errors import UserError

PIECES = ["▁Turn", "▁off", "▁light", "s", "▁", "(", "all", ")", "</s>"]


def test_pieces_are_joined_to_words() -> None:
    assert words_of(PIECES) == ["Turn", "off", "lights", "(all)", "</s>"]
    assert word_groups(PIECES) == [[0], [1], [2, 3], [4, 5, 6, 7], [8]]
    assert words_of(["ab", "c", "</s>"]) == ["abc", "</s>"]
    assert words_of(["</s>"]) == ["</s>"]


def test_a_word_gets_what_its_pieces_got_and_gives_their_mean() -> None:
    weights = np.array([[0.2, 0.3, 0.5], [0.6, 0.2, 0.2], [0.0, 0.0, 1.0]], np.float32)
    found = joined(weights, ["▁a", "b", "</s>"], ["▁c", "d", "</s>"])
    np.testing.assert_allclose(found, [[0.65, 0.35], [0.0, 1.0]], atol=1e-6)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-6)


def test_links_are_the_strongest_and_the_end_has_none() -> None:
    weights = np.array([[0.1, 0.7, 0.2], [0.1, 0.2, 0.7], [0.8, 0.1, 0.1]], np.float32)
    links = strongest_links(weights, source_words=2)
    assert links == [(0, 2), (1, 0)]
    assert to_pharaoh(links) == "0-2 1-0"


def test_a_placeholder_with_spaces_is_as_many_words_as_the_line_has() -> None:
    source = ["▁Click", '▁<a href="x">', "here", "</a>", "▁now", "</s>"]
    target = ["▁Jetzt", '▁<a href="x">', "hier", "</a>", "▁klicken", "</s>"]
    looked = np.eye(6, dtype=np.float32)[[4, 1, 2, 3, 0, 5]]
    nothing = np.zeros((1, 6), np.int32)
    reading = Reading("", "", nothing, nothing, source, target, np.ones(6, np.float32), looked)
    # Click <a href="x">here</a> now: four words between spaces on both sides.
    assert to_pharaoh(alignment_of(reading)) == "0-3 1-1 2-2 3-0"
    longer = Reading("", "", nothing, nothing, source, [*target[:1], "▁hier", *target[4:]], np.ones(4, np.float32), looked[[0, 2, 4, 5]])
    assert to_pharaoh(alignment_of(longer)) == "0-2 1-1 2-1 3-0"


def test_alignment_error_rate_is_that_of_och_and_ney() -> None:
    gold = parse_pharaoh("0-0 1-1 2p1 2p2")
    assert gold.sure == {(0, 0), (1, 1)}
    # |A & S| = 1, |A & P| = 2, |A| = 3, |S| = 2
    assert alignment_error_rate([[(0, 0), (2, 2), (3, 3)]], [gold]) == pytest.approx(1 - 3 / 5)
    assert alignment_error_rate([[(0, 0), (1, 1)]], [gold]) == 0.0
    assert alignment_error_rate([[(5, 5)]], [gold]) == 1.0


@pytest.mark.parametrize("line", ["0-", "a-1", "0:1", "1", "0-1-2", "-1-0"])
def test_a_line_that_is_no_alignment_is_refused_with_its_place(line: str) -> None:
    with pytest.raises(UserError, match=r"gold\.txt:2: '.*' is no link"):
        list(read_gold(["0-0", line], "gold.txt"))


def test_features_of_a_text() -> None:
    assert position(PIECES)[:3] == [0.0, 1.0, 2.0]
    assert in_brackets(PIECES) == [0, 0, 0, 0, 0, 1, 1, 0, 0]
    assert in_brackets(["▁a)", "▁(b", "c", "▁d)"]) == [0, 1, 1, 0]
    assert in_quotation_marks(['▁"', "a", '"', "▁b", "▁„", "c", "“", "▁d"]) == [1, 1, 0, 0, 1, 1, 0, 0]
    assert in_quotation_marks(["▁sagte", "▁»", "Ja", "«", ".", "▁Dann"]) == [0, 1, 1, 0, 0, 0]
    assert in_quotation_marks(["▁”", "Ja", "”", "▁“", "yes", "”", "▁«", "oui", "»", "«"]) == [1, 1, 0, 1, 1, 0, 1, 1, 0, 1]
    assert inside_a_word(PIECES) == [0, 0, 0, 1, 0, 1, 1, 1, 0]
    assert capital(PIECES)[:2] == [1, 0]


def test_the_unit_that_counts_is_found_among_hundreds_and_a_rare_feature_is_not_looked_for() -> None:
    generator = np.random.default_rng(1)
    pieces = [["▁x"] * int(generator.integers(4, 12)) for _ in range(60)]
    states = [generator.normal(size=(len(some), 300)).astype(np.float32) for some in pieces]
    for state in states:
        state[:, 123] = -0.1 * np.arange(len(state)) + 0.05 * generator.normal(size=len(state))
    [found] = trackers(states, pieces)
    assert (found.feature, found.unit) == ("length", 123)
    assert found.correlation == pytest.approx(-1.0, abs=0.05)


def test_chance_is_not_taken_for_tracking() -> None:
    """The best of 300 units on one half of the sentences means nothing on the other."""
    generator = np.random.default_rng(2)
    pieces = [["▁x"] * 8 for _ in range(40)]
    [found] = trackers([generator.normal(size=(8, 300)).astype(np.float32) for _ in pieces], pieces)
    assert abs(found.correlation) < 0.2
