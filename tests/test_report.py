"""python -m pipeline.report: a page of whatever a run has."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from toy import write_toy
from toy_training import started

from pipeline import evaluate, report, tokenize, train
from pipeline.configuration import parse_config
from pipeline.prepare import main as prepare
from pipeline.reporting import charts, page
from pipeline.support.run_directory import RunDirectory

HEADINGS = ["Config", "Corpus", "Lengths", "Training", "Scores", "Translations", "Attention", "Export"]


def sections(page: str) -> dict[str, str]:
    return dict(re.findall(r"<h2>(.*?)</h2>(.*?)(?=<h2>|</body>)", page, re.DOTALL))


def test_a_run_that_has_only_begun_has_a_page_that_says_what_is_missing(tmp_path: Path) -> None:
    arguments = [str(write_toy(tmp_path)), "--artifacts", str(tmp_path)]
    assert prepare(arguments) == 0
    run = RunDirectory(tmp_path / "toy")
    assert report.main([str(run.root)]) == 0
    found = sections((run.root / "report.html").read_text())
    assert list(found) == HEADINGS
    assert "digits.en" in found["Corpus"] and "duplicates" in found["Corpus"]
    for heading, command in {"Lengths": "tokenize", "Training": "train", "Scores": "evaluate", "Export": "export"}.items():
        assert f"Not there yet: <code>python -m pipeline.{command}" in found[heading]
    assert tokenize.main(arguments) == 0
    assert report.main([str(run.root), "--output", str(tmp_path / "pages" / "page.html")]) == 0
    assert "<svg" in sections((tmp_path / "pages" / "page.html").read_text())["Lengths"]


def test_a_section_that_is_there_with_its_own_defaults_differs_from_none() -> None:
    config = parse_config("name: a\ntraining: {diversify: {minutes: 10}}\ndecoding: {sampling: {top_k: 5}}\n", "test")
    assert page._changed(config) == {
        "name": "a",
        **{f"training.diversify.{key}": value for key, value in config.training.diversify.model_dump().items()},
        "decoding.sampling.top_k": 5,
    }


def test_each_bar_of_lengths_stands_for_as_many_lengths() -> None:
    assert charts.bins_of(60).tolist() == [length - 0.5 for length in range(62)]
    for longest in (1, 79, 80, 129, 400):
        counts, _ = np.histogram(np.arange(longest + 1), charts.bins_of(longest))
        assert len(set(counts[:-1])) <= 1 and counts.sum() == longest + 1 and len(counts) <= 81


@pytest.mark.slow
def test_a_finished_run_has_curves_scores_translations_and_attention_complete_in_itself(tmp_path: Path) -> None:
    assert train.main(started(tmp_path, "training.validations=2")) == 0
    run = RunDirectory(tmp_path / "toy")
    assert evaluate.main(["--run", str(run.root)]) == 0
    assert report.main([str(run.root)]) == 0
    page = (run.root / "report.html").read_text()
    found = sections(page)
    assert all("<svg" in found[heading] for heading in ("Lengths", "Training", "Attention"))
    assert "updates clipped" in found["Training"]
    assert re.search(r"BLEU</td><td class=\"number\">\d+\.\d\d ± \d+\.\d\d", found["Scores"])
    assert found["Translations"].count("<article>") >= 5
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)


@pytest.mark.slow
def test_scores_of_earlier_weights_and_of_another_search_are_not_taken_for_the_run_s_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = started(tmp_path, "training.validations=2")
    assert train.main(arguments) == 0
    run = RunDirectory(tmp_path / "toy")
    assert evaluate.main(["--run", str(run.root), "--set", "decoding.length_penalty=0.5", "--set", "decoding.beam_size=3"]) == 0
    assert report.main([str(run.root)]) == 0
    assert "sentences, beam 3, <code>decoding.length_penalty: 0.5</code></h3>" in (run.root / "report.html").read_text()
    assert train.main([*arguments, "--fresh", "--set", "training.seed=7"]) == 0
    assert report.main([str(run.root)]) == 0
    found = sections((run.root / "report.html").read_text())
    assert "the scores are of earlier weights" in found["Scores"] and "BLEU" not in found["Scores"]
    assert "Not there yet" in found["Translations"]
    (run.hypotheses / "validation.html").touch()
    (run.hypotheses / "test-against-another.html").touch()
    assert evaluate.main(["--run", str(run.root)]) == 0
    assert sorted(path.name for path in run.hypotheses.iterdir()) == ["test.html", "test.tsv"]
    (run.hypotheses / "test.tsv").write_text("source\thypothesis\treference\ttag\na\tb\tc\n")
    assert report.main([str(run.root)]) == 2
    assert "test.tsv: is damaged" in capsys.readouterr().err


def test_what_is_no_run_is_refused_and_text_is_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report.main([str(tmp_path)]) == 2
    assert "is not a run" in capsys.readouterr().err
    path = write_toy(tmp_path)
    source, target = tmp_path / "digits.en", tmp_path / "digits.xx"
    source.write_text("<script>alert(1)</script> a\n" * 2 + source.read_text())
    target.write_text("<b>a</b>\n" * 2 + target.read_text())
    assert prepare([str(path), "--artifacts", str(tmp_path)]) == 0
    assert report.main([str(tmp_path / "toy")]) == 0
    page = (tmp_path / "toy" / "report.html").read_text()
    assert "&lt;script&gt;" in page and "<script>" not in page
