"""Glossaries: which terms are found in a sentence, and that they become what they must."""

from __future__ import annotations

import random
import unicodedata
from pathlib import Path

import pytest
from toy_training import started

from pipeline import train
from pipeline.data.subwords import Tokenizer
from pipeline.decoding.glossary import Glossary
from pipeline.decoding.text_stream import TextTranslator
from pipeline.decoding.translation import Translation
from pipeline.runtime.errors import UserError
from pipeline.runtime.slots import Slots
from pipeline.support.run_directory import RunDirectory

GLOSSARY = Glossary({"access token": "Zugangstoken", "token": "Token", "Hub": "Zentrale", "C++": "C++", "灯": "Licht", "a": "ein"})


@pytest.mark.parametrize(
    ("sentence", "demanded"),
    [
        ("The access token expired.", ["Zugangstoken"]),  # the longest
        ("Token, tokens, ACCESS TOKEN", ["Token", "Zugangstoken"]),  # whole words; capitals do not count in a term without
        ("the hub is a Hub", ["ein", "Zentrale"]),  # in a term with capitals they do
        ("token token", ["Token"]),
        ("Learn C++!", ["C++"]),
        ("打开灯。", ["Licht"]),  # no spaces between words there
        ("Nothing here, nor in tokenize or ab", []),
        ("a hub", ["ein"]),
        ("Access TOKEN C++", ["Zugangstoken", "C++"]),
        ("", []),
    ],
)
def test_terms_are_found(sentence: str, demanded: list[str]) -> None:
    assert GLOSSARY.demanded(sentence) == demanded


@pytest.mark.parametrize(
    ("term", "sentence"), [("istanbul", "Ben İstanbul"), ("sıra", "SIRA"), ("ısı", "Isı"), ("5 µm", "5 μm"), ("straße", "STRAßE")]
)
def test_capitals_of_other_alphabets(term: str, sentence: str) -> None:
    """What matches without regard to capitals need not be equal in small letters."""
    assert Glossary({"x": "y", term: "found"}).demanded(sentence) == ["found"]


def test_a_term_with_these_very_capitals_comes_first() -> None:
    for terms in ({"may": "darf", "May": "Mai"}, {"May": "Mai", "may": "darf"}):
        assert Glossary(terms).demanded("May comes, MAY it?") == ["Mai", "darf"]


def test_a_term_that_does_not_apply_hides_none_that_does() -> None:
    glossary = Glossary({"Access Token": "Zugangstoken", "token": "Wertmarke"})
    assert glossary.demanded("The access token expired.") == ["Wertmarke"]
    assert glossary.demanded("The Access Token expired.") == ["Zugangstoken"]


def test_what_stands_in_a_placeholder_is_no_term() -> None:
    slots = Slots((r"\{\w+\}", r"https?://\S+"), 8)
    sentence = "Set {token} for the token of https://x.org/token?a=1"
    assert slots.placeholders(sentence) == [(4, 11), (29, 52)]
    assert GLOSSARY.demanded(sentence, slots.placeholders(sentence)) == ["Token"]
    assert GLOSSARY.demanded("Set {token}", slots.placeholders("Set {token}")) == []


def test_terms_are_cleaned_as_the_text_is(tmp_path: Path) -> None:
    def edit(term: str) -> str:
        return unicodedata.normalize("NFC", term).replace("\u200b", "")

    path = tmp_path / "g.tsv"
    path.write_text("cafe\u0301\tCafé\nice  box\tKühlschrank\n")
    assert Glossary.load(path, edit).demanded("Das café, the ice box") == ["Café", "Kühlschrank"]
    path.write_text("cafe\u0301\tCafé\ncaf\u00e9\tKaffee\n")
    with pytest.raises(UserError, match=r"g\.tsv:2: 'café' must become 'Café' already"):
        Glossary.load(path, edit)
    for line in ("\u200b\tnichts", "nothing\t\u200b"):
        path.write_text(line)
        with pytest.raises(UserError, match=r"g\.tsv:1: expected a source term, a tab and a target term"):
            Glossary.load(path, edit)


@pytest.mark.parametrize(("term", "sentence"), [("แมว", "ฉันชอบแมวมาก"), ("집", "집은 크다"), ("猫", "私は猫が好き")])
def test_where_words_are_written_together(term: str, sentence: str) -> None:
    assert Glossary({term: "found"}).demanded(sentence) == ["found"]


def test_of_thousands_of_terms_those_are_found_that_stand_there() -> None:
    glossary = Glossary({f"term {number}": f"Begriff {number}" for number in range(10_000)})
    assert glossary.demanded("Term 17 and term 9999, not term 10000") == ["Begriff 17", "Begriff 9999"]


def test_a_long_line_is_not_cut_within_a_term() -> None:
    """Its second word alone would be another term."""
    asked: list[list[str]] = []

    class Translator:
        def alternatives(self, lines: list[str], begun: None, terms: list[list[str]]) -> list[list[Translation]]:
            asked.append(terms)
            return [[Translation(line, 0.0, [], True)] for line in lines]

    glossary = Glossary({"dog": "Hund", "hot dog": "Wurst"})
    TextTranslator(Translator(), lambda text: len(text.split()), 4, glossary=glossary).alternatives(["a b c hot dog e", "a b c d dog"])
    assert asked == [[[], ["Wurst"], [], ["Hund"]]]


