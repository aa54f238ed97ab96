"""What a search can be asked for beyond the best translation: each option against every sequence there is."""

from __future__ import annotations

import itertools
import resource
from collections import Counter
from collections.abc import Callable, Sequence

import keras
import numpy as np
import pytest
from keras import ops
from test_beam_search import BOS, CLOSE, EOS, RandomNetwork
from test_family import SMALL

from pipeline.configuration.schema_model import Model
from pipeline.decoding.banks import Banks
from pipeline.decoding.beam_search import beam_search
from pipeline.decoding.choosing import Drawn
from pipeline.decoding.kept_slots import KeptSlots
from pipeline.decoding.phrases import LONGEST, Phrases
from pipeline.decoding.rules import AtLeast, NoRepeat, Prefix
from pipeline.decoding.search import EXTRA_TOKENS, NEVER, Found, Search
from pipeline.decoding.search_model import search_translations
from pipeline.decoding.whole_words import WordPieces
from pipeline.model.build import build_model

LIMIT = 4
SOURCE_LENGTHS = [3, 1, 5, 2]
MASK = np.arange(5) < np.array(SOURCE_LENGTHS)[:, None]


class Attentive(RandomNetwork):
    """The random network, with attention on sources of `SOURCE_LENGTHS`."""

    def __init__(self, seed: int, **options: float) -> None:
        super().__init__(seed, batch=len(SOURCE_LENGTHS), **options)
        self.looks = np.random.default_rng(seed + 100).normal(scale=2.0, size=(self.recurrent.shape[0], MASK.shape[1])).astype("float32")

    def step(self, tokens, states):
        logits, states, _ = super().step(tokens, states)
        weights = ops.softmax(ops.where(MASK[:, None, :], ops.matmul(states, self.looks), NEVER))
        return logits, states, weights * MASK[:, None, :]

    def numpy_weights(self, state: np.ndarray, sentence: int) -> np.ndarray:
        """[S] attention of a step that led to `state`."""
        scores = np.where(MASK[sentence], np.exp(state @ self.looks), 0.0)
        return scores / scores.sum()

    def read(self, sentence: int, tokens: list[int]) -> tuple[float, np.ndarray]:
        """The log probability of a translation, and its attention [T, S]."""
        total, before, state, weights = 0.0, BOS, self.initial[sentence], []
        for token in tokens:
            log_probs, state = self.numpy_step(before, state)
            total, before = total + log_probs[token], token
            weights.append(self.numpy_weights(state, sentence))
        return total, np.array(weights)


def score(network: Attentive, sentence: int, tokens: list[int], search: Search) -> float:
    """The formula of `Search`."""
    total, weights = network.read(sentence, tokens)
    attention = np.maximum(weights.sum(0)[MASK[sentence]], 1e-4)
    return total / ((5 + len(tokens)) / 6) ** search.length_penalty + search.coverage_penalty * np.log(np.minimum(attention, 1.0)).sum()


def every_translation(
    network: Attentive, sentence: int, search: Search, allowed: Callable[[list[int]], bool] = lambda tokens: True
) -> list[tuple[float, list[int]]]:
    """All that end within the limit and are allowed, the best first."""
    others = [token for token in range(network.vocabulary) if token != EOS]
    bodies = itertools.chain.from_iterable(itertools.product(others, repeat=length) for length in range(search.max_tokens))
    sequences = ([*body, EOS] for body in bodies)
    return sorted(((score(network, sentence, tokens, search), tokens) for tokens in sequences if allowed(tokens)), reverse=True)


def wide(limit: int = LIMIT, **options: float) -> Search:
    """With room for every hypothesis."""
    return Search(5 * 4 ** (limit - 1), limit, **{"length_penalty": 0.8, **options})


