"""The prepare command on small corpora: tables, report, stability, and clear errors that leave nothing half done."""

import errno
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from toy import split_of

from pipeline import prepare
from pipeline.configuration import parse_config
from pipeline.data import corpus
from pipeline.data.corpus import load_split, prepare_corpus
from pipeline.data.splits import split_key
from pipeline.data.tables import SCHEMA, TableWriter, load_table
from pipeline.runtime.errors import UserError
from pipeline.support.run_directory import SPLITS, RunDirectory

LETTERS = "abcdefghijklmnopqrst"


def sentence(number: int) -> str:
    """A different sentence for each number, without digits (which the split does not tell apart)."""
    return " ".join(LETTERS[int(digit)] * 3 for digit in f"{number:04}")


def write_pairs(path: Path, numbers: range) -> Path:
    path.write_text("".join(f"{sentence(number)}\tZ {sentence(number).upper()}\n" for number in numbers))
    return path


def config_text(*sources: str, extra: str = "") -> str:
    return "name: toy\ndata:\n  sources:\n" + "".join(f"    - {source}\n" for source in sources) + extra


def prepared(folder: Path, text: str) -> tuple[dict[str, Any], RunDirectory]:
    config = parse_config(text, "toy.yaml")
    run = RunDirectory.of(config, folder / "artifacts")
    return prepare_corpus(config.data, run), run


def rows(run: RunDirectory, name: str) -> list[dict[str, Any]]:
    return load_split(run, name).to_list()


def test_the_command_writes_tables_and_a_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = write_pairs(tmp_path / "a.tsv", range(1000))
    data.write_text(data.read_text() + "same\tsame\n" + f"{sentence(3)}\tZ {sentence(3).upper()}\n\tempty\n")
    config = tmp_path / "toy.yaml"
    config.write_text(config_text(f"{{kind: files, path: {data}, tag: letters, weight: 2.0}}"))
    assert prepare.main([str(config), "--artifacts", str(tmp_path / "artifacts")]) == 0
    output = capsys.readouterr()
    assert "reading and cleaning: 1,003 pairs" in output.err
    assert "copies               dropped          1   'same' / 'same'" in output.out

    run = RunDirectory.existing(tmp_path / "artifacts" / "toy")
    report = json.loads(run.prepare_report.read_text())
    assert report["schema_version"] == 1
    assert report["sources"] == [{"kind": "files", "name": str(data), "tag": "letters", "weight": 2.0, "read": 1003, "kept": 1000}]
    dropped = {name: rule["pairs"] for name, rule in report["rules"].items() if rule["pairs"]}
    assert dropped == {"copies": 1, "duplicates": 1, "empty": 1}
    assert report["rules"]["duplicates"]["examples"] == [{"source": sentence(3), "target": f"Z {sentence(3).upper()}"}]
    assert report["splits"]["train"]["source_characters"] == {"mean": 15.0, "median": 15, "p95": 15, "max": 15}
    assert report["warnings"] == []

    table = {name: rows(run, name) for name in SPLITS}
    assert {name: len(found) for name, found in table.items()} == {name: split["pairs"] for name, split in report["splits"].items()}
    assert sorted(row["source"] for found in table.values() for row in found) == sorted(sentence(number) for number in range(1000))
    assert all(row["target"] == "Z " + row["source"].upper() and row["tag"] == "letters" for found in table.values() for row in found)
    assert {row["weight"] for row in table["train"]} == {2.0}
    assert {row["weight"] for row in table["test"]} == {1.0}
    for name, found in table.items():
        assert all(split_of(row["source"], 0.03, 0.03) == name for row in found)
    assert sorted(path.name for path in run.data.iterdir()) == ["report.json", "test", "train", "validation"]


def test_the_order_of_the_corpus_is_kept(tmp_path: Path) -> None:
    _, run = prepared(tmp_path, config_text(f"{{kind: files, path: {write_pairs(tmp_path / 'a.tsv', range(500))}}}"))
    sources = [row["source"] for row in rows(run, "train")]
    assert sources == sorted(sources)


