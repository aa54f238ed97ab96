"""Killed at any moment, a training goes on, and to the same numbers, to the last digit."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from toy_training import history, history_text, started, state, states, train_and_kill

from pipeline import prepare, tokenize, train
from pipeline.data.subwords import Tokenizer
from pipeline.runtime.errors import UserError
from pipeline.support.run_directory import RunDirectory
from pipeline.training.checkpoints import Checkpoints, Progress, Recent

Captured = pytest.CaptureFixture[str]
SAVE_ALWAYS = "training.save_minutes=0.00001"


@pytest.fixture
def last_state_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A finished training keeps its checkpoints, to be compared."""
    monkeypatch.setattr(Checkpoints, "clear", lambda self: None)


def assert_equal_to_the_last_digit(one: RunDirectory, other: RunDirectory) -> None:
    """Histories, best weights, and every variable at the end: weights, moments, averages, random states."""
    import h5py

    assert history_text(one) == history_text(other)
    (first, values), (second, others) = state(states(one)[-1]), state(states(other)[-1])
    assert first["progress"]["update"] == second["progress"]["update"] > 0
    assert [array.tobytes() for array in values] == [array.tobytes() for array in others]
    with h5py.File(one.best_weights) as file, h5py.File(other.best_weights) as expected:
        names: list[str] = []
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        assert len(names) > 10
        assert all(np.array_equal(file[name], expected[name]) for name in names)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "settings"),
    [
        (signal.SIGKILL, ("tokenizer.sampling=0.5", "training.monitor=loss")),
        (
            signal.SIGINT,
            (
                *("training.accumulate=3", "training.average=0.95", "training.weight_decay=0.1"),
                *(
                    "training.schedule=plateau",
                    "training.plateau_patience=1",
                    "training.patience=5",
                    "training.warmup_steps=5",
                    "training.label_smoothing=0.1",
                ),
            ),
        ),
    ],
    ids=["SIGKILL", "SIGINT"],
)
def test_killed_in_mid_epoch_it_ends_as_if_nothing_had_happened(
    number: signal.Signals, settings: tuple[str, ...], tmp_path: Path, capsys: Captured, last_state_stays: None
) -> None:
    settings = ("training.epochs=4", "training.validations=6", "model.dropout=0.2", SAVE_ALWAYS, *settings)
    whole = started(tmp_path / "whole", *settings, pairs=2000)
    killed = started(tmp_path / "killed", *settings, pairs=2000)
    assert train.main(whole) == 0
    run = RunDirectory(tmp_path / "killed/toy")
    assert train_and_kill(killed, run, number, update=25) == (-9 if number is signal.SIGKILL else 130)
    header, _ = state(states(run)[-1])
    assert header["progress"]["batch"] > 0
    assert header["progress"]["update"] < header["progress"]["total"]
    capsys.readouterr()
    assert train.main(killed) == 0
    assert "going on from update" in capsys.readouterr().err
    assert_equal_to_the_last_digit(RunDirectory(tmp_path / "whole/toy"), run)


@pytest.mark.slow
def test_a_seed_decides_everything(tmp_path: Path, last_state_stays: None) -> None:
    runs = []
    for name, seed in (("one", 5), ("two", 5), ("three", 6)):
        arguments = started(tmp_path / name, f"training.seed={seed}", "model.dropout=0.2", "training.validations=2")
        assert train.main(arguments) == 0
        runs.append(RunDirectory(tmp_path / name / "toy"))
    assert_equal_to_the_last_digit(runs[0], runs[1])
    assert [row["train_loss"] for row in history_text(runs[0])] != [row["train_loss"] for row in history_text(runs[2])]


