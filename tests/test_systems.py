"""Several systems on one test set: by the command, and on its page."""

from __future__ import annotations

import html
import json
import re
import shutil
from pathlib import Path

import pytest
from test_scoring import run, write  # noqa: F401  a fixture

from pipeline import evaluate as command
from pipeline.configuration import Config
from pipeline.decoding import contenders
from pipeline.scoring.page import SHOWN, evaluation_page
from pipeline.scoring.systems import TestSet, judge
from pipeline.support.run_directory import RunDirectory

TEST = TestSet(
    ["Turn off the <b>light</b>.", "A dog runs.", "Two men sit & talk.", "Nothing changes."],
    ["Schalte das <b>Licht</b> aus.", "Ein Hund rennt.", "Zwei Männer sitzen & reden.", "Nichts ändert sich."],
    source_language="en",
    target_language="de",
)
OLD = ["Schalte das <b>Licht</b> aus.", "Ein Hund läuft.", "Zwei Männer sitzen.", "Nichts ändert sich."]
NEW = ["Mache das <b>Licht</b> weg.", "Ein Hund rennt.", "Zwei Männer sitzen & reden.", "Nichts ändert sich."]


def text_of(page: str) -> str:
    """What a reader sees, roughly; what is marked stands between brackets."""
    page = re.sub(r"<style>.*?</style>|<svg.*?</svg>", "", page, flags=re.DOTALL)
    page = re.sub(r"<mark>(.*?)</mark>", r"[\1]", page)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", page)))


def test_the_most_improved_and_harmed_with_their_differences_marked() -> None:
    text = text_of(evaluation_page("A test", TEST, judge(TEST, {"old": OLD, "new": NEW})))
    improved, harmed = text.split("Most improved by new")[1].split("Most harmed by new")
    assert "2 en A dog runs." in improved and "3 en Two men sit & talk." in improved
    assert "old Ein Hund [läuft]." in improved and "new Ein Hund rennt." in improved
    assert "reference Ein Hund rennt." in improved  # one of the systems has all of it
    assert "1 en" in harmed and "A dog" not in harmed
    assert "new [Mache] das" in harmed
    assert "Nothing changes" not in text  # equal in both


def test_text_is_shown_not_obeyed() -> None:
    page = evaluation_page("<script>", TEST, judge(TEST, {"<i>old</i>": OLD}))
    assert "<script>" not in page and "<i>" not in page and "<b>" not in page
    assert "&lt;b&gt;" in page or "&lt;" in page


def test_a_page_is_complete_in_itself_and_always_the_same() -> None:
    judged = judge(TEST, {"old": OLD, "new": NEW}, {"dog": 3})
    page = evaluation_page("A test", TEST, judged)
    assert page == evaluation_page("A test", TEST, judged)
    assert page.count("<svg") == 2  # by length, by rarity
    assert not re.search(r"""(src|href)=["']?(https?:|//|/|\.)""", re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL))
    for score in judged["new"].scores.metrics.values():
        assert f"{score.value:.2f} ± {score.interval:.2f}" in page and f"p = {score.p_value:.3f}" in page
        assert score.signature in page


def test_of_a_single_system_some_and_the_worst() -> None:
    sources = [f"sentence {number}" for number in range(60)]
    wrong = [line if number != 42 else "something else" for number, line in enumerate(sources)]
    text = text_of(
        evaluation_page("One", TestSet(sources, sources), judge(TestSet(sources, sources), {"one": wrong}), {"search": "beam 4"})
    )
    some, worst = text.split("Some, spread evenly")[1].split("The worst")
    assert some.count("reference") >= SHOWN
    assert worst.split("Numbers on the right: chrF++ of the sentence.")[1].strip().startswith("43 source sentence 42")
    assert "search: beam 4" in text


def test_files_are_compared_with_the_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = write(tmp_path / "old.txt", OLD), write(tmp_path / "new.txt", NEW)
    references, source = write(tmp_path / "references.txt", list(TEST.references)), write(tmp_path / "source.txt", list(TEST.sources))
    page = tmp_path / "page.html"
    options = ["--references", references, "--source", source, "--page", str(page), "--language", "de"]
    assert command.main(["--hypotheses", old, f"better={new}", *options]) == 0
    shown = capsys.readouterr()
    assert shown.out.splitlines()[1].startswith("old.txt") and shown.out.splitlines()[2].startswith("better")
    assert "p=" in shown.out and "BLEU better" in shown.out
    assert str(page) in shown.err and "Most improved by better" in page.read_text(encoding="utf-8")
    assert command.main(["--hypotheses", old, f"old.txt={new}", *options]) == 2
    assert "two systems are called 'old.txt'" in capsys.readouterr().err
    assert command.main(["--hypotheses", old, str(tmp_path), *options]) == 2
    assert "is a folder; expected a file with a translation a line" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        command.main(["--hypotheses", old, *options, "--engine", "litert"])
    assert "--engine and --hypotheses exclude each other" in capsys.readouterr().err


