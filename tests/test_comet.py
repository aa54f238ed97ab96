"""COMET by its own command: called as comet-score wants it, its scores beside the others, its failures told."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from sacrebleu.metrics import BLEU
from sacrebleu.significance import PairedTest

from pipeline import evaluate as command
from pipeline.runtime.errors import UserError
from pipeline.scoring.comet import comet_scores, resampled

# Takes comet-score's options; a translation is the better the more words of the reference it has.
SCRIPT = """
import argparse, json
parser = argparse.ArgumentParser()
parser.add_argument("-s"); parser.add_argument("-r"); parser.add_argument("-t", nargs="+"); parser.add_argument("--to_json")
parser.add_argument("--quiet", action="store_true"); parser.add_argument("--only_system", action="store_true")
parser.add_argument("--model", required=True)
options = parser.parse_args()
lines = lambda path: [line.strip() for line in open(path, encoding="utf-8")]
score = lambda mt, ref: len(set(mt.split()) & set(ref.split())) / max(1, len(ref.split()))
rows = {path: [{"src": s, "mt": m, "ref": r, "COMET": score(m, r)} for s, m, r in zip(lines(options.s), lines(path), lines(options.r))]
        for path in options.t}
json.dump(rows, open(options.to_json, "w"))
"""
REFERENCES = [f"das ist Satz {number} von vielen" for number in range(30)]
SOURCES = [f"this is sentence {number} of many" for number in range(30)]
WORSE = [text.replace("vielen", "wenigen") if number % 3 else text for number, text in enumerate(REFERENCES)]


@pytest.fixture
def comet(tmp_path: Path) -> str:
    script = tmp_path / "comet-score.py"
    script.write_text(SCRIPT)
    return f"{sys.executable} {script} --model 'a model'"


def test_each_sentence_of_each_system(comet: str) -> None:
    found = comet_scores(comet, {"same": REFERENCES, "worse": WORSE, "none": ["", "\n a\tb "] * 15}, SOURCES, REFERENCES)
    assert found["same"] == [100.0] * 30
    assert found["worse"] == [pytest.approx(100.0 if number % 3 == 0 else 100 * 5 / 6) for number in range(30)]
    assert found["none"] == [0.0] * 30


def test_a_real_difference_is_told_from_chance() -> None:
    scores = [80.0 + number % 7 for number in range(200)]
    interval, p_value = resampled(scores, None, 1000)
    assert 0.1 < interval < 0.5 and p_value is None
    assert resampled([one + 1 + (number % 3) for number, one in enumerate(scores)], scores, 1000)[1] < 0.01
    assert resampled([one + (1 if number % 2 else -1.02) for number, one in enumerate(scores)], scores, 1000)[1] > 0.3
    assert resampled(scores, list(scores), 1000)[1] == 1.0


def test_p_values_are_as_large_as_those_of_sacrebleu() -> None:
    """Of texts of one word each, BLEU of one order is a mean over the sentences, as COMET is."""
    references = ["yes"] * 300
    first, second = (["no" if number % step == 0 else "yes" for number in range(300)] for step in (5, 7))
    bleu = BLEU(max_ngram_order=1, force=True)
    expected = PairedTest([("first", first), ("second", second)], {"bleu": bleu}, [references], "bs", 1000)()[1]["BLEU"][1].p_value
    scores = [[100.0 * (text == "yes") for text in texts] for texts in (first, second)]
    assert resampled(scores[1], scores[0], 1000)[1] == pytest.approx(expected, abs=0.02)


def test_it_stands_beside_the_other_scores(comet: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, texts in (("same.txt", REFERENCES), ("worse.txt", WORSE), ("references.txt", REFERENCES), ("sources.txt", SOURCES)):
        (tmp_path / name).write_text("".join(f"{text}\n" for text in texts))
    files = ["--hypotheses", str(tmp_path / "same.txt"), str(tmp_path / "worse.txt"), "--references", str(tmp_path / "references.txt")]
    assert command.main([*files, "--source", str(tmp_path / "sources.txt"), "--comet", comet]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith(" COMET")
    assert next(line for line in lines if line.startswith("worse.txt")).split()[-2:-1] == ["88.89"]
    assert "p=0.001" in lines[3].split()[-1]
    assert f"COMET     {comet}" in lines
    assert command.main([*files, "--comet", comet]) == 2
    assert "compares translations with their sources" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("no-such-program --model x", "there is no program 'no-such-program'"),
        ("'unfinished", "is no command: No closing quotation"),
        ("  ", "is empty"),
        (f"{sys.executable} -c 'raise SystemExit(\"no model\")'", "(?s)failed with status 1:.*no model"),
        (f"{sys.executable} -c pass", "did not write COMET's scores .FileNotFoundError"),
    ],
)
def test_what_goes_wrong_is_told(broken: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        comet_scores(broken, {"a": REFERENCES}, SOURCES, REFERENCES)


def test_scores_that_are_too_few_are_refused(tmp_path: Path) -> None:
    script = tmp_path / "few.py"
    body = "import sys, json; path = sys.argv[sys.argv.index('-t') + 1]; out = sys.argv[sys.argv.index('--to_json') + 1]"
    script.write_text(f"{body}\njson.dump({{path: [{json.dumps({'COMET': 0.5})}]}}, open(out, 'w'))")
    with pytest.raises(UserError, match="another number of sentences"):
        comet_scores(f"{sys.executable} {script}", {"a": REFERENCES}, SOURCES, REFERENCES)
