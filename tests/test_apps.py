"""The sources for apps, Translator.kt and Translator.swift. What they have in common with Python is compared: Swift cannot be built here,
and Kotlin only where there is a compiler (test_kotlin.py)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pipeline.configuration.schema_data import Tokenizer as Settings
from pipeline.runtime import segmentation, text, translator

FOLDER = Path(translator.__file__).parents[1] / "exporters" / "apps"
KOTLIN, SWIFT = ((FOLDER / name).read_text(encoding="utf-8") for name in ("Translator.kt", "Translator.swift"))
SOURCES = pytest.mark.parametrize("source", [KOTLIN, SWIFT], ids=["Kotlin", "Swift"])
LETTERS = "0-9A-Z_a-z"
CLASSES = {r"\d": "[0-9]", r"\D": "[^0-9]", r"\w": f"[{LETTERS}]", r"\W": f"[^{LETTERS}]", r"\s": r"[\t-\r ]", r"\S": r"[^\t-\r ]"}
TEXTS = [
    "One. two. Three!? “Four…” (Five.)  Six\u00a0. Seven\nEight \r\n\x85nine\u2028ten ",
    "今天下雨。我们在家！「好吗？」 はい。\u3000いいえ",
    "When it rains, we stay; else - or so – we go: 如果下雨，我们、在家；好：",
    "a  b\u3000c\u202fd\ue000 \u00ad\u200b\u2060\ufeff▁\x00\x1b\x7f",
    "....... ?!?!",
]
PATTERNS = [
    *Settings().placeholders,
    *(r"\b\w+\b", r"\B\d", r"[\w.-]+", r"[^\w\s]+", r"[\W]+", r"[\D]", r"\S+\s", r"\\b", r"[\\d]+", r"[]a]+", r"[^]a]+", r"[[a]+"),
    *(r"[a&]+", r"{\w+}", r"\{\w{2,}\}", r"\w{2}", r"[{}]+", r"[{1}]+", r"%(?P<kind>\w)", r"(?P<a>[(?P<])|(?:b)"),
]
PLACEHOLDERS = [
    *(
        "%d个文件 %sübrig %1$s %@ %dx %d",
        "日本 {host} {{x}} {a. b} <b>é</b>",
        "٣ ３ 3 é_1 \\d \\b a&b [x] a]b ]]",
        "https://a.b/ä?c=d. e\u3000f",
        "{1}{ab}",
    ),
]


def expression(source: str, name: str) -> str:
    """A regular expression of a source, by its name there, in Python's notation."""
    if source is KOTLIN:
        found = re.search(rf'val {name} =\s*Regex\("((?:\\.|[^"\\])*)"\)', source)
        assert found
        pattern = re.sub(r"\\([\\\"])", r"\1", found[1].replace("$S", r"[\\s\\p{Z}]"))
    else:
        head, *rest = name.lower().split("_")
        found = re.search(rf'let {head + "".join(map(str.title, rest))} = expression\(\s*#"(.*?)"#\)', source)
        assert found
        pattern = found[1]
    return pattern.replace(r"[\s\p{Z}]", r"\s")


def classes(source: str) -> dict[str, str]:
    """\\d, \\w, \\s and their opposites -> the ranges of ASCII that the source has for them."""
    found = re.findall(r'"\\\\([dDwWsS])" to "(.*?)"', source) or re.findall(r'#"\\([dDwWsS])"#: #?"(.*?)"', source)
    return {"\\" + letter: ranges.replace("\\\\", "\\").replace(r"\x{10ffff}", "\U0010ffff") for letter, ranges in found}


def portable(source: str, pattern: str) -> str:
    """What the function of this name makes of a pattern, with the tables of the source."""
    token, in_class, ascii_ = re.compile(expression(source, "TOKEN")), re.compile(expression(source, "IN_CLASS")), classes(source)
    word = f"[{LETTERS}]"
    boundaries = {r"\b": f"(?:(?<={word})(?!{word})|(?<!{word})(?={word}))", r"\B": f"(?:(?<={word})(?={word})|(?<!{word})(?!{word}))"}

    def escaped(one: str) -> str:
        return "\\" + one if len(one) == 1 else one

    def change(match: re.Match[str]) -> str:
        if match[0][0] == "\\":
            return f"[{ascii_[match[0]]}]" if match[0] in ascii_ else boundaries.get(match[0], match[0])
        if match[0][0] == "(":
            return "("
        if match[0][0] == "[":
            return "[" + in_class.sub(lambda inside: ascii_.get(inside[0]) or escaped(inside[0]), match[0][1:-1]) + "]"
        return escaped(match[0])

    return token.sub(change, pattern)


