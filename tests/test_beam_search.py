"""The search: against every sequence there is, against greedy search, and with steps that spell."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from pipeline.decoding.beam_search import beam_search
from pipeline.decoding.search import NEVER, Search

BOS, EOS = 2, 3
LETTERS = {letter: number for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz", start=4)}

# Sums of a few log probabilities in float32.
CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def best(*arguments, **options):
    """The best translation of each sentence: ids [B, L], scores [B]."""
    found = beam_search(*arguments, **options)
    return found.ids[:, 0], found.scores[:, 0]


# --- steps that spell -------------------------------------------------------------------------------------------------


def spelling(*words: str) -> tuple[Callable, np.ndarray]:
    """A step that knows a word for each sentence and nothing else; its state is which word and how many letters are written."""
    longest = max(map(len, words)) + 1
    table = np.full((len(words), longest), EOS)
    for row, word in zip(table, words, strict=True):
        row[: len(word)] = [LETTERS[letter] for letter in word]

    def step(tokens, states):
        word, written = ops.cast(states[..., 0], "int32"), ops.cast(states[..., 1], "int32")
        following = ops.take(table.ravel(), word * longest + ops.minimum(written, longest - 1))
        logits = (1.0 - ops.one_hot(following, 4 + len(LETTERS))) * NEVER
        return logits, states + np.array([0.0, 1.0], "float32"), None

    return step, np.array([[word, 0] for word in range(len(words))], "float32")


def read(ids: Sequence[int]) -> str:
    """Ids -> letters, '.' for EOS; what follows it must be 0."""
    text = "".join({EOS: ".", 0: "-"}.get(int(number)) or chr(number - 4 + ord("a")) for number in ids)
    return text.rstrip("-")


@pytest.mark.parametrize("beam_size", [1, 2, 5, 40])  # 40: more than there are letters
def test_words_are_spelt_to_their_end(beam_size: int) -> None:
    step, initial = spelling("gedanke", "a", "", "haus")
    ids, scores = best(step, initial, Search(beam_size, max_tokens=10, length_penalty=1.0))
    assert [read(row) for row in ids] == ["gedanke.", "a.", ".", "haus."]
    np.testing.assert_allclose(scores, 0.0, atol=1e-5)  # certain: probability 1


@pytest.mark.parametrize("length_penalty", [0.6, 2.0])
@pytest.mark.parametrize("beam_size", [1, 3, 40])  # 40: impossible endings are among the hypotheses, and must not count
def test_a_word_that_does_not_end_is_cut(beam_size: int, length_penalty: float) -> None:
    step, initial = spelling("donaudampfschiff", "oder", "kurz")
    ids, scores = best(step, initial, Search(beam_size, max_tokens=14, length_penalty=length_penalty))
    assert [read(row) for row in ids] == ["donaudampfschi", "oder.", "kurz."]
    np.testing.assert_allclose(scores, 0.0, atol=1e-5)


def test_the_search_stops_when_nothing_can_win() -> None:
    step, initial = spelling("rot", "blau")
    calls = []

    def counted(tokens, states):
        calls.append(tokens)
        return step(tokens, states)

    best(counted, initial, Search(4, max_tokens=50, length_penalty=1.0))
    assert len(calls) == len("blau.")


def test_what_is_returned() -> None:
    step, initial = spelling("rot", "blau", "lila")
    ids, scores = best(step, initial, Search(3, max_tokens=8, length_penalty=0.6))
    assert ids.shape == (3, 8) and ids.dtype == tf.int32
    assert scores.shape == (3,) and scores.dtype == tf.float32


def test_no_sentence_at_all() -> None:
    step, initial = spelling("rot")
    ids, scores = best(step, initial[:0], Search(3, max_tokens=8, length_penalty=0.6))
    assert ids.shape == (0, 8) and scores.shape == (0,)


@pytest.mark.parametrize(("length_penalty", "expected"), [(0.0, "a."), (2.0, "bbbbb.")])
def test_length_penalty_lets_the_long_win(length_penalty: float, expected: str) -> None:
    """'a' has probability 0.6 and 'bbbbb' 0.4; the penalty of 6 tokens against 2 is worth more from alpha 1.0 on."""

    def step(tokens, states):
        first, a, b = (ops.cast(ops.equal(tokens, number), "float32")[..., None] for number in (BOS, LETTERS["a"], LETTERS["b"]))
        written = states[..., :1]
        ends = a + b * ops.cast(written >= 5, "float32")
        probabilities = first * one("a") * 0.6 + first * one("b") * 0.4 + ends * one(EOS) + (1.0 - first) * (1.0 - ends) * one("b")
        return ops.log(ops.maximum(probabilities, 1e-30)), states + 1.0, None

    def one(token):
        return np.eye(4 + len(LETTERS), dtype="float32")[LETTERS.get(token, token)]

    search = Search(3, max_tokens=9, length_penalty=length_penalty)
    ids, scores = best(step, np.zeros((1, 1), "float32"), search)
    assert read(ids[0]) == expected
    probability, length = (0.6, 2) if expected == "a." else (0.4, 6)
    np.testing.assert_allclose(scores[0], np.log(probability) / ((5 + length) / 6) ** length_penalty, rtol=1e-4)


# --- random steps, against NumPy --------------------------------------------------------------------------------------


class RandomNetwork:
    """A small recurrent network of random weights: what comes next depends on all that came before."""

    def __init__(self, seed: int, vocabulary: int = 5, batch: int = 4, size: int = 6, end: float = 0.0) -> None:
        """`end` is added to the logit of EOS: how soon sentences end."""
        generator = np.random.default_rng(seed)
        self.vocabulary = vocabulary
        self.recurrent = generator.normal(scale=1.5 * size**-0.5, size=(size, size)).astype("float32")
        self.embedding = generator.normal(scale=1.5, size=(vocabulary, size)).astype("float32")
        self.output = generator.normal(scale=1.5, size=(size, vocabulary)).astype("float32")
        self.bias = (end * (np.arange(vocabulary) == EOS)).astype("float32")
        self.initial = generator.normal(size=(batch, size)).astype("float32")

    def step(self, tokens, states):
        states = ops.tanh(ops.matmul(states, self.recurrent) + ops.take(self.embedding, tokens, axis=0))
        return ops.matmul(states, self.output) + self.bias, states, None

    def numpy_step(self, token: int, state: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One token of one hypothesis -> log probabilities [V], state."""
        state = np.tanh(state @ self.recurrent + self.embedding[token])
        logits = (state @ self.output + self.bias).astype(np.float64)
        return logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max(), state