def assert_best(network: Attentive, search: Search, rules=(), allowed: Callable[[int, list[int]], bool] = lambda sentence, tokens: True):
    """The search finds the best of all translations that are allowed to each sentence."""
    found = beam_search(network.step, network.initial, search, MASK, rules)
    for sentence in range(len(SOURCE_LENGTHS)):
        expected = every_translation(network, sentence, search, lambda tokens: allowed(sentence, tokens))  # noqa: B023
        assert len(expected) >= search.best
        for number, (value, tokens) in enumerate(expected[: search.best]):
            assert found.ids[sentence, number].numpy().tolist() == tokens + [0] * (search.max_tokens - len(tokens))
            np.testing.assert_allclose(found.scores[sentence, number], value, **CLOSE)


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@pytest.mark.parametrize("coverage_penalty", [0.0, 0.5])
def test_the_best_translations_in_their_order(length_penalty: float, coverage_penalty: float) -> None:
    network = Attentive(1)
    assert_best(network, wide(best=7, length_penalty=length_penalty, coverage_penalty=coverage_penalty))
    one, several = wide(coverage_penalty=coverage_penalty), wide(coverage_penalty=coverage_penalty, best=3)
    assert np.array_equal(
        beam_search(network.step, network.initial, one, MASK).ids[:, 0], beam_search(network.step, network.initial, several, MASK).ids[:, 0]
    )


def test_the_coverage_penalty_prefers_what_looks_at_everything() -> None:
    network = Attentive(3, end=1.0)
    without, covered = (
        beam_search(network.step, network.initial, wide(coverage_penalty=beta), MASK, with_attention=True) for beta in (0.0, 2.0)
    )
    assert not np.array_equal(without.ids, covered.ids)

    def seen(found) -> float:
        return float(np.minimum(found.attention[:, 0], 1.0).sum())

    assert seen(covered) > seen(without) + 0.1


def test_lengths_are_relative_to_the_source() -> None:
    search = Search(320, LIMIT, 0.8, min_length_ratio=0.6, max_length_ratio=0.5)
    lengths = np.array([1, 2, 3, 5, 30])
    assert search.least(lengths).numpy().tolist() == [1, 2, 2, 3, 4]  # ceil(0.6 S), within the limit
    assert search.most(lengths).numpy().tolist() == [4] * 5
    long = Search(4, 100, 0.8, max_length_ratio=1.5)
    assert long.most(lengths).numpy().tolist() == [EXTRA_TOKENS + extra for extra in (1, 3, 4, 7, 45)]


def test_no_translation_is_shorter_than_it_may_be() -> None:
    least = [3, 1, 4, 2]
    network = Attentive(2, end=1.0)
    free = beam_search(network.step, network.initial, wide(), MASK)
    assert np.any(np.count_nonzero(free.ids[:, 0], axis=-1) < least), "a minimum that changes nothing would prove nothing"
    assert_best(network, wide(best=2), [AtLeast(np.array(least, "int32"), EOS)], lambda sentence, tokens: len(tokens) >= least[sentence])


def test_a_limit_of_a_sentence_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.decoding.search.EXTRA_TOKENS", 0)
    network = Attentive(2, end=-1.0)
    search = wide(max_length_ratio=1.0)
    most = [min(length, LIMIT) for length in SOURCE_LENGTHS]
    assert_best(network, search, allowed=lambda sentence, tokens: len(tokens) <= most[sentence])
    narrow = beam_search(network.step, network.initial, Search(1, LIMIT, 0.8, max_length_ratio=1.0), MASK)
    for row, longest in zip(narrow.ids[:, 0].numpy().tolist(), most, strict=True):
        assert np.count_nonzero(row) <= longest and not any(row[longest:])


@pytest.mark.parametrize(("size", "limit"), [(1, LIMIT), (2, LIMIT), (3, 5)])
def test_no_ngram_stands_twice(size: int, limit: int) -> None:
    def fresh(_: int, tokens: list[int]) -> bool:
        grams = list(zip(*(tokens[start:] for start in range(size)), strict=False))
        return len(set(grams)) == len(grams)

    network = Attentive(4, end=-2.0)
    # PAD (0) is a token like any other to this network, but to the search the end of what is written.
    network.bias[0] = -1e6
    search = wide(limit, best=3)
    unbound = [tokens for sentence in range(4) for _, tokens in every_translation(network, sentence, search)]
    assert not all(fresh(0, tokens) for tokens in unbound), "nothing to forbid"
    assert_best(network, search, [NoRepeat(size, limit)], lambda sentence, tokens: fresh(sentence, tokens) and 0 not in tokens)