def test_they_read_every_key_that_python_reads() -> None:
    read = set(re.findall(r'details\["(\w+)"\]|\["(\w+)"\]|get\("(\w+)"', Path(translator.__file__).read_text(encoding="utf-8")))
    keys = {key for found in read for key in found if key} - {
        "ids",
        "weights",
        "score",
        "log_prob",
        "max_target_tokens",
        "source_ids",
        "shape",
    }
    assert {"files", "file", "sha256", "pad", "eos", "patterns", "number", "unknown", "cleaning", "max_source_tokens"} <= keys
    for key in keys | {"ids", "schema_version", "normalize", "control_characters"}:
        assert f'"{key}"' in KOTLIN, key
        assert re.search(rf"(?:let|,) {key}: ", SWIFT), key
    assert 'optString("unknown", "copy") == "copy"' in KOTLIN
    assert '(details.slots.unknown ?? "copy") == "copy"' in SWIFT


@SOURCES
def test_a_file_of_another_export_is_refused(source: str) -> None:
    """Every file is read by way of its hash."""
    assert "is damaged, or of another export" in source
    reads = re.findall(r"read\(|Data\(contentsOf: .*", source)
    assert len(reads) == 2, "translator.json, and what `checked` reads"
    assert len(re.findall(r"checked\((?!_|described:)", source)) == 3


def test_they_call_the_interpreter_as_it_can_be_called() -> None:
    assert re.search(r'runner\.invoke\(with: \["source_ids": .*, "length": .*\]\)', SWIFT)
    assert not re.search(r"runner\.(invoke\(\)|copy|allocateTensors)", SWIFT), "invoke(with:) alone is public, and does the rest"
    assert f'"{translator.SIGNATURE}"' in KOTLIN and "interpreter.runSignature(" in KOTLIN
    # What the head of the file shows: the function stands behind the parentheses, so it is the last parameter.
    assert "Translator { name -> " in KOTLIN and "class Translator(private val threads: Int = 1, read: (String) -> ByteArray)" in KOTLIN


WORKER = (FOLDER.parent / "web" / "app" / "interpreter-worker.js").read_text(encoding="utf-8")


@pytest.mark.parametrize("source", [KOTLIN, SWIFT, WORKER], ids=["Kotlin", "Swift", "JavaScript"])
def test_they_make_the_interpreter_anew_as_often_as_python_does(source: str) -> None:
    found = re.search(r"(?:TOKENS_OF_AN_INTERPRETER|tokensOfAnInterpreter) = (\d+)", source)
    assert found and int(found[1]) == translator._TOKENS_OF_AN_INTERPRETER
    assert re.search(r"tokens \+= (ids\.(size|count) \+ written\.(size|count)|real.* \+ real)", source), "tokens of both sides count"


@SOURCES
@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("NEVER_TEXT", text._NEVER_TEXT),
        ("INVISIBLE", text._INVISIBLE),
        ("SPACES", text._SPACES),
        ("RUN_OF_SPACES", translator.RUN_OF_SPACES),
        ("SENTENCE_END", segmentation._SENTENCE_END),
        ("CLAUSE_END", segmentation._CLAUSE_END),
    ],
)
def test_they_clean_and_cut_at_the_same_places(source: str, name: str, pattern: re.Pattern[str]) -> None:
    theirs = re.compile(expression(source, name))
    found = [[match.span() for match in pattern.finditer(one)] for one in TEXTS]
    assert any(found)
    assert [[match.span() for match in theirs.finditer(one)] for one in TEXTS] == found


@SOURCES
def test_the_same_scripts_are_written_without_spaces(source: str) -> None:
    start = source.index("func isWide" if source is SWIFT else "fun isWide")
    ranges = re.findall(r"0x([0-9a-f]+)\.{2,3}0x([0-9a-f]+)", source[start : start + 400])
    assert len(ranges) == 5
    borders = {int(end, 16) + step for pair in ranges for end in pair for step in (-1, 0, 1)}
    for code in borders:
        inside = any(int(first, 16) <= code <= int(last, 16) for first, last in ranges)
        assert inside == bool(segmentation.WIDE.match(chr(code))), hex(code)


@SOURCES
def test_classes_are_those_of_ascii(source: str) -> None:
    found = classes(source)
    assert set(found) == set(CLASSES)
    characters = [chr(code) for code in [*range(0x300), 0x660, 0x3000, 0xFF13, 0x10FFFF]]
    for name, ranges in found.items():
        for same in (rf"(?a:{name})", CLASSES[name]):
            assert [bool(re.match(f"[{ranges}]", one)) for one in characters] == [bool(re.match(same, one)) for one in characters], name


@SOURCES
@pytest.mark.filterwarnings("ignore:Possible nested set")
@pytest.mark.parametrize("pattern", PATTERNS)
def test_placeholders_are_found_where_python_finds_them(source: str, pattern: str) -> None:
    """Python's expressions, too, know letters of all scripts unless told otherwise: as a phone's do."""
    theirs, ours = re.compile(portable(source, pattern)), re.compile(pattern, re.ASCII)
    for one in PLACEHOLDERS:
        assert [match.span() for match in theirs.finditer(one)] == [match.span() for match in ours.finditer(one)]


def test_unlike_before_a_placeholder_ends_at_a_letter_of_another_script() -> None:
    pattern = Settings().placeholders[-1]
    assert not re.search(pattern, "%d个文件"), "what a phone would do"
    for source in (KOTLIN, SWIFT):
        found = re.search(portable(source, pattern), "%d个文件")
        assert found and found[0] == "%d"
