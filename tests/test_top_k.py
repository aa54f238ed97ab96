"""The K largest of a vocabulary: those that sorting finds, whatever its size, also where nearly everything is forbidden."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.decoding.search import NEVER
from pipeline.decoding.top_k import top_k


@pytest.mark.parametrize("size", [20, 511, 512, 1000, 7512, 8000])
@pytest.mark.parametrize("number", [1, 5, 12])
def test_it_finds_the_largest_and_their_places(size: int, number: int) -> None:
    values = np.random.default_rng(size).permutation(6 * size).reshape(2, 3, size).astype(np.float32)
    largest, places = (np.asarray(part) for part in top_k(values, number))
    assert places.dtype == np.int32
    np.testing.assert_array_equal(places, np.argsort(-values, axis=-1)[..., :number])
    np.testing.assert_array_equal(largest, np.take_along_axis(values, places, axis=-1))


@pytest.mark.parametrize("forbidden", [NEVER, 4 * NEVER])
def test_places_are_those_of_a_vocabulary_also_where_too_little_is_allowed(forbidden: float) -> None:
    values = np.full((4, 1000), forbidden, np.float32)
    values[:, 999] = 1.0
    largest, places = (np.asarray(part) for part in top_k(values, 5))
    assert np.all(places[:, 0] == 999) and np.all(largest[:, 0] == 1.0)
    assert np.all(places < 1000)
    assert all(len(set(row)) == 5 for row in places.tolist())


def test_of_equal_values_the_first_are_found() -> None:
    values = np.zeros((1, 5000), np.float32)
    values[0, 4000:] = 1.0
    assert np.asarray(top_k(values, 4)[1]).tolist() == [[4000, 4001, 4002, 4003]]