def test_a_beginning_is_gone_on_from() -> None:
    prefixes = np.array([[1, 4], [2, 0], [0, 0], [4, 4]], "int32")

    def begins(sentence: int, tokens: list[int]) -> bool:
        given = [token for token in prefixes[sentence].tolist() if token]
        return tokens[: len(given)] == given

    assert_best(Attentive(5), wide(best=2), [Prefix(prefixes)], begins)


def test_options_together() -> None:
    prefixes, least = np.array([[1], [0], [4], [0]], "int32"), np.array([3, 2, 3, 4], "int32")
    network = Attentive(6, end=1.0)
    network.bias[0] = -1e6

    def allowed(sentence: int, tokens: list[int]) -> bool:
        given = prefixes[sentence, 0]
        return len(tokens) >= least[sentence] and len(set(tokens)) == len(tokens) and 0 not in tokens and (not given or tokens[0] == given)

    rules = [AtLeast(least, EOS), NoRepeat(1, LIMIT), Prefix(prefixes)]
    assert_best(network, wide(best=2, coverage_penalty=0.4), rules, allowed)


@pytest.mark.parametrize(("beam_size", "best"), [(2, 2), (4, 3), (8, 8)])
@pytest.mark.parametrize("coverage_penalty", [0.0, 0.3])
def test_stopping_early_loses_none_of_the_best(beam_size: int, best: int, coverage_penalty: float) -> None:
    """The same beam in NumPy, which goes on to the limit."""
    for seed, end in ((1, -2.0), (2, 0.0), (3, 2.0)):
        network = Attentive(seed, vocabulary=9, end=end)
        network.bias[0] = -1e6  # PAD
        search = Search(beam_size, 10, 0.7, coverage_penalty=coverage_penalty, best=best)
        found = beam_search(network.step, network.initial, search, MASK)
        for sentence in range(len(SOURCE_LENGTHS)):
            alive, ended = [(0.0, [BOS], network.initial[sentence])], []
            for _ in range(search.max_tokens):
                grown = []
                for total, tokens, state in alive:
                    log_probs, following = network.numpy_step(tokens[-1], state)
                    grown += [(total + log_probs[token], [*tokens, token], following) for token in range(9)]
                grown = sorted(grown, key=lambda hypothesis: -hypothesis[0])[:beam_size]
                alive = [hypothesis for hypothesis in grown if hypothesis[1][-1] != EOS]
                ended += [tokens[1:] for _, tokens, _ in grown if tokens[-1] == EOS]
            expected = sorted(((score(network, sentence, tokens, search), tokens) for tokens in ended), reverse=True)[:best]
            rows = found.ids[sentence].numpy().tolist()
            assert [row[: len(tokens)] for row, (_, tokens) in zip(rows, expected, strict=False)] == [tokens for _, tokens in expected]
            np.testing.assert_allclose(found.scores[sentence, : len(expected)], [value for value, _ in expected], **CLOSE)
            # Where too few have ended, those that were cut off stand behind them.
            assert all(EOS not in row and all(row) == any(row) for row in rows[len(expected) :])


def test_attention_is_that_of_the_translation() -> None:
    network = Attentive(7, vocabulary=9, end=0.5)
    found = beam_search(network.step, network.initial, Search(3, 10, 0.8, best=2), MASK, with_attention=True)
    for sentence, number in itertools.product(range(len(SOURCE_LENGTHS)), range(2)):
        row = found.ids[sentence, number].numpy().tolist()
        tokens = row[: row.index(EOS) + 1] if EOS in row else row
        _, weights = network.read(sentence, tokens)
        np.testing.assert_allclose(found.attention[sentence, number], weights.sum(0), **CLOSE)


def test_more_translations_than_hypotheses_are_refused() -> None:
    with pytest.raises(ValueError, match="best=5, beam_size=4"):
        Search(4, 10, 1.0, best=5)


# --- by lot -----------------------------------------------------------------------------------------------------------


def drawn(network: Attentive, samples: int, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, seed: int = 1):
    choose = Drawn(temperature, top_k, top_p, keras.random.SeedGenerator(seed))
    return beam_search(network.step, network.initial, Search(samples, LIMIT, 0.0, best=samples), MASK, choose=choose, with_attention=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0])
