"""Sampled segmentations: drawn from the right distribution, the same in every process, and nothing cut that must not be."""

from __future__ import annotations

import itertools
import math
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pipeline.configuration.schema_data import Tokenizer as Settings
from pipeline.data.subword_training import slots_of, train_tokenizer
from pipeline.data.subwords import FIRST_SLOT, UNK, Subwords

ROOT = Path(__file__).parent.parent
SLOTS = slots_of(Settings())
LINES = ['Turn {host} on, the lamp %s is <a href="x y">on</a>', "the lamp is off {host}", "lamps are nice, the ramp is nicer"] * 20
TEXTS = [SLOTS.mask(text).text for text in LINES]


def learnt(kind: str, folder: Path) -> Subwords:
    return train_tokenizer(LINES, LINES, Settings(type=kind), folder / "tokenizer", languages=("en", "de")).source


@pytest.fixture(scope="module")
def unigram(tmp_path_factory: pytest.TempPathFactory) -> Subwords:
    return learnt("unigram", tmp_path_factory.mktemp("unigram"))


@pytest.fixture(scope="module")
def bpe(tmp_path_factory: pytest.TempPathFactory) -> Subwords:
    return learnt("bpe", tmp_path_factory.mktemp("bpe"))


@pytest.fixture(params=["unigram", "bpe"])
def subwords(request: pytest.FixtureRequest) -> Subwords:
    return request.getfixturevalue(request.param)


def test_nothing_is_lost_and_placeholders_and_unknown_characters_stay_whole(subwords: Subwords) -> None:
    texts = [*TEXTS[:3], SLOTS.mask('the <a href="x y">lamp{host} on ☃ ☃☃').text, "", "  ", SLOTS.mask("{host}").text, "☃"]
    best = subwords.encode(texts)
    for seed in range(30):
        sampled = subwords.sample(texts, 1.0, 0.3, random.Random(seed))
        assert subwords.decode(sampled) == subwords.decode(best)
        for ids, expected in zip(sampled, best, strict=True):
            whole = range(FIRST_SLOT, FIRST_SLOT + SLOTS.size)
            assert [one for one in ids if one in (*whole, UNK)] == [one for one in expected if one in (*whole, UNK)]


def test_without_randomness_it_is_the_best_segmentation(unigram: Subwords, bpe: Subwords) -> None:
    for subwords, alpha in ((unigram, 200.0), (bpe, 0.0)):
        assert subwords.sample(TEXTS[:3], 1.0, alpha, random.Random(1)) == subwords.encode(TEXTS[:3])


def test_unigram_draws_each_segmentation_as_often_as_it_is_likely(unigram: Subwords) -> None:
    sampler, word, alpha = unigram._sampler, "▁lamps", 0.3
    weights = {}
    for cuts in itertools.product([False, True], repeat=len(word) - 1):
        ends = [place for place, cut in enumerate(cuts, start=1) if cut] + [len(word)]
        pieces = tuple(word[start:end] for start, end in zip([0, *ends], ends, strict=False))
        if all(piece in sampler._scores for piece in pieces):
            weights[pieces] = math.exp(alpha * sum(sampler._scores[piece] for piece in pieces))
    assert len(weights) > 1
    generator, draws = random.Random(1), 20_000
    found = Counter(tuple(sampler._drawn(word, alpha, generator)) for _ in range(draws))
    assert set(found) <= set(weights)
    for pieces, weight in weights.items():
        share = weight / sum(weights.values())
        assert found[pieces] / draws == pytest.approx(share, abs=4 * math.sqrt(share / draws))


def test_bpe_leaves_out_merges_as_often_as_asked(bpe: Subwords) -> None:
    assert bpe._sampler._merged("▁lamp", 1.0, random.Random(1)) == list("▁lamp")
    generator = random.Random(1)
    # A pair with one possible merge: kept together in 1 - dropout of all cases.
    together = sum(len(bpe._sampler._merged("am", 0.3, generator)) == 1 for _ in range(5000))
    assert together / 5000 == pytest.approx(0.7, abs=0.03)


def test_another_process_draws_the_same(subwords: Subwords, tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(subwords.model)
    check = (
        "import random, sys; from pathlib import Path; from pipeline.data.subwords import Subwords; "
        f"print(Subwords(Path(sys.argv[1]).read_bytes()).sample({TEXTS[:3]!r}, 0.8, 0.2, random.Random(3)))"
    )
    command = [sys.executable, "-c", check, str(tmp_path / "model")]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == f"{subwords.sample(TEXTS[:3], 0.8, 0.2, random.Random(3))}\n"
