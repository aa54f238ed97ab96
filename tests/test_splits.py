"""Splits: decided by the source alone, for ever the same, and never letting a test sentence into training."""

from pathlib import Path

import numpy as np
import pytest
from toy import split_of

from pipeline.data import fates as fate
from pipeline.data.buckets import HashBuckets
from pipeline.data.splits import hash64, split_key


@pytest.mark.parametrize("other", ["turn on relay 12", "Turn  on Relay 3!", "TURN ON RELAY 700 ...", "\uff34urn on relay 1"])
def test_trivial_variants_share_a_key(other: str) -> None:
    assert split_key(other) == split_key("Turn on relay 11.")


def test_different_sentences_have_different_keys() -> None:
    assert len({split_key(text) for text in ("on", "off", "on-off", "...", "!", "क", "कि", "")}) == 8


def test_hashes_are_the_same_for_ever() -> None:
    # If this fails, every run's test split has changed: say so in the changelog, or take the change back.
    assert hash64("The house is small") == 11933931828407101868
    assert [split_of(f"sentence {'x' * number}", 0.1, 0.1) for number in range(40)].count("train") == 34


def test_shares_are_as_asked_for() -> None:
    splits = [split_of(f"w{'a' * (number % 50)}b{'c' * (number // 50)}", 0.05, 0.1) for number in range(5000)]
    assert splits.count("test") == pytest.approx(500, abs=70)
    assert splits.count("validation") == pytest.approx(250, abs=50)


def test_no_share_means_none() -> None:
    assert {split_of("x" * number, 0.0, 0.0) for number in range(300)} == {"train"}


def test_changing_one_share_leaves_the_other_split_alone() -> None:
    texts = ["x" * number for number in range(500)]
    before = {text for text in texts if split_of(text, 0.05, 0.1) == "test"}
    assert before == {text for text in texts if split_of(text, 0.3, 0.1) == "test"}


def decide(folder: Path, pairs: list[tuple[str, int]], validation: float = 0.0, test: float = 0.0) -> list[int]:
    """Fates of pairs (source, code of the given split)."""
    fates = np.zeros(len(pairs), np.uint8)
    with HashBuckets(folder) as keys:
        hashes = np.array([hash64(split_key(source)) for source, _ in pairs], np.uint64)
        keys.add(hashes, np.arange(len(pairs)), np.array([given for _, given in pairs], np.uint8))
        fate.mark_splits(fates, keys, validation, test)
    return fates.tolist()


def test_given_splits_are_kept_and_overlaps_marked(tmp_path: Path) -> None:
    pairs = [("one", 1), ("two", 1), ("One.", 2), ("three", 2), ("two", 3), ("Three", 3), ("four", 3)]
    assert decide(tmp_path / "keys", pairs, 0.4, 0.4) == [
        fate.TRAIN, fate.TRAIN, fate.VALIDATION | fate.IN_TRAIN, fate.VALIDATION,
        fate.TEST | fate.IN_TRAIN, fate.TEST | fate.IN_VALIDATION, fate.TEST,
    ]  # fmt: skip


def test_pairs_without_a_split_never_leak(tmp_path: Path) -> None:
    # Everything would go to the test by hash: but what is in given training joins it, what is given for the test is dropped.
    pairs = [("in train", 1), ("in test", 3), ("in both", 1), ("in both", 3), ("In train", 0), ("in test!", 0), ("in both", 0), ("new", 0)]
    assert decide(tmp_path / "keys", pairs, 0.0, 0.999999)[4:] == [fate.TRAIN, fate.HELD_OUT, fate.HELD_OUT, fate.TEST]


def test_of_equal_pairs_one_with_a_given_split_is_kept(tmp_path: Path) -> None:
    fates = np.zeros(4, np.uint8)
    with HashBuckets(tmp_path / "identities") as identities:
        identities.add(np.array([7, 7, 7, 8], np.uint64), np.arange(4), np.array([0, 1, 1, 0], np.uint8))
        fate.mark_duplicates(fates, identities)
    assert fates.tolist() == [fate.DUPLICATE, fate.TRAIN, fate.DUPLICATE, fate.TRAIN]


def test_duplicates_keep_the_first_over_many_batches(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    hashes = generator.integers(0, 2**64, 300, dtype=np.uint64)[generator.integers(0, 300, 5000)]
    fates = np.zeros(5000, np.uint8)
    with HashBuckets(tmp_path / "identities") as identities:
        for start in range(0, 5000, 700):
            part = hashes[start : start + 700]
            identities.add(part, np.arange(start, start + len(part)), np.zeros(len(part), np.uint8))
        fate.mark_duplicates(fates, identities)
    seen: set[int] = set()
    expected = [fate.DUPLICATE if value in seen else (seen.add(value) or fate.TRAIN) for value in hashes.tolist()]  # type: ignore[func-returns-value]
    assert fates.tolist() == expected
