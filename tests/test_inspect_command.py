"""python -m pipeline.inspect: every picture as a file, the page, and what is said to bad input. On a model with new weights."""

from __future__ import annotations

import re
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import keras
import numpy as np
import pytest
from toy_training import started

from pipeline.data.subwords import Tokenizer
from pipeline.decoding.weights import keep_weights
from pipeline.inspect.__main__ import main
from pipeline.inspect.drawing import matrices, strips, word_map
from pipeline.runtime.errors import UserError
from pipeline.support.figures import save_figure
from pipeline.support.run_directory import RunDirectory
from pipeline.training.setup import new_model

TEXT = "a b c d"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return made(tmp_path_factory.mktemp("inspected"))


def made(folder: Path, *changes: str) -> RunDirectory:
    started(folder, *changes)
    run = RunDirectory(folder / "toy")
    config, tokenizer = run.load_config([]), Tokenizer.load(run.tokenizer)
    keras.utils.set_random_seed(3)
    keep_weights(new_model(config, tokenizer.source.size, tokenizer.target.size), tokenizer, run)
    return run


def texts_in(path: Path) -> list[str]:
    """The texts of an .svg file, which are written as text."""
    return [element.text or "" for element in ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize("what", ["attention", "saliency", "gates", "units", "beam"])
def test_a_picture_of_a_sentence_has_its_pieces(run: RunDirectory, what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "pictures" / f"{what}.svg"
    options = [] if what == "beam" else ["--target", "d c b a"]
    assert main([what, "--run", str(run.root), TEXT, "--output", str(path), *options]) == 0
    assert capsys.readouterr().out.startswith(TEXT)
    found = texts_in(path)
    assert "<s>" in found if what in ("beam", "units") else "</s>" in found
    if what != "beam":
        assert {"a", "b", "c", "d"} <= set(found)


@pytest.mark.parametrize("ending", [".png", ".svg", ".pdf"])
def test_the_ending_says_what_is_written(run: RunDirectory, ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"picture{ending}"
    assert main(["attention", "--words", "--run", str(run.root), TEXT, "--output", str(path)]) == 0
    assert path.read_bytes()[:8].lstrip().startswith({".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}[ending])


def test_a_picture_is_the_same_every_time_and_lies_in_the_run_by_default(run: RunDirectory) -> None:
    assert main(["attention", "--run", str(run.root), TEXT]) == 0
    first = (run.root / "inspection" / "attention.svg").read_bytes()
    assert main(["attention", "--run", str(run.root), TEXT]) == 0
    assert (run.root / "inspection" / "attention.svg").read_bytes() == first


def test_dollars_are_no_formula(tmp_path: Path) -> None:
    pieces = ["▁Step", "%1$d/%2$d", "$x^$", "</s>"]
    figures = [matrices({"attention": np.eye(4, dtype=np.float32)}, pieces, pieces), strips([("unit 1", pieces, np.ones(4))])]
    figures.append(word_map(np.eye(4, 2, dtype=np.float32), pieces))
    for number, figure in enumerate(figures):
        save_figure(figure, tmp_path / f"{number}.svg")
        assert {"%1$d/%2$d", "$x^$"} <= set(texts_in(tmp_path / f"{number}.svg"))


def test_units_that_track_are_printed_and_drawn(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trackers.svg"
    assert main(["trackers", "--run", str(run.root), TEXT, "--split", "train", "--output", str(path)]) == 0
    assert re.search(r"^length +unit +\d+ +correlation [+-]\d\.\d\d$", capsys.readouterr().out, re.MULTILINE)
    assert any(text.startswith("length: unit") for text in texts_in(path))


def test_gradients_of_several_runs_stand_in_one_picture(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gradients.svg"
    assert main(["gradients", str(run.root), str(run.root), "--output", str(path)]) == 0
    assert re.search(r"^toy +1: \d\.\de[+-]\d\d", capsys.readouterr().out, re.MULTILINE)
    assert "toy" in texts_in(path)


def test_runs_of_one_name_are_told_apart(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = Path(shutil.copytree(run.root, tmp_path / "other" / "toy"))
    path = tmp_path / "gradients.svg"
    assert main(["gradients", str(run.root), str(copy), "--output", str(path)]) == 0
    assert {str(run.root), str(copy)} <= set(texts_in(path))
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_a_model_without_attention_has_no_links_to_show(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = made(tmp_path, "model.attention.kind=none")
    capsys.readouterr()
    (tmp_path / "text").write_text("a b c\n")
    for asked in (["alignments", "--source", str(tmp_path / "text")], ["attention", TEXT]):
        assert main([asked[0], "--run", str(run.root), *asked[1:]]) == 2
        said = capsys.readouterr()
        assert not said.out and "this model has no attention" in said.err
    assert main(["saliency", "--run", str(run.root), TEXT, "--output", str(tmp_path / "s.svg")]) == 0
    assert "gradient x input, by row" in texts_in(tmp_path / "s.svg")
    assert "attention" not in texts_in(tmp_path / "s.svg")


def test_a_line_that_cannot_be_aligned_is_named(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "text"
    path.write_text("a b c\n" + "a b c " * 100 + "\n")
    assert main(["alignments", "--run", str(run.root), "--source", str(path)]) == 2
    assert f"{path}:2: the text has" in capsys.readouterr().err


def test_the_tree_is_of_the_search_that_is_told(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.inspect import pictures
    from pipeline.inspect.reading import Reader

    seen: list[int] = []

    def drawn(reader: Reader, text: str) -> None:
        seen.append(reader.translator.search.beam_size)
        raise UserError("enough")

    monkeypatch.setattr(pictures, "beam_picture", drawn)
    assert main(["beam", "--run", str(run.root), "a b c", "--beam", "7"]) == 2
    assert seen == [7]


def test_embeddings_neighbours_and_map(run: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["embeddings", "--run", str(run.root), "a", "b"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["a", "b"]
    assert main(["embeddings", "--run", str(run.root)]) == 2  # the toy has no whole words of three letters
    assert "a map needs four pieces or more" in capsys.readouterr().err


def test_alignments_line_by_line_with_their_error_rate(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "source.txt").write_text("a b c\n\nd\n")
    (tmp_path / "target.txt").write_text("c b a\n\nd\n")
    (tmp_path / "gold.txt").write_text("0-2 1-1 2-0\n\n0-0\n")
    names = [str(tmp_path / name) for name in ("source.txt", "target.txt", "gold.txt")]
    assert main(["alignments", "--run", str(run.root), "--source", names[0], "--target", names[1], "--gold", names[2]]) == 0
    output = capsys.readouterr()
    lines = output.out.split("\n")
    assert len(lines) == 4
    assert lines[1] == lines[3] == ""
    assert all(re.fullmatch(r"\d-\d", link) for line in lines for link in line.split())
    assert re.search(r"alignment error rate [01]\.\d\d\d", output.err)
    (tmp_path / "gold.txt").write_text("0-0\n")
    assert main(["alignments", "--run", str(run.root), "--source", names[0], "--gold", names[2]]) == 2
    assert "they must match" in capsys.readouterr().err


def test_the_page_has_every_sentence_and_is_complete_in_itself(run: RunDirectory, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert main(["page", "--run", str(run.root), "a b c", "d c b a", "--output", str(path)]) == 0
    page = path.read_text()
    assert "<h2>a b c</h2>" in page and "<h2>d c b a</h2>" in page
    for heading in ("Where it looked", "The search", "Gates", "Hidden units", "How far back it learns"):
        assert heading in page
    assert page.count("<svg") >= 9
    assert not re.search(r'(?:src|href)="(?!#|data:)', page)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["attention", "--run", "{run}", " "], "no text to look at"),
        (["attention", "--run", "{run}", TEXT, "--output", "picture.jpg"], r"picture\.jpg: pictures are written as \.svg, \.png, \.pdf"),
        (["attention", "--run", "{run}/nothing", TEXT], "nothing"),
        (["units", "--run", "{run}", TEXT, "--layer", "encoder 9"], "there is no layer 'encoder 9'. Layers: encoder 1, forwards;"),
        (["trackers", "--run", "{run}", TEXT, "--layer", "7"], "the decoder has layers 1 to 2"),
        (["trackers", "--run", "{run}", TEXT, "--split", "test"], "split is too small"),
        (["beam", "--run", "{run}", ""], "no text to look at"),
    ],
)
def test_bad_input_is_answered_by_an_error(
    run: RunDirectory,
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main([argument.format(run=run.root) for argument in arguments]) == 2
    assert re.search(message, capsys.readouterr().err)