def penalty(length: int, length_penalty: float) -> float:
    return ((5 + length) / 6) ** length_penalty


def every_sequence(network: RandomNetwork, state: np.ndarray, limit: int, length_penalty: float) -> tuple[list[int], float]:
    """The best of all sequences that end within `limit` tokens, EOS counted."""
    best: tuple[float, list[int]] = (-np.inf, [])
    others = [token for token in range(network.vocabulary) if token != EOS]
    for length in range(1, limit + 1):
        for body in itertools.product(others, repeat=length - 1):
            total, token, current = 0.0, BOS, state
            for following in (*body, EOS):
                log_probs, current = network.numpy_step(token, current)
                total, token = total + log_probs[following], following
            best = max(best, (total / penalty(length, length_penalty), [*body, EOS]))
    return best[1], best[0]


def numpy_search(network: RandomNetwork, state: np.ndarray, search: Search) -> tuple[list[int], float]:
    """Beam search of one sentence that never stops before the limit, unless its patience ends."""
    alive: list[tuple[float, list[int], np.ndarray]] = [(0.0, [BOS], state)]
    ended: list[tuple[float, list[int]]] = []
    for _ in range(search.max_tokens):
        grown = []
        for total, tokens, current in alive:
            log_probs, following = network.numpy_step(tokens[-1], current)
            grown += [(total + log_probs[token], [*tokens, token], following) for token in range(network.vocabulary)]
        grown = sorted(grown, key=lambda hypothesis: -hypothesis[0])[: search.beam_size]
        alive = [hypothesis for hypothesis in grown if hypothesis[1][-1] != EOS]
        ended += [(total / penalty(len(tokens) - 1, search.length_penalty), tokens[1:]) for total, tokens, _ in grown if tokens[-1] == EOS]
        if search.patience is not None and len(ended) >= search.patience * search.beam_size:
            break
    if ended:
        score, tokens = max(ended)
        return tokens, score
    return alive[0][1][1:], alive[0][0] / penalty(search.max_tokens, search.length_penalty)


def assert_found(found, expected: Sequence[tuple[list[int], float]]) -> None:
    for ids, score, (tokens, expected_score) in zip(np.array(found[0]), np.array(found[1]), expected, strict=True):
        assert ids.tolist() == tokens + [0] * (len(ids) - len(tokens))
        np.testing.assert_allclose(score, expected_score, **CLOSE)


