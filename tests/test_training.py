"""Training, by its commands: it learns, and it leaves what it promises. (Killed and resumed: test_resume.py.)"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from toy_training import history, history_text, started, state, states

from pipeline import evaluate, tokenize, train, translate
from pipeline.configuration import load_config
from pipeline.data.corpus import load_split
from pipeline.data.subwords import Tokenizer
from pipeline.support.files import read_json
from pipeline.support.history import COLUMNS
from pipeline.support.run_directory import RunDirectory
from pipeline.training.checkpoints import Checkpoints
from pipeline.training.setup import make_validator, new_model


def test_a_run_has_what_it_promises(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = started(tmp_path, "training.validations=3")
    assert train.main(arguments) == 0
    run = RunDirectory(tmp_path / "toy")
    rows = history(run)
    assert len(rows) == 3
    assert rows[-1]["update"] > rows[0]["update"]
    assert rows[-1]["epoch"] == pytest.approx(1.0)
    assert rows[-1]["validation_loss"] < rows[0]["validation_loss"]
    assert rows[-1]["perplexity"] == pytest.approx(np.exp(rows[-1]["validation_loss"]), rel=1e-4)
    assert run.best_weights.is_file()
    assert not list(run.checkpoints.glob("state-*"))  # only a training in progress needs them
    shown = capsys.readouterr().err
    assert "the largest batch fits" in shown
    assert shown.count("->") == 9  # three sample translations at each of three validations
    assert "validation BLEU" in shown


def test_sentences_over_the_limit_are_told_not_cut(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = started(tmp_path, "model.max_tokens=3", "training.validations=1")
    assert train.main(arguments) == 0
    shown = capsys.readouterr().err
    assert "training pairs are left out: a side has more than model.max_tokens = 3 pieces" in shown


def test_a_limit_below_every_sentence_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = started(tmp_path, "model.max_tokens=1")
    assert train.main(arguments) == 2
    assert "every training sentence is longer than model.max_tokens = 1" in capsys.readouterr().err


def test_training_with_another_tokenizer_setting_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = started(tmp_path)
    assert train.main([*arguments, "--set", "tokenizer.type=bpe"]) == 2
    assert "tokenizer.type" in capsys.readouterr().err


def test_weights_of_other_settings_are_kept_aside(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = started(tmp_path, "training.validations=1")
    assert train.main(arguments) == 0
    before = (tmp_path / "toy/checkpoints/best.weights.h5").read_bytes()
    assert train.main([*arguments, "--set", "model.decoder.units=48"]) == 0
    assert (tmp_path / "toy/previous/1/checkpoints/best.weights.h5").read_bytes() == before
    assert "the earlier training is kept in" in capsys.readouterr().err


@pytest.mark.parametrize("budget", ["training.epochs=100", "training.minutes=3"])  # speed is measured for 1 % of them
def test_a_maximum_of_updates_ends_a_training(tmp_path: Path, budget: str) -> None:
    assert train.main(started(tmp_path, budget, "training.max_updates=5", "training.validations=2")) == 0
    assert [row["update"] for row in history(RunDirectory(tmp_path / "toy"))] == [2, 5]


def test_patience_ends_a_training(tmp_path: Path) -> None:
    arguments = started(tmp_path, "training.patience=1", "training.learning_rate=1e-30", "training.validations=8")
    assert train.main(arguments) == 0
    rows = history(RunDirectory(tmp_path / "toy"))
    assert len(rows) < 8
    assert not rows[-1]["best"]


@pytest.mark.slow
def test_it_learns_to_reverse(tmp_path: Path) -> None:
    arguments = started(tmp_path, "training.epochs=12", "training.validations=2", "evaluation.splits=[test]", pairs=6000, longest=8)
    assert train.main(arguments) == 0
    run = RunDirectory(tmp_path / "toy")
    assert evaluate.main(["--run", str(run.root)]) == 0
    with (run.hypotheses / "test.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    right = sum(row["hypothesis"] == row["reference"] for row in rows)
    assert len(rows) > 100
    assert right / len(rows) > 0.98
    assert read_json(run.evaluation)["splits"]["test"]["bleu"] > 95
    assert load_config(run.config).name == "toy"


def test_tensorboard_gets_the_history_gradients_and_attention_and_changes_nothing(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    changes = ["training.validations=2", "model.dropout=0.2"]
    assert train.main(started(tmp_path / "with", *changes, "training.tensorboard=true")) == 0
    assert train.main(started(tmp_path / "without", *changes)) == 0
    watched, plain = (RunDirectory(tmp_path / name / "toy") for name in ("with", "without"))
    assert history_text(watched) == history_text(plain)

    logs = EventAccumulator(str(watched.root / "tensorboard"), size_guidance={"scalars": 0, "images": 0})
    logs.Reload()
    rows = history(watched)
    assert list(rows[0]) == list(COLUMNS)
    for column in set(COLUMNS) - {"update"}:
        events = logs.Scalars(f"history/{column}")
        assert [event.step for event in events] == [row["update"] for row in rows]
        assert [event.value for event in events] == pytest.approx([row[column] for row in rows])
    parts = {tag.removeprefix("gradient by layer/") for tag in logs.Tags()["scalars"] if tag.startswith("gradient by layer/")}
    assert {"embedding", "recurrent_encoder/layer_0", "gnmt_decoder/attention", "gnmt_decoder/layer_1", "output"} <= parts
    assert all(event.value > 0 for event in logs.Scalars("gradient by layer/gnmt_decoder/attention"))
    assert [event.step for event in logs.Scalars("gradient through time/1 back")] == [row["update"] for row in rows]
    for number in (1, 2, 3):
        pictures = logs.Images(f"attention/{number}")
        assert [picture.encoded_image_string[:4] for picture in pictures] == [b"\x89PNG"] * len(rows)


def test_averages_are_validated_and_kept_and_the_raw_weights_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import h5py

    monkeypatch.setattr(Checkpoints, "clear", lambda self: None)
    assert train.main(started(tmp_path, "training.average=0.9", "training.validations=1")) == 0
    run = RunDirectory(tmp_path / "toy")
    _, values = state(states(run)[-1])
    with h5py.File(run.best_weights) as file:
        kept = {}
        file.visititems(lambda name, item: kept.update({name: item[...]}) if isinstance(item, h5py.Dataset) else None)
    table = next(value for name, value in kept.items() if "embedding" in name)
    weight, _, _, average = (value for value in values if value.shape == table.shape)  # between them, the two moments
    assert np.array_equal(table, average)
    assert not np.array_equal(table, weight)


def test_validation_translates_sentences_of_every_source(tmp_path: Path) -> None:
    """They come source by source; the weights are to be chosen by all of them."""
    config = load_config(Path(started(tmp_path)[0]), ["training.validation_sentences=10"])
    run = RunDirectory(tmp_path / "toy")
    tokenizer, table = Tokenizer.load(run.tokenizer), load_split(run, "validation")
    model = new_model(config, tokenizer.source.size, tokenizer.target.size)
    chosen = make_validator(model, tokenizer, table, config).texts
    pairs = list(zip(table["source"], table["target"], strict=True))
    places = [pairs.index(pair) for pair in chosen]
    assert len(places) == 10 and places[0] == 0
    gaps = np.diff(places)
    assert min(gaps) > 0 and max(gaps) - min(gaps) <= 1


def test_weights_belong_to_their_tokenizer(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = started(tmp_path, "training.validations=1")
    assert train.main(arguments) == 0
    run = RunDirectory(tmp_path / "toy")
    line = tmp_path / "line.txt"
    line.write_text("a b c\n")
    run.tensorboard.mkdir()
    (run.tensorboard / "events").touch()
    weights = run.best_weights.read_bytes()
    assert translate.main(["--run", str(run.root), str(line)]) == 0

    # Interrupted when the new one is made: the old one is there still.
    with monkeypatch.context() as patch:
        patch.setattr(tokenize, "_keep_earlier_training", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert tokenize.main([*arguments, "--set", "tokenizer.type=bpe"]) == 130
    assert translate.main(["--run", str(run.root), str(line)]) == 0

    capsys.readouterr()
    assert tokenize.main([*arguments, "--set", "tokenizer.type=bpe"]) == 0
    assert "the earlier training is kept in" in capsys.readouterr().err
    # Set aside with its own tokenizer and config, it still translates.
    assert translate.main(["--run", str(run.root / "previous/1"), str(line)]) == 0
    assert (run.root / "previous/1/tensorboard/events").exists() and not run.tensorboard.exists()

    run.checkpoints.mkdir(exist_ok=True)
    run.best_weights.write_bytes(weights)
    capsys.readouterr()
    assert translate.main(["--run", str(run.root), str(line)]) == 2
    assert "best.weights.h5 was made with tokenizer" in capsys.readouterr().err