def test_tokens_are_drawn_as_often_as_they_are_likely(temperature: float) -> None:
    network, samples = Attentive(8), 4000
    found = drawn(network, samples, temperature)
    for sentence in range(len(SOURCE_LENGTHS)):
        log_probs, _ = network.numpy_step(BOS, network.initial[sentence])
        expected = np.exp(log_probs / temperature) / np.exp(log_probs / temperature).sum()
        counts = Counter(found.ids[sentence, :, 0].numpy().tolist())
        for token, probability in enumerate(expected):
            assert abs(counts[token] / samples - probability) < 4 * (probability * (1 - probability) / samples) ** 0.5 + 1e-3


def test_scores_of_drawn_translations_are_the_models_own() -> None:
    network = Attentive(8)
    found = drawn(network, 20, temperature=0.7, top_k=3)
    for sentence, number in itertools.product(range(len(SOURCE_LENGTHS)), range(20)):
        row = found.ids[sentence, number].numpy().tolist()
        tokens = row[: row.index(EOS) + 1] if EOS in row else row
        np.testing.assert_allclose(found.scores[sentence, number], network.read(sentence, tokens)[0], **CLOSE)


@pytest.mark.parametrize("options", [{"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-3}])
def test_a_lot_with_one_token_in_it_is_greedy_search(options: dict[str, float]) -> None:
    network = Attentive(9)
    greedy = beam_search(network.step, network.initial, Search(1, LIMIT, 0.0), MASK)
    found = drawn(network, 3, **options)
    assert np.array_equal(found.ids, np.repeat(greedy.ids, 3, axis=1))


def test_only_the_likeliest_are_in_the_lot() -> None:
    network = Attentive(10)
    by_number, by_mass = drawn(network, 500, top_k=2), drawn(network, 500, top_p=0.6)
    for sentence in range(len(SOURCE_LENGTHS)):
        log_probs, _ = network.numpy_step(BOS, network.initial[sentence])
        order = np.argsort(-log_probs)
        needed = int(np.searchsorted(np.cumsum(np.exp(log_probs[order])), 0.6)) + 1
        assert set(by_number.ids[sentence, :, 0].numpy().tolist()) == set(order[:2].tolist())
        assert set(by_mass.ids[sentence, :, 0].numpy().tolist()) == set(order[:needed].tolist())


def test_the_same_seed_draws_the_same() -> None:
    network = Attentive(11)
    once, again, other = (drawn(network, 10, seed=seed).ids for seed in (1, 1, 2))
    assert np.array_equal(once, again) and not np.array_equal(once, other)


def test_no_lot_draws_what_is_no_text() -> None:
    """To new weights all tokens are nearly alike, padding and the mark of a beginning among them."""
    model = build_model(Model(**SMALL), 13, 13)
    choose = Drawn(1.0, 0, 1.0, keras.random.SeedGenerator(1))
    search = Search(200, 10, 0.0, best=200)
    rows = np.array(search_translations(model, np.array([[5, 6, 3]], "int32"), search, choose=choose).ids)[0].tolist()
    written = [token for row in rows for token in (row[: row.index(EOS)] if EOS in row else row)]
    assert len(written) > 200 and set(written) == {1, *range(4, 13)}


# --- phrases that must be there ---------------------------------------------------------------------------------------


def contains(tokens: list[int], phrase: list[int]) -> bool:
    return any(tokens[start : start + len(phrase)] == phrase for start in range(len(tokens)))


def phrase_ids(*sentences: list[list[int]]) -> np.ndarray:
    ids = np.zeros((len(sentences), max(map(len, sentences)), LONGEST), "int32")
    for row, phrases in zip(ids, sentences, strict=True):
        for place, phrase in zip(row, phrases, strict=False):
            place[: len(phrase)] = phrase
    return ids


def assert_best_with_phrases(
    found: Found, network: Attentive, search: Search, wanted: Sequence[list[list[int]]], holds: Callable[[list[int], list[int]], bool]
) -> None:
    """The two best of each sentence are those of all translations in which each phrase `holds`."""
    for sentence, phrases in enumerate(wanted):

        def allowed(tokens: list[int], phrases: list[list[int]] = phrases) -> bool:
            return 0 not in tokens and all(holds(tokens, phrase) for phrase in phrases)

        for number, (value, tokens) in enumerate(every_translation(network, sentence, search, allowed)[:2]):
            assert found.ids[sentence, number].numpy().tolist() == tokens + [0] * (search.max_tokens - len(tokens))
            np.testing.assert_allclose(found.scores[sentence, number], value, **CLOSE)


@pytest.mark.parametrize(
    "wanted",
    [
        ([[4]], [[1], [4]], [], [[4, 1]]),
        ([[4, 4]], [[1, 2]], [[2], [1]], [[4], [2, 1]]),
        ([[1, 1, 2]], [], [[4, 1, 4]], [[2]]),  # after 1 1, a third 1 keeps the last two
    ],
)
@pytest.mark.parametrize("end", [-1.0, 2.0])
def test_phrases_stand_in_the_translation(wanted: tuple[list[list[int]], ...], end: float) -> None:
    network, limit = Attentive(12, end=end), 5
    network.bias[0] = 2 * NEVER
    search = Search(5 * 3 ** (limit - 1), limit, 0.8, best=2)  # room for all but PAD
    rule = Phrases(phrase_ids(*wanted), np.full(4, limit, "int32"), EOS)
    found = beam_search(network.step, network.initial, search, MASK, [rule], Banks([(0, rule)]))
    assert_best_with_phrases(found, network, search, wanted, contains)


# 2 goes on with a word; after 4 there is none to go on with.
WORDS = WordPieces(np.array([False, False, True, False, False]), np.array([False, True, True, False, False]))


def stands(tokens: list[int], phrase: list[int]) -> bool:
    """Whether a phrase is there, and no longer word that begins with it."""
    for start in range(len(tokens) - len(phrase) + 1):
        end = start + len(phrase)
        if tokens[start:end] == phrase and not (end < len(tokens) and WORDS.open[phrase[-1]] and WORDS.go_on[tokens[end]]):
            return True
    return False


@pytest.mark.parametrize(
    "wanted", [([[4]], [[1], [4]], [], [[4, 1]]), ([[1, 2]], [[1]], [[2], [1]], [[4], [2, 1]]), ([[1, 1]], [[2]], [[1, 4, 1]], [[2, 2]])]
)
@pytest.mark.parametrize("end", [-1.0, 2.0])
def test_the_beginning_of_a_longer_word_is_no_phrase(wanted: tuple[list[list[int]], ...], end: float) -> None:
    network, limit = Attentive(15, end=end), 5
    network.bias[0], network.bias[2] = 2 * NEVER, 2.0  # it likes to go on
    search = Search(5 * 3 ** (limit - 1), limit, 0.8, best=2)
    rule = Phrases(phrase_ids(*wanted), np.full(4, limit, "int32"), EOS, WORDS)
    found = beam_search(network.step, network.initial, search, MASK, [rule], Banks([(0, rule)]))
    assert_best_with_phrases(found, network, search, wanted, stands)


@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("limit", [4, 5, 8])
def test_a_narrow_beam_writes_the_whole_word_and_no_more(beam_size: int, limit: int) -> None:
    network = Attentive(16, end=-3.0)
    network.bias[[0, 1, 2]] = [-1e6, -5.0, 6.0]
    wanted = ([[1]], [[1, 1]], [[4, 1]], [[1], [4]])
    rule = Phrases(phrase_ids(*wanted), np.full(4, limit, "int32"), EOS, WORDS)
    found = beam_search(network.step, network.initial, Search(beam_size, limit, 0.8), MASK, [rule], Banks([(0, rule)]))
    for row, phrases in zip(found.ids[:, 0].numpy().tolist(), wanted, strict=True):
        assert all(stands(row, phrase) for phrase in phrases), (row, phrases)


def test_phrases_may_share_tokens() -> None:
    wanted = ([[2, 1], [1, 4]], [[4], [4, 1]], [[1, 2, 1], [2, 1, 2]], [[4, 4], [4]])
    network = Attentive(12, end=1.0)
    rule = Phrases(phrase_ids(*wanted), np.full(4, 12, "int32"), EOS)
    found = beam_search(network.step, network.initial, Search(6, 12, 0.8), MASK, [rule], Banks([(0, rule)]))
    for row, phrases in zip(found.ids[:, 0].numpy().tolist(), wanted, strict=True):
        assert EOS in row and all(contains(row, phrase) for phrase in phrases)


@pytest.mark.parametrize("beam_size", [1, 2, 4])
def test_phrases_are_there_however_narrow_the_beam_and_unlikely_they(beam_size: int) -> None:
    wanted = ([[5, 6]], [[4], [7]], [[8, 8, 5], [6]], [])
    network = Attentive(13, vocabulary=9, end=3.0)
    network.bias[[0, 5, 6, 7, 8]] = [-1e6, -20.0, -20.0, -20.0, -20.0]
    rule = Phrases(phrase_ids(*wanted), np.full(4, 10, "int32"), EOS)
    search = Search(beam_size, 10, 0.8)
    found = beam_search(network.step, network.initial, search, MASK, [rule], Banks([(0, rule)]))
    for row, phrases in zip(found.ids[:, 0].numpy().tolist(), wanted, strict=True):
        assert all(contains(row, phrase) for phrase in phrases), (row, phrases)
    free = beam_search(network.step, network.initial, search, MASK)
    assert np.array_equal(found.ids[3], free.ids[3])  # nothing demanded, nothing changed


def test_at_the_limit_only_what_is_missing_is_written() -> None:
    """A model that never ends and never says what it should."""
    network = Attentive(14, vocabulary=9, end=-30.0)
    network.bias[[0, 5, 6]] = [-1e6, -30.0, -30.0]
    rule = Phrases(phrase_ids([[5, 6, 5], [6]], [[6]], [], [[5]]), np.array([6, 4, 5, 3], "int32"), EOS)
    found = beam_search(network.step, network.initial, Search(1, 6, 0.8), MASK, [rule])
    rows = found.ids[:, 0].numpy().tolist()
    assert contains(rows[0], [5, 6, 5]) and contains(rows[1], [6]) and contains(rows[3], [5])


def test_within_a_beginning_no_other_rule_counts() -> None:
    """It may repeat itself, and write a slot twice; what follows may not."""
    network = Attentive(5)
    prefixes = np.array([[1, 1, 4], [4, 4, 0], [1, 4, 1], [2, 0, 0]], "int32")
    found = beam_search(network.step, network.initial, wide(6), MASK, [NoRepeat(1, 6), Prefix(prefixes)])
    for row, prefix, score in zip(found.ids[:, 0].numpy().tolist(), prefixes.tolist(), found.scores[:, 0].numpy(), strict=True):
        given = [token for token in prefix if token]
        assert row[: len(given)] == given and score > NEVER / 2
        rest = [token for token in row[len(given) :] if token not in (0, EOS)]
        assert len(set(rest)) == len(rest) and not set(rest) & set(given)


def test_where_everything_is_forbidden_nothing_is_found() -> None:
    """No end that is none is taken for a translation."""

    class Nothing(NoRepeat):
        def veto(self, at, memory):
            return super().veto(at, memory) + NEVER * ops.cast(at.index > 0, "float32")

    network = Attentive(5)
    network.bias[EOS] = -20.0  # a first token is written, not the end
    found = beam_search(network.step, network.initial, Search(2, LIMIT, 0.8), MASK, [Nothing(2, LIMIT)])
    assert not np.any(found.ids) and np.all(found.scores <= NEVER)


def test_a_wide_beam_is_shared_out_in_little_memory() -> None:
    """Of 100 hypotheses 10,000 children are compared; pairs of them would not fit."""
    network = Attentive(13, vocabulary=150)
    network.bias[0] = 2 * NEVER
    rule = KeptSlots(np.tile(np.array([[5, EOS, 0, 0, 0]], "int32"), (4, 1)), 4, np.full(4, 6, "int32"), EOS)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = beam_search(network.step, network.initial, Search(100, 6, 0.8), MASK, [rule], Banks([(0, rule)]))
    assert np.all(np.count_nonzero(found.ids[:, 0] == 5, axis=-1) == 1)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 500_000  # KB
