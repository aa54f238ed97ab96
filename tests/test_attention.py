"""Every kind of attention: its numbers against NumPy, and what padding, the batch and the number of queries must not change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from pipeline.model.attention import Attention
from pipeline.model.attention_kinds import ATTENTIONS
from pipeline.model.masking import masked_softmax

B, T, S = 3, 4, 6
D = H = 8
A, HEADS = 12, 2
LENGTHS = [6, 2, 4]

# float32 sums of a few dozen terms in another order.
CLOSE = {"rtol": 1e-4, "atol": 1e-5}

KINDS = [kind for kind in ATTENTIONS if kind != "none"]
LOOKING = [(kind, coverage) for kind in KINDS for coverage in (False, True)]
kinds = pytest.mark.parametrize("kind", KINDS)
looking = pytest.mark.parametrize(("kind", "coverage"), LOOKING)
looking_or_not = pytest.mark.parametrize(("kind", "coverage"), [*LOOKING, ("none", False)])


def attention(kind: str, coverage: bool = False, scale: float = 1.0, **options: Any) -> Attention:
    """One with random weights, biases too: zeros would hide where a bias goes."""
    layer = ATTENTIONS[kind](A, **{"heads": HEADS, **options}, coverage=coverage)
    layer.build(D, H)
    generator = np.random.default_rng(1)
    for weight in layer.weights:
        weight.assign(generator.normal(scale=scale, size=weight.shape))
    return layer


def inputs(coverage: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]:
    """Queries, memory, mask and what has been covered, of sentences of LENGTHS tokens."""
    generator = np.random.default_rng(2)
    query, memory = generator.normal(size=(B, T, D)).astype("float32"), generator.normal(size=(B, S, H)).astype("float32")
    covered = generator.uniform(0, 2, (B, T, S)).astype("float32")
    return query, memory, np.arange(S) < np.array(LENGTHS)[:, None], covered if coverage else None


def attend(layer: Attention, query: Any, memory: Any, mask: Any, covered: Any = None) -> tuple[Any, Any]:
    memory = tf.convert_to_tensor(memory)
    return layer(query, layer.project(memory), memory, mask, covered)


# --- the same in NumPy, a sentence without padding: query [T, D], memory [S, H], covered [T, S] -----------------------


def softmax(scores):
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    return exponentials / exponentials.sum(-1, keepdims=True)


def additive_weights(query, memory, covered, query_kernel, memory_kernel, bias, direction, scale, coverage_kernel):
    v = scale * direction / np.linalg.norm(direction)
    scores = [
        [v @ np.tanh(q @ query_kernel + m @ memory_kernel + bias + c * coverage_kernel) for m, c in zip(memory, row, strict=True)]
        for q, row in zip(query, covered, strict=True)
    ]
    return softmax(np.array(scores))


def numpy_additive(query, memory, covered, **weights):
    found = additive_weights(query, memory, covered, **{"coverage_kernel": np.zeros(A), **weights})
    return found @ memory, found


def numpy_multi_head(query, memory, covered, value_kernel, scale, **weights):
    weights = {"coverage_kernel": np.zeros(A), **weights}
    each, contexts = [], []
    for head in range(HEADS):
        own, values = (slice(head * size // HEADS, (head + 1) * size // HEADS) for size in (A, H))
        parts = {name: value[..., own] for name, value in weights.items()}
        each.append(additive_weights(query, memory, covered, scale=scale[head], **parts))
        contexts.append(each[-1] @ memory @ value_kernel[:, values])
    return np.concatenate(contexts, axis=1), np.mean(each, axis=0)


DIVIDED = np.eye(D) / D**0.5  # what dot attention does to the memory, as a kernel


def numpy_dot(query, memory, covered, memory_kernel=DIVIDED, coverage_scale=0.0):
    found = softmax(query @ (memory @ memory_kernel).T + covered * coverage_scale)
    return found @ memory, found


NUMPY = {"additive": numpy_additive, "multi_head": numpy_multi_head, "dot": numpy_dot, "general": numpy_dot}


@looking
def test_it_computes_its_equation(kind: str, coverage: bool) -> None:
    layer = attention(kind, coverage)
    query, memory, mask, covered = inputs(coverage)
    context, weights = attend(layer, query, memory, mask, covered)
    assert context.shape == (B, T, layer.context_size)
    values = {weight.name: np.array(weight, np.float64) for weight in layer.weights}
    for i, length in enumerate(LENGTHS):
        passed = np.zeros((T, length)) if covered is None else covered[i, :, :length]
        expected_context, expected_weights = NUMPY[kind](query[i], memory[i, :length], passed, **values)
        np.testing.assert_allclose(weights[i, :, :length], expected_weights, **CLOSE)
        np.testing.assert_allclose(context[i], expected_context, **CLOSE)


def test_without_attention_there_is_no_context_and_no_weight() -> None:
    layer = attention("none")
    context, weights = attend(layer, *inputs())
    assert context is None
    assert layer.context_size == 0
    assert not layer.weights
    np.testing.assert_array_equal(weights, np.zeros((B, T, S)))


# --- padding ----------------------------------------------------------------------------------------------------------


@kinds
@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_weights_sum_to_one_over_real_tokens_for_any_mask(kind: str, scale: float) -> None:
    """Padding at the end, at the start, between, everywhere; scores of hundreds, of which padding must not win against the lowest."""
    mask = np.array([[True] * 2 + [False] * 4, [False] * 5 + [True], [True, False] * 3, [True] * 6, [False] * 6])
    generator = np.random.default_rng(3)
    query, memory = generator.normal(size=(5, T, D)).astype("float32"), generator.normal(size=(5, S, H)).astype("float32")
    layer = attention(kind, scale=scale)
    context, weights = attend(layer, query * scale, memory, mask)
    weights = np.array(weights)
    np.testing.assert_allclose(weights[:4].sum(axis=-1), 1.0, atol=1e-6)
    assert not np.any(weights.transpose(0, 2, 1)[~mask])
    assert np.all(np.isfinite(context))
    assert not np.any(context[4])


@looking_or_not
def test_padding_and_the_rest_of_the_batch_change_nothing(kind: str, coverage: bool) -> None:
    layer = attention(kind, coverage)
    query, memory, mask, covered = inputs(coverage)
    context, weights = attend(layer, query, np.where(mask[..., None], memory, 1000.0).astype("float32"), mask, covered)
    for i, length in enumerate(LENGTHS):
        passed = None if covered is None else covered[i : i + 1, :, :length]
        alone, alone_weights = attend(layer, query[i : i + 1], memory[i : i + 1, :length], mask[i : i + 1, :length], passed)
        np.testing.assert_allclose(weights[i, :, :length], alone_weights[0], atol=1e-6)
        if context is not None:
            np.testing.assert_allclose(context[i], alone[0], atol=1e-5)


@looking
def test_gradients_reach_every_weight_and_nothing_of_the_padding(kind: str, coverage: bool) -> None:
    layer = attention(kind, coverage)
    query, memory, mask, covered = (None if value is None else tf.constant(value) for value in inputs(coverage))
    with tf.GradientTape() as tape:
        tape.watch([query, memory])
        context, _ = attend(layer, query, memory, mask, covered)
        total = tf.reduce_sum(context * tf.random.stateless_normal(context.shape, seed=[1, 2]))
    of_query, of_memory, *of_weights = tape.gradient(total, [query, memory, *(weight.value for weight in layer.weights)])
    assert np.all(np.abs(of_query) > 0)
    assert np.all(np.any(of_memory, axis=-1) == mask)
    for weight, gradient in zip(layer.weights, of_weights, strict=True):
        assert np.abs(gradient).max() > 1e-4, weight.path


def test_a_sentence_of_padding_has_finite_gradients() -> None:
    scores = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    with tf.GradientTape() as tape:
        tape.watch(scores)
        weights = masked_softmax(scores, tf.constant([[True, True], [False, False]]))
        total = tf.reduce_sum(weights * [1.0, 2.0])
    gradient = tape.gradient(total, scores)
    np.testing.assert_allclose(weights[1], 0.0)
    assert np.all(np.abs(gradient[0]) > 0.1)
    assert not np.any(gradient[1])


# --- queries ----------------------------------------------------------------------------------------------------------


@looking_or_not
def test_queries_do_not_see_each_other(kind: str, coverage: bool) -> None:
    """All steps at once, one step at a time, or K hypotheses of a step: the same numbers, in one graph."""
    layer = attention(kind, coverage)
    query, memory, mask, covered = inputs(coverage)
    shapes = [tf.TensorSpec((None, None, D)), tf.TensorSpec((None, None, H)), tf.TensorSpec((None, None), tf.bool)]
    compiled = tf.function(
        lambda *arguments: [value for value in attend(layer, *arguments) if value is not None],
        input_signature=[*shapes, *([tf.TensorSpec((None, None, None))] if coverage else [])],
    )
    together = compiled(*(value for value in (query, memory, mask, covered) if value is not None))
    for t in range(T):
        step = [query[:, t : t + 1], memory, mask, *([] if covered is None else [covered[:, t : t + 1]])]
        for one, other in zip(compiled(*step), together, strict=True):
            np.testing.assert_allclose(one[:, 0], other[:, t], atol=1e-6)
    assert compiled.experimental_get_tracing_count() == 1


# --- coverage, heads, precision ---------------------------------------------------------------------------------------


@kinds
def test_coverage_begins_without_effect(kind: str) -> None:
    """Its weight starts at 0: the first updates learn to attend, and what has been covered comes in as it helps."""
    layer = ATTENTIONS[kind](A, heads=HEADS, coverage=True)
    layer.build(D, H)
    query, memory, mask, covered = inputs(coverage=True)
    np.testing.assert_array_equal(
        attend(layer, query, memory, mask, covered)[1], attend(layer, query, memory, mask, np.zeros_like(covered))[1]
    )


@pytest.mark.parametrize("kind", ["dot", "general"])
def test_covered_tokens_lose_weight_when_the_learnt_scale_is_negative(kind: str) -> None:
    layer = attention(kind, coverage=True, scale=0.3)
    layer.coverage_scale.assign(-1.0)
    query, memory, mask, _ = inputs()
    covered = np.zeros((B, T, S), np.float32)
    before = np.array(attend(layer, query, memory, mask, covered)[1])
    covered[:, :, 0] = 1.0
    after = np.array(attend(layer, query, memory, mask, covered)[1])
    assert np.all(after[:, :, 0] < before[:, :, 0])
    assert np.all(after[:, :, 1] > before[:, :, 1])


def test_one_head_is_additive_attention_on_projected_values() -> None:
    one, additive = attention("multi_head", heads=1), attention("additive")
    for weight, value in zip(additive.weights, one.weights, strict=False):
        weight.assign(np.reshape(value, weight.shape))
    context, weights = attend(one, *inputs())
    additive_context, expected = attend(additive, *inputs())
    np.testing.assert_allclose(weights, expected, **CLOSE)
    np.testing.assert_allclose(context, additive_context @ one.value_kernel.value, **CLOSE)


@kinds
def test_bfloat16_stays_near(kind: str) -> None:
    """8 bits of mantissa in the projections."""
    exact, rounded = attention(kind, scale=0.5), attention(kind, scale=0.5, precision="bfloat16")
    for one, other in zip(attend(exact, *inputs()), attend(rounded, *inputs()), strict=True):
        assert other.dtype == tf.float32
        np.testing.assert_allclose(other, one, atol=0.03)


# --- what does not fit ------------------------------------------------------------------------------------------------


def test_dot_attention_needs_one_width() -> None:
    with pytest.raises(ValueError, match=r"queries as wide as the memory\. Received: 8 and 10"):
        ATTENTIONS["dot"](A).build(D, 10)


def test_heads_divide_the_units_and_the_memory() -> None:
    with pytest.raises(ValueError, match=r"divide the units\. Received: units=12, heads=5"):
        ATTENTIONS["multi_head"](A, heads=5)
    with pytest.raises(ValueError, match=r"divide the memory's width\. Received: 8, heads=3"):
        ATTENTIONS["multi_head"](A, heads=3).build(D, H)