def test_a_file_of_terms(tmp_path: Path) -> None:
    (tmp_path / "g.tsv").write_text("# comment\n\naccess token \t Zugangstoken\r\ndog\tHund\ndog\tHund\n")
    assert Glossary.load(tmp_path / "g.tsv").terms == {"access token": "Zugangstoken", "dog": "Hund"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dog Hund\n", "g.tsv:1: expected a source term, a tab and a target term. Found: 'dog Hund'"),
        ("dog\tHund\tKatze\n", "g.tsv:1: expected a source term"),
        ("dog\t\n", "g.tsv:1: expected a source term"),
        ("dog\tHund\n\ndog\tTier\n", "g.tsv:3: 'dog' must become 'Hund' already"),
        ("# nothing\n", "g.tsv: has no terms"),
        (None, "g.tsv: no such file"),
    ],
)
def test_mistakes_in_the_file_are_named(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "g.tsv").write_text(text)
    with pytest.raises(UserError) as error:
        Glossary.load(tmp_path / "g.tsv")
    assert message in str(error.value)


def test_what_cannot_be_obeyed_is_refused() -> None:
    def encode(texts: list[str]) -> list[list[int]]:
        return [[1 if character == "☃" else 7 for character in text] for text in texts]

    def copied(text: str) -> list[str]:
        return [word for word in text.split() if word == "10"]

    GLOSSARY.check(copied, encode, unknown=1, longest=12)
    with pytest.raises(UserError, match="'Zugangstoken' has 12 pieces; at most 5 can be demanded"):
        GLOSSARY.check(copied, encode, unknown=1, longest=5)
    with pytest.raises(UserError, match="'☃' has characters that the model has never seen"):
        Glossary({"snowman": "☃"}).check(copied, encode, unknown=1, longest=12)
    with pytest.raises(UserError, match="'Windows 10': '10' is copied into translations as it is"):
        Glossary({"Windows 10": "Fenster zehn"}).check(copied, encode, unknown=1, longest=12)


def test_a_trained_model_writes_the_terms(tmp_path: Path) -> None:
    """Its task is to reverse; with a glossary it writes what it would never say, in the place it finds best, and the rest as before."""
    arguments = started(tmp_path, "training.epochs=1")
    assert train.main(arguments) == 0
    run = RunDirectory(tmp_path / "toy")
    (tmp_path / "g.tsv").write_text("c\tb b e\nd\tj\n")
    free = TextTranslator.load(run, run.load_config())
    bound = TextTranslator.load(run, run.load_config(), glossary=tmp_path / "g.tsv")
    generator = random.Random(3)
    lines = [" ".join(generator.choices("abcdefghij", k=4)) for _ in range(30)]
    for line, before, after in zip(lines, free.translate(lines), bound.translate(lines), strict=True):
        demanded = bound.glossary.demanded(line) if bound.glossary else []
        assert all(f" {term} " in f" {after} " for term in demanded), (line, after)
        assert demanded or before == after
    assert any("c" in line for line in lines) and any("d" in line for line in lines)
    assert Tokenizer.load(run.tokenizer).target.encode(["b b e"])[0]

    # As they come, in a stream: as many lines at once, another number of terms.
    for lines in (["c", "c d", "a"], ["c a"] * 3 + ["b c"] * 3, ["c d"] * 3 + ["d b c"] * 3):
        for line in lines:
            assert all(term in bound.translate([line])[0] for term in bound.glossary.demanded(line))  # type: ignore[union-attr]
        assert all(bound.translate(lines))

    with pytest.raises(UserError, match=r"a glossary and decoding\.sampling exclude each other"):
        TextTranslator.load(run, run.load_config(["decoding.sampling={}"]), glossary=tmp_path / "g.tsv")

    # Terms that are longer together than a translation of this source may be, as a rule; a beginning, too.
    (tmp_path / "long.tsv").write_text("c\tb b e g h i j a b c b e\nd\tj i h g f e d c b a j b\n")
    bound = TextTranslator.load(
        run, run.load_config(["decoding.max_length_ratio=1.0", "decoding.max_tokens=80"]), glossary=tmp_path / "long.tsv"
    )
    for begun in ([""], ["a b c a b c a b c a b c"]):
        [translation] = bound.alternatives(["c d"], begun)[0]
        assert all(f" {term} " in f" {translation.text} " for term in bound.glossary.terms.values())  # type: ignore[union-attr]
        assert translation.text.startswith(begun[0])

    # One for which there is no room is left out, and named.
    short = TextTranslator.load(run, run.load_config(["decoding.max_tokens=8"]), glossary=tmp_path / "long.tsv")
    missing: list[tuple[int, str]] = []
    short.alternatives(["a b", "c"], on_left_out=lambda index, term: missing.append((index, term)))
    assert missing == [(1, "b b e g h i j a b c b e")]
    bound.alternatives(["a b", "c d"], on_left_out=lambda *_: missing.clear())
    assert len(missing) == 1

    # What the model has no characters for cannot begin a translation, and says so.
    with pytest.raises(UserError, match="'a ☃' cannot begin a translation: it has characters that the model has never seen"):
        free.alternatives(["c d", "a b"], ["", "a ☃"])

    # Neighbours with terms change nothing, however wide the beam, and a term may have what may not be said twice.
    for overrides in (["decoding.beam_size=8"], ["decoding.no_repeat_ngram=1"]):
        free = TextTranslator.load(run, run.load_config(overrides))
        bound = TextTranslator.load(run, run.load_config(overrides), glossary=tmp_path / "g.tsv")
        lines = ["a b e f", "a c e f", "g h i j", "f e a b"]
        before, after = free.translate(lines), bound.translate(lines)
        assert [before[number] for number in (0, 2, 3)] == [after[number] for number in (0, 2, 3)]
        assert " b b e " in f" {after[1]} "