def interrupt_after(update: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next training is interrupted when it has saved that update."""
    save: Callable[..., None] = Checkpoints.save

    def save_and_stop(self: Checkpoints, variables: list, progress: Progress) -> None:
        save(self, variables, progress)
        if progress.update == update:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoints, "save", save_and_stop)


def interrupted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A training in progress, at update 4 of 10; gives back the arguments that go on with it."""
    arguments = started(folder, "training.validations=2", SAVE_ALWAYS)
    with monkeypatch.context() as patch:
        interrupt_after(4, patch)
        assert train.main(arguments) == 130
    return arguments


def test_a_training_in_progress_keeps_its_settings(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, run = interrupted(tmp_path, monkeypatch), RunDirectory(tmp_path / "toy")
    kept = {path.name: path.read_bytes() for path in states(run)}
    capsys.readouterr()

    changed = [*arguments, "--set", "model.dropout=0.5", "--set", "training.learning_rate=0.001"]
    assert train.main(changed) == 2
    error = capsys.readouterr().err
    assert "checkpoints: holds a training in progress, at update 4, that began with other settings or data:\n" in error
    assert "  model.dropout: 0.0 -> 0.5\n  training.learning_rate: 0.01 -> 0.001\nPut them back, and it goes on. " in error
    assert "python -m pipeline.train CONFIG --fresh" in error
    assert {path.name: path.read_bytes() for path in states(run)} == kept
    assert run.load_config().model.dropout == 0.0, "the config beside the checkpoints is theirs"

    assert train.main([*changed, "--fresh"]) == 0
    error = capsys.readouterr().err
    assert "the earlier training is kept in" in error
    assert "going on" not in error
    assert {path.name: path.read_bytes() for path in states(RunDirectory(run.root / "previous/1"))} == kept
    assert RunDirectory(run.root / "previous/1").load_config().model.dropout == 0.0
    assert run.load_config().model.dropout == 0.5


def test_a_training_in_progress_keeps_its_data_and_its_tokenizer(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments, run = interrupted(tmp_path, monkeypatch), RunDirectory(tmp_path / "toy")
    kept = {path.name: path.read_bytes() for path in states(run)}
    fingerprint = Tokenizer.load(run.tokenizer).fingerprint

    # As many sentences, of the same pieces, with other weights.
    capsys.readouterr()
    heavier = [*arguments, "--set", "data.sources.0.weight=2"]
    assert prepare.main(heavier) == tokenize.main(heavier) == 0
    assert train.main(heavier) == 2
    assert "  data.train: " in capsys.readouterr().err

    assert tokenize.main([*heavier, "--set", "tokenizer.type=bpe"]) == 2
    assert "holds a training in progress, and this corpus and these settings give another tokenizer" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in states(run)} == kept
    assert Tokenizer.load(run.tokenizer).fingerprint == fingerprint

    assert prepare.main(arguments) == tokenize.main(arguments) == train.main(arguments) == 0
    assert "going on from update 4 of 10" in capsys.readouterr().err


def test_killed_before_its_end_is_recorded_it_is_not_trained_again(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = started(tmp_path, "training.validations=2", "training.max_updates=4")
    with monkeypatch.context() as patch:
        patch.setattr(train, "say_what_came_of_it", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        assert train.main(arguments) == 130
    weights = RunDirectory(tmp_path / "toy").best_weights.read_bytes()
    assert train.main(arguments) == 0
    assert "going on from update 4 of 4" in capsys.readouterr().err
    assert RunDirectory(tmp_path / "toy").best_weights.read_bytes() == weights
    assert not states(RunDirectory(tmp_path / "toy"))


def test_what_does_not_change_the_numbers_may_change(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = interrupted(tmp_path, monkeypatch)
    assert train.main([*arguments, "--set", "training.save_minutes=5", "--set", "decoding.beam_size=2"]) == 0
    assert "going on from update 4 of 10" in capsys.readouterr().err
    assert [row["update"] for row in history(RunDirectory(tmp_path / "toy"))] == [5, 10]


class Variable:
    def __init__(self, value: float, shape: tuple[int, ...] = (3, 2)) -> None:
        self.value = np.full(shape, value, dtype=np.float32)
        self.shape = shape

    def __array__(self, dtype=None, copy=None):
        return self.value

    def assign(self, value) -> None:
        self.value = value


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, capsys: Captured) -> None:
    checkpoints = Checkpoints(tmp_path, {"model": {"units": 3}})
    for update in (1, 2, 3):
        checkpoints.save([Variable(update)], Progress(update=update))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["state-00000002.npz", "state-00000003.npz"]

    last = tmp_path / "state-00000003.npz"
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 0xFF
    for damaged in (bytes(content), bytes(content[:100]), b""):
        last.write_bytes(damaged)
        variable = Variable(0)
        checkpoints.check()
        progress = checkpoints.restore([variable])
        assert progress is not None
        assert progress.update == 2
        assert np.all(variable.value == 2)
        assert "state-00000003.npz: is damaged" in capsys.readouterr().err


def test_progress_comes_back_to_the_last_digit(tmp_path: Path) -> None:
    progress = Progress(total=9, update=7, seconds=1 / 3, best=[2 / 3, -0.1], rows=[{"update": 3, "train_loss": 0.1 + 0.2, "best": 1}])
    progress.recent = Recent(loss=1e-17 / 3, tokens=5, norm_max=float(np.float32(0.1)))
    checkpoints = Checkpoints(tmp_path, {})
    checkpoints.save([Variable(1)], progress)
    assert checkpoints.restore([Variable(0)]) == progress


def test_checkpoints_of_another_training_are_refused(tmp_path: Path) -> None:
    old = {"model": {"units": 3, "attention": {"kind": "dot"}}, "sentences": 10}
    new = {"model": {"units": 4, "attention": {"kind": "dot"}, "layers": 2}, "sentences": 10}
    Checkpoints(tmp_path, old).save([Variable(1)], Progress(update=12_345))
    for refuse in (Checkpoints(tmp_path, new).check, lambda: Checkpoints(tmp_path, new).restore([Variable(0)])):
        with pytest.raises(
            UserError, match=r"at update 12,345, .*:\n  model\.units: 3 -> 4\n  model\.layers: \(absent\) -> 2\nPut them back"
        ):
            refuse()
    with pytest.raises(UserError, match=r"written by another version of this program, whose model is another\. Or set it aside"):
        Checkpoints(tmp_path, old, again="Or set it aside.").restore([Variable(0, shape=(2, 2))])
