"""A search over a part of the vocabulary: which part, and that nothing else changes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_beam_search import CLOSE
from test_export import SETTINGS, random_run, sentence, write_table
from test_live_search import EOS, V, model_of, sources

from pipeline import translate as command
from pipeline.data.batches import EncodedPairs
from pipeline.data.lexicon import frequencies, translations_of_pieces
from pipeline.data.subwords import Tokenizer
from pipeline.decoding.live_search import LiveSearch
from pipeline.decoding.search import Search
from pipeline.decoding.search_model import search_translations
from pipeline.decoding.shortlist import Shortlist
from pipeline.decoding.text_stream import TextTranslator
from pipeline.runtime.errors import UserError
from pipeline.support.run_directory import RunDirectory

# --- which pieces translate which -------------------------------------------------------------------------------------


def test_translations_are_found_whatever_their_order() -> None:
    """Piece n becomes piece n + 20, in any order, and piece 50 stands in every target for nothing."""
    generator = random.Random(1)
    source = [generator.choices(range(4, 20), k=generator.randint(3, 7)) for _ in range(400)]
    target = [generator.sample([*(piece + 20 for piece in ids), 50], len(ids) + 1) for ids in source]
    pairs = EncodedPairs(source, target)
    table, probabilities = translations_of_pieces(pairs, 60, 60, keep=3)
    assert table.shape == probabilities.shape == (60, 3)
    assert np.all(probabilities[4:20, 0] > 0.8) and np.all(probabilities.sum(axis=1) < 1.0001)
    assert table[4:20, 0].tolist() == list(range(24, 40))
    assert table[EOS, 0] == 50, "what is a translation of nothing"
    assert not table[30].any(), "a piece that is in no source"
    counts = frequencies(pairs, 60)
    assert counts[50] == 400 and counts.sum() == sum(map(len, target)) + 400 + counts[0]
    assert not translations_of_pieces(EncodedPairs([], []), 60, 60, keep=3)[0].any()


def test_a_shortlist_has_what_its_sentences_need() -> None:
    translations = np.zeros((40, 2), np.int32)
    probabilities = np.zeros((40, 2), np.float32)
    translations[10], probabilities[10] = (70, 71), (0.5, 0.2)
    translations[11], probabilities[11] = (72, 5), (0.3, 0.7)  # 5 is not allowed: a slot
    by_frequency = np.array([0, 3, 1, 2, *range(10, 80)], np.int32)
    shortlist = Shortlist(16, by_frequency, translations, probabilities)
    pieces = shortlist.of(np.array([[10, 3, 0], [11, 10, 3]], np.int32))
    assert pieces.tolist() == [0, 1, 2, 3, *range(10, 19), 70, 71, 72]
    few = Shortlist(6, by_frequency, translations, probabilities)
    assert few.of(np.array([[10, 3, 0], [11, 10, 3]], np.int32)).tolist() == [0, 1, 2, 3, 70, 71], "10 stands there twice"
    assert few.of(np.array([[10, 3], [11, 3]], np.int32)).tolist() == [0, 1, 2, 3, 70, 72]


# --- the search ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("changes", [{}, {"tied_output": True, "embedding_size": 8}], ids=str)
def test_a_search_over_some_pieces(changes: dict[str, Any]) -> None:
    model, search, ids = model_of(**changes), Search(4, 40, 0.8), sources()
    expected = search_translations(model, ids, search)
    everything = LiveSearch(model, search)(ids, pieces=np.arange(V, dtype=np.int32))
    np.testing.assert_array_equal(everything.ids, expected.ids)
    np.testing.assert_allclose(everything.scores, expected.scores, **CLOSE)

    some = np.array([0, 1, 2, EOS, *range(9, 23)], np.int32)
    found = LiveSearch(model, search)(ids, pieces=some).ids
    assert set(found.ravel().tolist()) <= set(some.tolist())
    assert not np.array_equal(found, expected.ids) and len(set(map(tuple, found[:, 0].tolist()))) > 10


# --- the command --------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    run, _ = random_run(tmp_path / "toy", SETTINGS["shared"])
    generator = random.Random(1)
    sides = [[sentence(generator) for _ in range(300)] for _ in range(2)]
    write_table(run, "train", *sides)
    return run


def test_lines_are_translated_with_it(run: RunDirectory, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    size = Tokenizer.load(run.tokenizer).target.size - 10
    lines = ["kalo mi", *(sentence(random.Random(seed)) for seed in range(20)), "", "{name} ter"]
    (tmp_path / "in.txt").write_text("\n".join(lines) + "\n")
    arguments = ["--run", str(run.root), str(tmp_path / "in.txt"), "--set", f"decoding.shortlist={size}"]
    assert command.main(arguments) == 0
    found, said = capfdbinary.readouterr()
    assert len(found.splitlines()) == len(lines) and b"{name}" in found.splitlines()[-1]
    assert b"learning which pieces translate which" in said
    assert command.main(arguments) == 0
    again, said = capfdbinary.readouterr()
    assert again == found and b"learning" not in said


def test_a_lexicon_of_another_tokenizer_or_a_damaged_one_is_made_anew(run: RunDirectory) -> None:
    tokenizer = Tokenizer.load(run.tokenizer)
    expected = Shortlist.load(run, tokenizer, 64).of(np.array([[60, 3]], np.int32))
    run.lexicon.write_bytes(run.lexicon.read_bytes()[:100])
    np.testing.assert_array_equal(Shortlist.load(run, tokenizer, 64).of(np.array([[60, 3]], np.int32)), expected)
    np.savez(run.lexicon, fingerprint=np.array("another"))
    np.testing.assert_array_equal(Shortlist.load(run, tokenizer, 64).of(np.array([[60, 3]], np.int32)), expected)


def test_what_cannot_be_is_told(run: RunDirectory) -> None:
    size = Tokenizer.load(run.tokenizer).target.size
    with pytest.raises(UserError, match=f"pieces are no part of a vocabulary of {size}"):
        TextTranslator.load(run, run.load_config([f"decoding.shortlist={size}"]))
    with pytest.raises(UserError, match=r"decoding\.shortlist is for one model"):
        TextTranslator.load(run, run.load_config(["decoding.shortlist=64"]), run)
    with pytest.raises(UserError, match="shortlist does not go with engine: litert, no_repeat_ngram"):
        run.load_config(["decoding.shortlist=64", "decoding.engine=litert", "decoding.no_repeat_ngram=2"])
    for path in run.split("train").iterdir():
        path.unlink()
    run.split("train").rmdir()
    with pytest.raises(UserError, match=r"train: is not there; decoding\.shortlist needs it once"):
        TextTranslator.load(run, run.load_config(["decoding.shortlist=64"]))