def test_a_path_may_have_an_equals_sign(tmp_path: Path) -> None:
    folder = tmp_path / "beam=4"
    folder.mkdir()
    path = write(folder / "a=b.de", NEW)
    assert contenders.named([path, f"better={path}"]) == {"a=b.de": Path(path), "better": Path(path)}
    assert contenders.named([f"{folder}/none.de"]) == {"none.de": folder / "none.de"}


@pytest.fixture
def unrecorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that was put together by hand has no records of its stages."""

    def changes(name: str, config: Config, folder: RunDirectory) -> str | None:
        if not folder.evaluation.exists():
            return "not done yet"
        done = json.loads(folder.evaluation.read_text())["splits"].values()
        return None if all(split["decoding"] == config.decoding.model_dump() for split in done) else "another search"

    monkeypatch.setattr(contenders, "changes", changes)
    monkeypatch.setattr(contenders, "perform", lambda name, config, folder, store_config: command.run_stage(config, folder))


@pytest.mark.usefixtures("unrecorded")
def test_a_run_against_another_and_a_file(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    """The other run translates the test set now, since it has not; the file is as it is."""
    other = RunDirectory(tmp_path / "other")
    shutil.copytree(run.root, other.root)
    lines = [f"SENTENCE NUMBER {number}" for number in range(20)]
    assert command.main(["--run", str(run.root), "--against", str(other.root), f"short={write(tmp_path / 'short.txt', lines)}"]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split()[:2] == ["sentences", "length"]
    assert [line.split()[0] for line in shown[1:6] if not line.startswith(" ")] == ["shouting", "other", "short"]
    assert (run.hypotheses / "test-against-other-short.html").is_file()
    assert (other.hypotheses / "test.tsv").is_file()

    # Mistakes are found before anything is translated.
    (run.evaluation).unlink()
    assert command.main(["--run", str(run.root), "--against", str(other.root), write(tmp_path / "few.txt", lines[:3])]) == 2
    assert "has 3 lines, but there are 20 sentences" in capsys.readouterr().err
    assert command.main(["--run", str(run.root), "--against", f"shouting={other.root}"]) == 2
    assert "a second system is called 'shouting'" in capsys.readouterr().err
    assert not run.evaluation.exists()

    # What is set counts for the run, and so do the metrics; one page is for one split.
    against = ["--run", str(run.root), "--against", str(other.root), "--set"]
    assert command.main([*against, "decoding.beam_size=2", "--set", "evaluation.tokenized_bleu=true"]) == 0
    assert "BLEU tok" in capsys.readouterr().out
    assert json.loads(run.evaluation.read_text())["splits"]["test"]["decoding"]["beam_size"] == 2
    assert json.loads(other.evaluation.read_text())["splits"]["test"]["decoding"]["beam_size"] == 4
    assert command.main([*against, "evaluation.splits=[validation, test]", "--page", str(tmp_path / "page.html")]) == 2
    assert "--page: is one file, but there are 2 splits" in capsys.readouterr().err


def test_all_splits_of_another_run_are_translated_in_one_go(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    other = RunDirectory(tmp_path / "other")
    shutil.copytree(run.root, other.root)
    done: dict[str, list[list[str]]] = {run.root.name: [], other.root.name: []}

    def perform(name: str, config: Config, folder: RunDirectory, store_config: bool) -> None:
        done[folder.root.name].append(list(config.evaluation.splits))
        command.run_stage(config, folder)

    monkeypatch.setattr(
        contenders, "changes", lambda name, config, folder: None if config.evaluation.splits in done[folder.root.name] else "!"
    )
    monkeypatch.setattr(contenders, "perform", perform)
    splits = ["--set", "evaluation.splits=[validation, test]"]
    assert command.main(["--run", str(run.root), "--against", str(other.root), *splits]) == 0
    assert done == {run.root.name: [["validation", "test"]], other.root.name: [["validation", "test"]]}


@pytest.mark.usefixtures("unrecorded")
def test_a_run_with_another_test_set_is_refused(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    import datasets

    other = RunDirectory(tmp_path / "other")
    shutil.copytree(run.root, other.root)
    columns = {"source": ["a b"], "target": ["A B"], "tag": [""], "weight": [1.0]}
    datasets.Dataset.from_dict(columns).save_to_disk(str(other.split("test")))
    assert command.main(["--run", str(run.root), "--against", str(other.root)]) == 2
    assert "has other sentences in its test split (1, here 20)" in capsys.readouterr().err
