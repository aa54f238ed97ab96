"""Placeholders: slots in the text, the same in Python and in TensorFlow's graph; each written once by the search, on every road."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import keras
import numpy as np
import pytest
from test_beam_search import CLOSE
from test_search_options import MASK, SOURCE_LENGTHS, Attentive, assert_best

from pipeline.configuration.schema_data import Cleaning
from pipeline.configuration.schema_data import Tokenizer as Settings
from pipeline.configuration.schema_model import Model
from pipeline.data.subword_training import slots_of, train_tokenizer
from pipeline.data.subwords import EOS, FIRST_SLOT, Tokenizer
from pipeline.decoding.beam_search import beam_search
from pipeline.decoding.evaluation import placeholders_intact
from pipeline.decoding.kept_slots import KeptSlots
from pipeline.decoding.search import Search
from pipeline.decoding.text_stream import TextTranslator
from pipeline.decoding.translator import Translator
from pipeline.model.build import build_model
from pipeline.runtime.errors import UserError
from pipeline.runtime.slots import NO_SLOTS, Slots

KNOWN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZäöüß.,:;!?-/'0123456789{}<>%()=\"[]^\\")
SLOTS = slots_of(Settings(slots=3)).knowing(KNOWN)
URL, TAG, BRACE, PYTHON, PERCENT, FOREIGN = (kind * 3 for kind in range(6))


def shown(text: str) -> str:
    return "".join(f"⟨{ord(char) - 0xE000}⟩" if char in SLOTS.symbols else char for char in text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Set {host} to {count} of {host}", f"Set ⟨{BRACE}⟩ to ⟨{BRACE + 1}⟩ of ⟨{BRACE + 2}⟩"),
        ("<b>fat</b> %s, %(name)s", f"⟨{TAG}⟩fat⟨{TAG + 1}⟩ ⟨{PERCENT}⟩, ⟨{PYTHON}⟩"),
        ("See https://a.b/c?d=e.", f"See ⟨{URL}⟩."),
        ("100 %sure, 5 %d{x}", f"100 %sure, 5 ⟨{PERCENT}⟩⟨{BRACE}⟩"),
        ("🎉 party 🎉🎉 日本 語 {n}", f"⟨{FOREIGN}⟩ party ⟨{FOREIGN + 1}⟩ ⟨{BRACE}⟩"),
        ("a\ue000b", f"a⟨{FOREIGN}⟩b"),  # looks like a slot, and is none
        ("{a}{b}{c}{d} \ue000", f"⟨{BRACE}⟩⟨{BRACE + 1}⟩⟨{BRACE + 2}⟩{{d}} ⟨{FOREIGN}⟩"),
        ("", ""),
    ],
)
def test_a_text_with_slots(text: str, expected: str) -> None:
    masked = SLOTS.mask(text)
    assert shown(masked.text) == expected
    assert SLOTS.unmask(masked.text, masked.kept) == text
    assert SLOTS.fits(text) == ("{d}" not in text)


def test_what_has_no_slot_left_is_taken_for_none() -> None:
    masked = SLOTS.mask("🎉 a 🎉 b 🎉 c \ue000")
    assert masked.text.endswith("c \ufffd")
    assert SLOTS.unmask(masked.text, {}) == " a  b  c \ufffd"


def test_a_target_has_the_slots_of_its_source() -> None:
    source, target = "{n} of {all} in <b>{n}</b>", "<b>{n}</b>: {all} {n} {n} {other}"
    masked, masked_target = SLOTS.mask_pair(source, target)
    assert shown(masked) == f"⟨{BRACE}⟩ of ⟨{BRACE + 1}⟩ in ⟨{TAG}⟩⟨{BRACE + 2}⟩⟨{TAG + 1}⟩"
    assert shown(masked_target) == f"⟨{TAG}⟩⟨{BRACE}⟩⟨{TAG + 1}⟩: ⟨{BRACE + 1}⟩ ⟨{BRACE + 2}⟩ {{n}} {{other}}"


@pytest.mark.parametrize(
    ("source", "target", "expected"),
    [
        ("Open Zigbee now", "Zigbee jetzt öffnen", f"⟨{FOREIGN}⟩ jetzt öffnen"),
        ("Open Zigbee2 now", "Zigbee jetzt öffnen", "Zigbee jetzt öffnen"),
        ("Zigbee to Zigbee", "Zigbee zu Zigbee", "Zigbee zu Zigbee"),  # which is which?
        ("an in of", "an in of", "an in of"),  # words, not names
        ("Turn {Zigbee} on", "{Zigbee} an", f"⟨{BRACE}⟩ an"),
    ],
)
def test_a_name_of_both_sides_teaches_to_copy(source: str, target: str, expected: str) -> None:
    assert shown(SLOTS.mask_pair(source, target, with_name=True)[1]) == expected
    assert FOREIGN not in [ord(char) - 0xE000 for char in SLOTS.mask_pair(source, target)[1]]


def test_numbers_by_option() -> None:
    slots = slots_of(Settings(placeholders=[], keep_numbers=True)).knowing(KNOWN)
    masked = slots.mask("From 10 to 3.5, at 12:30.")
    assert list(masked.kept.values()) == ["10", "3.5", "12:30"]
    assert slots.mask_target("Um 12:30 von 10 bis 3.5 (nicht 110)", masked.kept).endswith("(nicht 110)")


def test_without_slots_text_is_text() -> None:
    assert NO_SLOTS.mask("{a} ☃") == ("{a} ☃", {})
    assert NO_SLOTS.mask_pair("{a}", "{b}", with_name=True) == ("{a}", "{b}")
    assert NO_SLOTS.unmask("\ue000", {}) == "\ue000"
    assert NO_SLOTS.fits("{a}" * 50)


def test_more_slots_than_characters_are_refused() -> None:
    with pytest.raises(ValueError, match="6 kinds of 2000 slots are more than 6400"):
        Settings(slots=2000)


def test_intact_is_as_often_and_letter_for_letter() -> None:
    sources = ["{a} {b}", "{a}", "{a}", "plain", "{a}{a}", "{a} 5"]
    hypotheses = ["{b} {a}", "{a} {a}", "{A}", "{x}", "{a}", "fünf {a}"]
    assert placeholders_intact(SLOTS, sources, hypotheses) == (5, 2)


def random_texts(number: int) -> list[str]:
    generator = random.Random(1)
    bits = ["{a}", "{b_c}", "<b>", "</b>", "%s", "%d", "http://x.y/z", " ", "word", "🎉", "日", "\ue001", "{", "}", "%", ".", "ä", "é"]
    texts = ["".join(generator.choices(bits, k=generator.randrange(14))) for _ in range(number)]
    return [" ".join(text.split()) for text in texts]


@pytest.mark.filterwarnings("default")  # TensorFlow's own
@pytest.mark.parametrize("slots", [SLOTS, Slots((), 2, KNOWN), Slots((r"\{\w+\}",), 1)], ids=["all", "no pattern", "all known"])
def test_a_graph_does_the_same(slots: Slots) -> None:
    import tensorflow as tf

    from pipeline.exporters.slots_in_graph import SlotsInGraph

    graph = SlotsInGraph(slots)
    mask = tf.function(graph.mask, input_signature=[tf.TensorSpec([None], tf.string)])
    texts = random_texts(1000)
    masked, kept = mask(tf.constant(texts))
    back = graph.unmask(masked, kept)
    for text, its, originals, again in zip(texts, masked.numpy(), kept.numpy(), back.numpy(), strict=True):
        ours = slots.mask(text)
        assert its.decode() == ours.text
        assert {slot: original.decode() for slot, original in zip(slots.symbols, originals, strict=True) if original} == ours.kept
        assert again.decode() == slots.unmask(ours.text, ours.kept)
    empty, _ = mask(tf.constant([], tf.string))
    assert empty.shape == (0,)


def test_a_pattern_that_no_graph_knows_is_named() -> None:
    from pipeline.exporters.slots_in_graph import SlotsInGraph

    with pytest.raises(UserError, match=r"saved_model: TensorFlow does not know the regular expression '%s\(\?!x\)' of tokenizer"):
        SlotsInGraph(Slots(("%s(?!x)",), 2))


SOURCE_IDS = np.array([[4, 5, 3, 0, 0], [3, 0, 0, 0, 0], [1, 5, 1, 6, 3], [1, 3, 0, 0, 0]], "int32")
"""Of `SOURCE_LENGTHS`, with slots 4 to 6."""


def once(sentence: int, tokens: list[int]) -> bool:
    slots = [token for token in tokens if token > EOS]
    return Counter(slots) == Counter(token for token in SOURCE_IDS[sentence].tolist() if token > EOS)


def test_the_best_translation_with_each_slot_once() -> None:
    """Against every sequence there is."""
    assert np.count_nonzero(SOURCE_IDS, axis=1).tolist() == SOURCE_LENGTHS
    network = Attentive(4, vocabulary=7, end=1.0)
    search = Search(7 * 6**3, 4, 0.8, best=2)
    free = beam_search(network.step, network.initial, search, MASK)
    assert not all(once(row, [token for token in ids if token]) for row, ids in enumerate(free.ids[:, 0].numpy().tolist()))
    assert_best(network, search, [KeptSlots(SOURCE_IDS, 3, np.full(4, 4, "int32"), EOS)], once)


@pytest.mark.parametrize("beam_size", [1, 2, 4])
def test_a_narrow_search_writes_them_all_in_time(beam_size: int) -> None:
    for seed in range(5):
        network = Attentive(seed, vocabulary=7, end=-2.0)
        search = Search(beam_size, 5, 0.8)
        found = beam_search(network.step, network.initial, search, MASK, [KeptSlots(SOURCE_IDS, 3, np.full(4, 5, "int32"), EOS)])
        for sentence, row in enumerate(found.ids[:, 0].numpy().tolist()):
            assert once(sentence, row), (seed, sentence, row)
            tokens = row[: row.index(EOS) + 1] if EOS in row else row
            np.testing.assert_allclose(found.log_probs[sentence, 0], network.read(sentence, tokens)[0], **CLOSE)


TEXTS = ["the lamp {name} is <b>on</b>", "open the door of {host}", "two lamps", "%s is on, see https://a.b/c"] * 10
ODD = [
    "{count} lamps on {host}",
    "{x} and {x} and {y}",
    "<a href='u'>the {door}</a> %s",
    "🎉 the lamp ☃ {a}",
    "日本語",
    " ".join(f"{{p{number}}}" for number in range(11)) + " on",
    "see http://new.example/?q=1, {a}",
]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("run") / "tokenizer"
    return train_tokenizer(TEXTS, [text.upper() for text in TEXTS], Settings(), folder, languages=("en", "de"))


@pytest.fixture(scope="module")
def model(tokenizer: Tokenizer) -> keras.Model:
    """One that has learnt nothing: what it writes right, the search has seen to."""
    keras.utils.set_random_seed(3)
    settings = Model.model_validate({"embedding_size": 8, "encoder": {"units": 4}, "decoder": {"units": 8}, "attention": {"units": 6}})
    return build_model(settings, tokenizer.source.size, tokenizer.target.size)


def translator_of(model: keras.Model, tokenizer: Tokenizer, beam_size: int = 4, slots: bool = True) -> Translator:
    return Translator(model, tokenizer, Search(beam_size, 60, 1.0, max_length_ratio=1.0, slots=tokenizer.slots.size if slots else 0))


def intact(tokenizer: Tokenizer, source: str, line: str) -> bool:
    """A model that has learnt nothing may write letters right behind a URL, where they look like a part of it."""
    return all(line.count(some) == often for some, often in tokenizer.slots.count(source).items())


@pytest.mark.parametrize("beam_size", [1, 4])
def test_whatever_the_model_all_placeholders_come_through(model: keras.Model, tokenizer: Tokenizer, beam_size: int) -> None:
    translator = translator_of(model, tokenizer, beam_size)
    lines = TextTranslator(translator, tokenizer.count, 40, tokenizer.slots).translate([*TEXTS[:4], *ODD])
    for source, line in zip([*TEXTS[:4], *ODD], lines, strict=True):
        assert intact(tokenizer, source, line), (source, line)
    for foreign in ("🎉", "☃", "日本語"):
        assert sum(line.count(foreign) for line in lines) == 1
    free = TextTranslator(translator_of(model, tokenizer, beam_size, slots=False), tokenizer.count, 40, tokenizer.slots).translate(ODD)
    assert placeholders_intact(tokenizer.slots, ODD, free)[1] == 0


def test_unknown_characters_are_left_to_the_model_where_that_is_wanted(model: keras.Model, tokenizer: Tokenizer) -> None:
    marking = tokenizer.without_copies()
    _, (kept,) = marking.encode_source(["🎉 {a}"])
    assert list(kept.values()) == ["{a}"]
    assert "🎉" not in translator_of(model, marking).translate(["🎉 {a}"])[0].text


def test_a_given_beginning_may_have_placeholders(model: keras.Model, tokenizer: Tokenizer) -> None:
    (found,) = translator_of(model, tokenizer).translate(["{count} lamps on {host}"], ["{host}:"])
    assert found.text.startswith("{host}:")
    assert Counter(tokenizer.slots.count(found.text)) == {"{host}": 1, "{count}": 1}


@pytest.mark.filterwarnings("default")  # TensorFlow's own
def test_a_saved_model_keeps_them_too(model: keras.Model, tokenizer: Tokenizer, tmp_path: Path) -> None:
    import tensorflow as tf

    from pipeline.exporters.saved_model import save_saved_model

    translator = translator_of(model, tokenizer)
    save_saved_model(model, tokenizer, translator.search, Cleaning(), tmp_path / "saved")
    served = tf.saved_model.load(str(tmp_path / "saved")).signatures["serving_default"]
    lines = [text for text in [*TEXTS[:4], *ODD] if tokenizer.slots.fits(text)]
    found = [text.decode() for text in served(texts=tf.constant(lines))["translations"].numpy()]
    assert found == [one.text for one in translator.translate(lines)]
    assert all(intact(tokenizer, source, line) for source, line in zip(lines, found, strict=True))


def test_ids_of_slots_follow_the_control_pieces(tokenizer: Tokenizer) -> None:
    (ids,) = tokenizer.source.encode([tokenizer.slots.symbols[0]])
    assert ids[-1] == FIRST_SLOT
