"""Searching in stages finds what searching in one go finds, whatever the options."""

from __future__ import annotations

import dataclasses
from typing import Any

import keras
import numpy as np
import pytest
from test_beam_search import CLOSE

from pipeline.configuration.schema_model import Model
from pipeline.decoding.ensemble import Ensemble
from pipeline.decoding.live_search import LiveSearch
from pipeline.decoding.phrases import LONGEST
from pipeline.decoding.search import Search
from pipeline.decoding.search_model import search_translations
from pipeline.model.build import build_model

V, EOS = 30, 3
SMALL: dict[str, Any] = {"embedding_size": 8, "encoder": {"units": 4}, "attention": {"units": 6}, "decoder": {"units": 8}}


def model_of(seed: int = 1, **changes: Any) -> keras.Model:
    keras.utils.set_random_seed(seed)
    model = build_model(Model.model_validate({**SMALL, **changes}), V, V)
    # Some translations end soon and some late, or there would be nothing to go on without.
    bias = np.zeros(V, "float32")
    bias[EOS] = 1.0
    model.output_bias.assign(bias)
    for weight in model.trainable_weights:
        if "kernel" in weight.name:
            weight.assign(3.0 * weight)
    return model


def sources(number: int = 20) -> np.ndarray:
    generator = np.random.default_rng(1)
    ids = np.zeros((number, 10), "int32")
    for row in ids:
        length = generator.integers(1, 10)
        row[:length] = generator.integers(4, V, length)
        row[length] = EOS
    ids[:, 9] = np.where(ids[:, 9] > 0, EOS, 0)
    return ids


OPTIONS: list[dict[str, Any]] = [
    {},
    {"beam_size": 1},
    {"best": 3},
    {"coverage_penalty": 0.4, "min_length_ratio": 0.5},
    {"no_repeat_ngram": 2, "max_length_ratio": 1.0},
    {"slots": 6},
    {"patience": 1.0, "beam_size": 6, "length_penalty": 0.1},
    {"patience": 1.0, "beam_size": 3, "best": 3, "length_penalty": 1.5},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_it_finds_the_same(options: dict[str, Any]) -> None:
    model, search = model_of(), Search(**{"beam_size": 4, "max_tokens": 40, "length_penalty": 0.8, **options})
    ids = sources()
    expected = search_translations(model, ids, search, with_attention=True)
    lengths = np.count_nonzero(expected.ids[:, 0], axis=1)
    assert lengths.min() < 6 and lengths.max() > 12, "all of one length would prove nothing"
    for number in (len(ids), 2):
        found = LiveSearch(model, search, with_attention=True)(ids[:number])
        np.testing.assert_array_equal(found.ids, expected.ids[:number])
        np.testing.assert_allclose(found.scores, expected.scores[:number], **CLOSE)
        np.testing.assert_allclose(found.attention, expected.attention[:number], **CLOSE)


def test_it_may_be_known_that_no_source_has_a_slot() -> None:
    model, search, ids = model_of(), Search(4, 40, 0.8, slots=6), sources()
    ids[(ids > EOS) & (ids <= EOS + 6)] += 6
    expected = search_translations(model, ids, search)
    without = search_translations(model, ids, Search(4, 40, 0.8))
    assert not np.array_equal(without.ids, expected.ids), "the rule would prove nothing"
    found = LiveSearch(model, dataclasses.replace(search, slotless=True))(ids)
    np.testing.assert_array_equal(found.ids, expected.ids)
    np.testing.assert_allclose(found.scores, expected.scores, **CLOSE)


def test_with_beginnings_and_phrases() -> None:
    model, search, ids = model_of(), Search(8, 40, 0.0), sources()
    prefixes = np.where(np.arange(20)[:, None] % 2, [[7, 8, 9]], 0).astype("int32")
    phrases = np.zeros((20, 2, LONGEST), "int32")
    phrases[::3, 0, :2] = [11, 12]
    phrases[::4, 1, :1] = [13]
    expected = search_translations(model, ids, search, prefixes, phrases)
    found = LiveSearch(model, search)(ids, prefixes, phrases)
    np.testing.assert_array_equal(found.ids, expected.ids)


@pytest.mark.parametrize(
    "changes",
    [
        {"attention": {"units": 6, "coverage": True}},
        {"encoder": {"cell": "lstm", "units": 4}, "decoder": {"cell": "lstm", "units": 8}},
        {"encoder": {"kind": "self_attention", "units": 8, "heads": 2}},
    ],
    ids=str,
)
def test_of_any_architecture(changes: dict[str, Any]) -> None:
    model, search, ids = model_of(**changes), Search(3, 30, 0.8), sources()
    np.testing.assert_array_equal(LiveSearch(model, search)(ids).ids, search_translations(model, ids, search).ids)


def test_of_an_ensemble() -> None:
    model, search, ids = Ensemble([model_of(1), model_of(2)]), Search(3, 30, 0.8), sources()
    np.testing.assert_array_equal(LiveSearch(model, search)(ids).ids, search_translations(model, ids, search).ids)


@pytest.mark.parametrize("beams", [1, 4, 8])
def test_slots_and_phrases_leave_room_for_each_other(beams: int) -> None:
    """Of a model that never ends: near the limit first the phrase has to be written, then the slots."""
    model = model_of()
    model.output_bias.assign(np.where(np.arange(V) == EOS, -50.0, 0.0))
    ids = np.tile(np.array([[4, 20, 5, 21, 6, EOS]], "int32"), (5, 1))
    ids[:, 1] = range(10, 15)
    phrases = np.zeros((5, 1, LONGEST), "int32")
    phrases[:, 0, :3] = 22, 23, 24
    found = search_translations(model, ids, Search(beams, 14, 1.0, slots=6), phrase_ids=phrases).ids
    for row in np.asarray(found)[:, 0].tolist():
        assert " 22, 23, 24," in f" {str(row)[1:-1]},", row
        assert [row.count(slot) for slot in range(4, 10)] == [1, 1, 1, 0, 0, 0], row


def test_slots_have_room_in_translations_that_must_be_short() -> None:
    ids = np.tile(np.array([[*range(4, 28), EOS]], "int32"), (2, 1))
    found = search_translations(model_of(), ids, Search(4, 40, 1.0, max_length_ratio=0.1, slots=24)).ids
    for row in np.asarray(found)[:, 0].tolist():
        assert sorted(token for token in row if token > EOS and token < 28) == list(range(4, 28)) and EOS in row
