"""The search with the model put in: source ids in, translations' ids out, written with `keras.ops` alone.

Every way to translate goes through this function: validation, `translate`, the SavedModel and the .tflite files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from keras import ops

from pipeline.decoding.banks import Banks, Demand
from pipeline.decoding.beam_search import BeamSearch
from pipeline.decoding.choosing import Choose, Drawn, likeliest
from pipeline.decoding.kept_slots import KeptSlots
from pipeline.decoding.phrases import Phrases
from pipeline.decoding.rules import AtLeast, Never, NoRepeat, Prefix, Rule
from pipeline.decoding.search import EXTRA_TOKENS, Found, Search
from pipeline.decoding.whole_words import WordPieces

if TYPE_CHECKING:
    from pipeline.model.decoder import Encoded
    from pipeline.model.seq2seq import Seq2Seq

Tensor = Any


class Shortlisted(NamedTuple):
    """The output layer for a part of the vocabulary.

    Attributes:
        pieces: [N] int32 their ids.
        kernel: [R, N].
        bias: [N].
    """

    pieces: Tensor
    kernel: Tensor
    bias: Tensor


def search_translations(
    model: Seq2Seq,
    source_ids: Tensor,
    search: Search,
    prefix_ids: Tensor | None = None,
    phrase_ids: Tensor | None = None,
    choose: Choose = likeliest,
    with_attention: bool = False,
    words: WordPieces | None = None,
) -> Found:
    """Encodes source sentences and searches for their translations, all in one go.

    Args:
        model: trained.
        source_ids: [B, S] int32, EOS after each sentence, then 0; S is at least 1.
        search: the settings.
        prefix_ids: [B, P] int32, how each translation begins, then 0; P is at least 1.
        phrase_ids: [B, C, LONGEST] int32 phrases that must stand in each translation, see `Phrases`.
        choose, with_attention: see `BeamSearch`; phrases choose for themselves.
        words: for phrases, see there.
    """
    encoded = model.encode(source_ids)
    searching = search_with(model, encoded, source_ids, search, prefix_ids, phrase_ids, choose, with_attention, words)
    return searching.found(searching.run(searching.begin(encoded.state)))


def search_with(
    model: Seq2Seq,
    encoded: Encoded,
    source_ids: Tensor,
    search: Search,
    prefix_ids: Tensor | None = None,
    phrase_ids: Tensor | None = None,
    choose: Choose = likeliest,
    with_attention: bool = False,
    words: WordPieces | None = None,
    live_only: bool = False,
    shortlist: Shortlisted | None = None,
) -> BeamSearch:
    """The search for translations of sentences that the model has encoded, with the rules that go with them; see `search_translations`.

    Args:
        live_only: where no rule is in the way, see `BeamSearch`.
        shortlist: with `live_only`, the pieces that alone may be written; they have no slots.
    """
    mask = ops.not_equal(source_ids, 0)
    lengths = ops.sum(ops.cast(mask, "int32"), axis=-1)

    def step(tokens: Tensor, states: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return model.read_token(tokens, states, encoded)

    most = _most(source_ids, search, lengths, prefix_ids, phrase_ids)
    rules: list[Rule] = []
    demands: list[tuple[int, Demand]] = []
    never = [0, search.bos] if isinstance(choose, Drawn) else []
    if search.slotless and shortlist is None:
        never += range(search.eos + 1, search.eos + 1 + search.slots)
    if never:
        rules.append(Never(never))
    if search.min_length_ratio:
        rules.append(AtLeast(search.least(lengths), search.eos))
    if search.no_repeat_ngram:
        rules.append(NoRepeat(search.no_repeat_ngram, search.max_tokens))
    if prefix_ids is not None:
        rules.append(Prefix(prefix_ids))
    if search.slots and not search.slotless:
        demands.append((len(rules), KeptSlots(source_ids, search.slots, most, search.eos)))
        rules.append(demands[-1][1])
    if phrase_ids is not None:
        # Early enough that what the source has in its slots still finds room.
        demands.append((len(rules), Phrases(phrase_ids, most - _slots(source_ids, search), search.eos, words)))
        rules.append(demands[-1][1])
    if demands and (choose is likeliest or phrase_ids is not None):
        choose = Banks(demands)
    live_only = live_only and choose is likeliest and all(isinstance(rule, Never) for rule in rules)
    if shortlist is not None and not live_only:
        raise ValueError("A shortlist goes with no rule and no lot.")
    pieces, layer = (None, None) if shortlist is None else (shortlist.pieces, (shortlist.kernel, shortlist.bias))

    def output(readouts: Tensor) -> Tensor:
        return model.logits(readouts, layer)

    return BeamSearch(step, search, mask, rules, choose, with_attention, most, output, live_only, pieces)


def _most(source_ids: Tensor, search: Search, lengths: Tensor, prefix_ids: Tensor | None, phrase_ids: Tensor | None) -> Tensor:
    """[B] the limit of each translation: the settings', or more where what it must contain leaves the model no room for its own words."""
    most = search.most(lengths)
    if prefix_ids is None and phrase_ids is None and ((search.max_length_ratio or 1.0) >= 1.0 or not search.slots):
        return most
    demanded = ops.zeros_like(most)
    if prefix_ids is not None:
        demanded = demanded + ops.sum(ops.cast(prefix_ids > 0, "int32"), axis=-1)
    if phrase_ids is not None:
        demanded = demanded + ops.sum(ops.cast(phrase_ids > 0, "int32"), axis=(1, 2))
    demanded = demanded + _slots(source_ids, search)
    return ops.minimum(ops.maximum(most, demanded + EXTRA_TOKENS), search.max_tokens)


def _slots(source_ids: Tensor, search: Search) -> Tensor:
    """[B] how many slots each source has, as far as the search keeps them."""
    slots = ops.logical_and(source_ids > search.eos, source_ids <= search.eos + search.slots)
    return ops.sum(ops.cast(slots, "int32"), axis=-1)


def attention_weights(model: Seq2Seq, source_ids: Tensor, target_inputs: Tensor) -> Tensor:
    """What each token of given translations looks at: step by step as in a search, whose weights an exported file then has but once.

    Args:
        model: trained.
        source_ids: [B, S] int32, EOS after each sentence, then 0.
        target_inputs: [B, T] int32 the translations, shifted right: BOS first.

    Returns:
        [B, T, S]; a row sums to 1, and is 0 at padding.
    """
    encoded = model.encode(source_ids)
    batch, length = ops.shape(source_ids)
    steps = ops.shape(target_inputs)[1]
    positions = ops.arange(steps, dtype="int32")[None, :, None]
    start = ops.reshape(encoded.state, (batch, 1, ops.shape(encoded.state)[-1]))

    def look(index: Tensor, state: Tensor, seen: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        _, state, weights = model.decode_step(ops.take(target_inputs, index[None], axis=1), state, encoded)
        # What a loop carries keeps its shape, as far as that is known.
        state, weights = ops.reshape(state, ops.shape(start)), ops.reshape(weights, (batch, 1, length))
        return index + 1, state, ops.where(positions == index, weights, seen)

    begin = (ops.zeros((), dtype="int32"), start, ops.zeros((batch, steps, length)))
    return ops.while_loop(lambda index, *_: index < steps, look, begin)[2]
