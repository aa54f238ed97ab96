"""Placeholders in a browser: JavaScript's pattern finds what Python's finds, or the export refuses it."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from pipeline.configuration.schema_data import Tokenizer
from pipeline.exporters.web.patterns import javascript_pattern
from pipeline.runtime.errors import UserError
from pipeline.runtime.slots import NUMBERS

PATTERNS = [
    *Tokenizer().placeholders,
    NUMBERS,
    r"\A<b>|x\Z",
    r"^<a|x$",
    r"(?P<name>\{)\w+\}",
    r"{name}|}\]{|b{,x}|a{}",
    r"[]x]+|[^]x]!",
    r"\#\d\ \-|\_\@",
    r"[\#\-\s\]]+y",
    r"<.>|a.b",
    r"<.{2}>",
    r"[🎉é]+",
    r"🎉+\🎉",
    r"a{2,}b|[{2}]+",
    r"\u00e9|\x41",
    r"\S+!",
    r"\W\b",
    r"(?<=a)b|(?!c)d",
    r"/\*.*?\*/",
]
BITS = [*"abcdexy<>{}[]#-!$%@/*_ \n\u00a0\u2003é🎉👍🏽0123456789.:,A", "{name}", "%s", "https://a.b/c?d=e.", "</b>", "<🎉>"]

NODE = """
const { patterns, texts } = JSON.parse(require("fs").readFileSync(process.argv[1]));
const found = (pattern, text) => [...text.matchAll(new RegExp(pattern, "gu"))].map((match) => match[0]);
console.log(JSON.stringify(patterns.map((pattern) => texts.map((text) => found(pattern, text)))));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_a_browser_finds_what_python_finds(tmp_path: Path) -> None:
    generator = random.Random(1)
    texts = ["".join(generator.choices(BITS, k=generator.randrange(1, 25))) for _ in range(2000)]
    asked = tmp_path / "asked.json"
    asked.write_text(json.dumps({"patterns": [javascript_pattern(pattern) for pattern in PATTERNS], "texts": texts}))
    answer = subprocess.run(["node", "-e", NODE, str(asked)], capture_output=True, text=True, check=True).stdout
    for pattern, found in zip(PATTERNS, json.loads(answer), strict=True):
        assert found == [[match[0] for match in re.finditer(pattern, text, re.ASCII)] for text in texts], pattern


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        ("(?i)<br ?/?>", "(?i"),
        ("a(?i:b)", "(?i"),
        (r"(['\"]).\1", r"\1"),
        ("(?P<n>a)(?P=n)", "(?P="),
        ("(?>a)b", "(?>"),
        ("(?#note)b", "(?#"),
        ("(a)?(?(1)b|c)", "(?("),
        ("a++b", "++"),
        ("a{2}+b", "{2}+"),
        ("ba{,3}", "{,3}"),
        ("(?=a)*b", "*"),
        (r"[a\S]", r"\S"),
        (r"\N{DIGIT ONE}", r"\N"),
        (r"\U0001F600", r"\U"),
    ],
)
def test_what_a_browser_would_not_understand_is_refused(pattern: str, part: str) -> None:
    re.compile(pattern)
    message = f"export.web: the page cannot have the pattern {pattern!r} of tokenizer.placeholders: {part!r} is unknown to JavaScript"
    with pytest.raises(UserError, match=re.escape(message)):
        javascript_pattern(pattern)