@pytest.mark.parametrize("end", [-1.0, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_beam_of_one_is_greedy_search(seed: int, end: float) -> None:
    network = RandomNetwork(seed, vocabulary=12, batch=8, end=end)
    search = Search(1, max_tokens=15, length_penalty=0.8)
    expected = []
    for state in network.initial:
        tokens, total = [BOS], 0.0
        while len(tokens) <= search.max_tokens and tokens[-1] != EOS:
            log_probs, state = network.numpy_step(tokens[-1], state)
            tokens.append(int(np.argmax(log_probs)))
            total += log_probs.max()
        expected.append((tokens[1:], total / penalty(len(tokens) - 1, 0.8)))
    assert len({len(tokens) for tokens, _ in expected}) > 1 or end < 0
    assert_found(best(network.step, network.initial, search), expected)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 1.5])
@pytest.mark.parametrize("seed", range(3))
def test_a_wide_beam_finds_the_best_of_all_sequences(seed: int, length_penalty: float) -> None:
    network = RandomNetwork(seed)
    limit = 4
    search = Search(network.vocabulary * 4 ** (limit - 1), limit, length_penalty)  # room for every hypothesis
    expected = [every_sequence(network, state, limit, length_penalty) for state in network.initial]
    assert_found(best(network.step, network.initial, search), expected)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 1.5])
@pytest.mark.parametrize("beam_size", [2, 3, 7])
def test_stopping_early_loses_nothing(beam_size: int, length_penalty: float) -> None:
    for seed, end in ((1, -2.0), (2, 0.0), (3, 2.0)):
        network = RandomNetwork(seed, vocabulary=9, batch=6, end=end)
        search = Search(beam_size, 12, length_penalty)
        expected = [numpy_search(network, state, search) for state in network.initial]
        assert_found(best(network.step, network.initial, search), expected)


@pytest.mark.parametrize("patience", [0.5, 1.0, 2.0])
def test_patience(patience: float) -> None:
    sooner = 0
    for seed, end in ((1, 0.0), (2, 0.0), (3, 1.0)):
        network = RandomNetwork(seed, vocabulary=9, batch=6, end=end)
        search = Search(3, 12, 1.5, patience=patience)
        expected = [numpy_search(network, state, search) for state in network.initial]
        assert_found(best(network.step, network.initial, search), expected)
        certain = [numpy_search(network, state, Search(3, 12, 1.5)) for state in network.initial]
        sooner += sum(ours != its for ours, its in zip(expected, certain, strict=True))
    assert sooner > 0 or patience > 1  # who does not wait misses the best of some


def test_patience_waits_for_as_many_as_are_wanted() -> None:
    network = RandomNetwork(2, vocabulary=9, batch=6, end=1.0)
    found = beam_search(network.step, network.initial, Search(4, 12, 1.0, best=4, patience=0.25))
    assert np.all(np.array(found.ids)[..., 0] > 0)


def test_what_has_not_ended_counts_only_where_nothing_has() -> None:
    network = RandomNetwork(1, vocabulary=9, batch=6, end=-5.0)  # few hypotheses end, and those that do are unlikely
    for beam_size in (1, 4, 30):
        search = Search(beam_size, 6, 1.0)
        expected = [numpy_search(network, state, search) for state in network.initial]
        assert_found(best(network.step, network.initial, search), expected)
        endings = [tokens[-1] == EOS for tokens, _ in expected]
        assert all(endings) if beam_size == 30 else not all(endings)


def test_a_batch_is_its_sentences() -> None:
    network = RandomNetwork(5, vocabulary=9, batch=6, end=1.0)
    search = Search(3, 12, 0.6)
    ids, scores = best(network.step, network.initial, search)
    assert len({np.count_nonzero(row) for row in np.array(ids)}) > 1  # they do not all end at once
    for i in range(6):
        alone_ids, alone_score = best(network.step, network.initial[i : i + 1], search)
        assert np.array_equal(alone_ids[0], ids[i])
        np.testing.assert_allclose(alone_score[0], scores[i], **CLOSE)


def test_one_graph_serves_every_batch_size() -> None:
    network = RandomNetwork(5, vocabulary=9, batch=6, end=1.0)
    search = Search(3, 12, 0.6)
    compiled = tf.function(lambda initial: best(network.step, initial, search), input_signature=[tf.TensorSpec((None, 6))])
    for batch in (6, 1, 2):
        found, expected = compiled(network.initial[:batch]), best(network.step, network.initial[:batch], search)
        assert np.array_equal(found[0], expected[0])
        np.testing.assert_allclose(found[1], expected[1], **CLOSE)
    assert compiled.experimental_get_tracing_count() == 1