def test_a_sentence_stays_in_its_split_as_the_corpus_grows(tmp_path: Path) -> None:
    _, small = prepared(tmp_path / "1", config_text(f"{{kind: files, path: {write_pairs(tmp_path / 'a.tsv', range(500))}}}"))
    before = {name: {row["source"] for row in rows(small, name)} for name in SPLITS}
    _, large = prepared(tmp_path / "2", config_text(f"{{kind: files, path: {write_pairs(tmp_path / 'b.tsv', range(900, 100, -1))}}}"))
    after = {name: {row["source"] for row in rows(large, name)} for name in SPLITS}
    for name in SPLITS:
        assert not before[name] & set.union(*(after[other] for other in SPLITS if other != name))


def test_the_same_corpus_gives_the_same_bytes(tmp_path: Path) -> None:
    text = config_text(f"{{kind: files, path: {write_pairs(tmp_path / 'a.tsv', range(300))}}}")
    (_, first), (_, second) = prepared(tmp_path / "1", text), prepared(tmp_path / "2", text)
    for path in sorted(first.data.rglob("*")):
        if path.is_file():
            assert path.read_bytes() == (second.data / path.relative_to(first.data)).read_bytes()


def test_rows_make_the_same_table_however_they_come(tmp_path: Path) -> None:
    rows = {"source": [f"s{number}" for number in range(12_345)], "target": ["t"] * 12_345, "tag": [""] * 12_345, "weight": [1.0] * 12_345}
    whole = pa.RecordBatch.from_pydict(rows, schema=SCHEMA)
    for name, size in (("a", 12_345), ("b", 777), ("c", 5_001)):
        with TableWriter(tmp_path / name) as writer:
            for start in range(0, len(whole), size):
                writer.write(whole.slice(start, size))
    first = {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    for name in ("b", "c"):
        assert {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()} == first
    assert list(load_table(tmp_path / "b")["source"]) == rows["source"]


def test_tables_of_other_content_have_other_fingerprints(tmp_path: Path) -> None:
    _, first = prepared(tmp_path / "1", config_text(f"{{kind: files, path: {write_pairs(tmp_path / 'a.tsv', range(300))}}}"))
    _, second = prepared(tmp_path / "2", config_text(f"{{kind: files, path: {write_pairs(tmp_path / 'b.tsv', range(301))}}}"))
    assert load_split(first, "train")._fingerprint != load_split(second, "train")._fingerprint


def test_worker_processes_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = config_text(f"{{kind: files, path: {write_pairs(tmp_path / 'a.tsv', range(400))}}}")
    expected, here = prepared(tmp_path / "1", text)
    monkeypatch.setattr(corpus, "_BATCH", 50)
    monkeypatch.setattr(corpus, "_INLINE", 2)
    report, there = prepared(tmp_path / "2", text)
    assert report == expected
    assert rows(there, "train") == rows(here, "train")


def test_given_splits_and_their_overlaps(tmp_path: Path) -> None:
    sources = [
        f"{{kind: files, path: {write_pairs(tmp_path / f'{split}.tsv', numbers)}, split: {split}, tag: given}}"
        for split, numbers in (("train", range(0, 100)), ("validation", range(95, 120)), ("test", range(110, 140)))
    ]
    loose = f"{{kind: files, path: {write_pairs(tmp_path / 'loose.tsv', range(90, 150))}}}"
    report, run = prepared(tmp_path, config_text(*sources, loose, extra="  validation: 0.0\n  test: 0.0\n"))
    assert [(overlap["split"], overlap["with"], overlap["pairs"]) for overlap in report["overlaps"]] == [
        ("validation", "train", 5),
        ("test", "validation", 10),
    ]
    assert report["overlaps"][0]["examples"][0]["source"] == sentence(95)
    assert len(rows(run, "validation")) == 25
    assert len(rows(run, "test")) == 30
    assert any("the source of 5 pairs of the given validation split is in train too" in warning for warning in report["warnings"])
    # Of the loose ones 90 to 94 repeat training, 95 to 99 are held out but also repeat training, 100 to 139 are held out, 10 are new.
    held_out = {split_key(row["source"]) for name in ("validation", "test") for row in rows(run, name)}
    assert not held_out & {split_key(row["source"]) for row in rows(run, "train") if row["tag"] != "given"}
    assert report["rules"]["duplicates"]["pairs"] == 10
    assert report["rules"]["held_out"]["pairs"] == 40
    assert [source["kept"] for source in report["sources"]] == [100, 25, 30, 10]


def test_an_empty_test_split_is_warned_of(tmp_path: Path) -> None:
    text = config_text(f"{{kind: files, path: {write_pairs(tmp_path / 'a.tsv', range(50))}}}", extra="  test: 0.0\n  validation: 0.3\n")
    report, run = prepared(tmp_path, text)
    assert report["warnings"] == [
        "the test split is empty: nothing to evaluate on. Give it some (of a source of files 'split: test', of a data set of the hub "
        "'splits'), or let pairs without a given split be held out by hash: data.test (now 0.0) is the share of these."
    ]
    assert rows(run, "test") == []


def test_an_empty_corpus_says_which_rule_took_it(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("a\ta\nb\tb\nc\t\n")
    with pytest.raises(
        UserError,
        match=r"nothing is left of the 3 pairs of .*a\.tsv: copies took 2, empty took 1\. The first that 'copies' took: 'a' / 'a'",
    ):
        prepared(tmp_path, config_text(f"{{kind: files, path: {tmp_path / 'a.tsv'}}}"))


def test_no_pair_to_train_on(tmp_path: Path) -> None:
    data = write_pairs(tmp_path / "a.tsv", range(10))
    with pytest.raises(UserError, match="no pair is left to train on; 0 went to validation and 10 to test"):
        prepared(tmp_path, config_text(f"{{kind: files, path: {data}, split: test}}"))
    (tmp_path / "b.tsv").write_text("\n")
    with pytest.raises(UserError, match=r"there are no sentence pairs in .*b\.tsv"):
        prepared(tmp_path, config_text(f"{{kind: files, path: {tmp_path / 'b.tsv'}}}"))


def test_an_error_keeps_what_was_there_and_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_pairs(tmp_path / "a.tsv", range(100))
    text = config_text(f"{{kind: files, path: {data}}}")
    _, run = prepared(tmp_path, text)
    before = rows(run, "train")

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(corpus, "_spooled", full)
        with pytest.raises(UserError, match="the disk is full"):
            prepared(tmp_path, text)
    with monkeypatch.context() as patch:
        patch.setattr(corpus.TableWriter, "write", full)
        with pytest.raises(UserError, match="the disk is full"):
            prepared(tmp_path, text)
    data.write_text("one\ttwo\tthree\n")
    with pytest.raises(UserError, match=r"a\.tsv:1"):
        prepared(tmp_path, text)
    assert rows(run, "train") == before
    assert not [path for path in run.data.iterdir() if path.name.startswith(".")]


def test_loading_from_a_run_that_has_no_data(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no prepared data\. Run: python -m pipeline\.prepare CONFIG"):
        load_split(RunDirectory(tmp_path), "train")


def test_help_and_config_errors_are_quick(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("name: bad\ndata:\n  sorces: []\n")
    for arguments, status in ((["--help"], 0), ([str(tmp_path / "bad.yaml")], 2)):
        start = time.perf_counter()
        result = subprocess.run([sys.executable, "-m", "pipeline.prepare", *arguments], capture_output=True, text=True, check=False)
        assert result.returncode == status, result.stderr
        assert time.perf_counter() - start < 2.0
    assert "sorces" in result.stderr
