"""Data diversification: helpers are trained once, their translations become pairs, and the model learns from these as well."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from datasets import Dataset
from toy import write_toy

from pipeline import diversify, run, train
from pipeline.configuration import load_config
from pipeline.data.tables import load_split, load_table
from pipeline.runtime.errors import UserError
from pipeline.support.run_directory import RunDirectory
from pipeline.support.stage_table import stages_of
from pipeline.support.stages import changes, load_records
from pipeline.training.diversification import SYNTHETIC, nearest_to, new_pairs, training_table

ASKED = ["training.diversify={minutes: null, epochs: 2, beam_size: 2}", "training.epochs=1", "training.validations=1"]
pytestmark = pytest.mark.slow


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_toy(tmp_path, pairs=300)


def arguments(config: Path, *overrides: str) -> list[str]:
    return [str(config), *(part for one in [*ASKED, *overrides] for part in ("--set", one))]


def test_the_model_learns_from_what_the_helpers_have_made(toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = arguments(toy, "export.tflite=[]", "export.saved_model=true", "export.parity_sentences=2")
    assert run.main(options) == 0
    config = load_config(toy, ASKED)
    assert stages_of(config) == ["prepare", "tokenize", "diversify", "train", "evaluate", "export"]
    folder = RunDirectory.of(config, tmp_path / "artifacts")
    original, made = load_split(folder, "train"), load_table(folder.diversification / "train")
    sources, targets = set(original["source"]), set(original["target"])
    pairs = set(zip(original["source"], original["target"], strict=True))
    assert set(made["tag"]) <= set(SYNTHETIC.values())
    for row in made:
        assert row["source"] and row["target"] and (row["source"], row["target"]) not in pairs
        kept, side = (row["source"], sources) if row["tag"] == SYNTHETIC["forward"] else (row["target"], targets)
        assert kept in side
    assert len(made) > 100
    assert len(training_table(folder, config)) == len(original) + len(made)
    said = capsys.readouterr()
    assert f"{len(made):,} pairs made of {len(original):,}" in said.err

    # Nothing has changed, nothing is done again; another length of the last training leaves the helpers as they are.
    assert run.main(options) == 0
    assert "diversify: skipped, nothing has changed" in capsys.readouterr().err
    assert changes("diversify", load_config(toy, [*ASKED, "training.epochs=3"]), folder) is None
    assert "training.diversify.epochs: 2 before, 1 now" in str(
        changes("diversify", load_config(toy, [*ASKED, "training.diversify.epochs=1"]), folder)
    )


def test_killed_between_the_helpers_it_goes_on(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import prepare, tokenize

    assert prepare.main(arguments(toy)) == tokenize.main(arguments(toy)) == 0
    honest, trained = train.run_stage, []

    def stopped(config, run, **options):  # type: ignore[no-untyped-def]
        trained.append(config.name)
        if len(trained) == 2:
            raise KeyboardInterrupt
        honest(config, run, **options)

    monkeypatch.setattr(train, "run_stage", stopped)
    assert diversify.main(arguments(toy)) == 130
    config = load_config(toy, ASKED)
    folder = RunDirectory.of(config, tmp_path / "artifacts")
    assert "diversify" not in load_records(folder)
    assert diversify.main(arguments(toy)) == 0
    assert trained == ["toy-forward", "toy-backward", "toy-backward"]
    assert (folder.diversification / "backward").is_dir()

    # What their training does not read leaves them as they are; another search translates anew, and no more.
    translated = folder.diversification / "forward" / "translations"
    before = translated.stat().st_mtime_ns
    assert diversify.main(arguments(toy, "export.beam_size=2", "training.save_minutes=9", "decoding.length_penalty=0.5")) == 0
    assert translated.stat().st_mtime_ns == before
    assert diversify.main(arguments(toy, "training.diversify.beam_size=3")) == 0
    assert translated.stat().st_mtime_ns != before
    assert len(trained) == 3

    # Another setting of theirs begins them anew.
    assert diversify.main(arguments(toy, "model.dropout=0.1")) == 0
    assert trained[3:] == ["toy-forward", "toy-backward"]


def test_several_translations_are_those_nearest_to_the_corpus(toy: Path, tmp_path: Path) -> None:
    """Of what the beam has, so that they are nearer than the likeliest ones, and each counts as its part of one."""
    from pipeline import prepare, tokenize
    from pipeline.scoring.metrics import corpus_bleu

    assert prepare.main(arguments(toy)) == tokenize.main(arguments(toy)) == 0
    folder = RunDirectory.of(load_config(toy, ASKED), tmp_path / "artifacts")
    original = load_split(folder, "train")
    references = dict(zip(original["source"], original["target"], strict=True))
    assert len(references) == len(original)

    def translated(*overrides: str) -> Dataset:
        assert diversify.main(arguments(toy, *overrides)) == 0
        return load_table(folder.diversification / "forward" / "translations")

    def bleu(of: dict[str, str]) -> float:
        return corpus_bleu(list(of.values()), [references[source] for source in of])

    likeliest = translated("training.diversify.beam_size=4")
    several = translated("training.diversify.beam_size=4", "training.diversify.nearest=2")
    first: dict[str, str] = {}
    for row in several:
        first.setdefault(row["source"], row["target"])
    assert bleu(first) > bleu(dict(zip(likeliest["source"], likeliest["target"], strict=True)))
    assert len(original) < len(several) <= 2 * len(original)
    assert set(several["weight"]) == {0.5}
    made = load_table(folder.diversification / "train")
    assert set(made["weight"]) == {0.5}


def test_the_nearest_translation_comes_first_and_equal_ones_count_once() -> None:
    beam = ["Ein Hund läuft.", "", "Ein Hund rennt.", "Ein Hund läuft.", "Zwei Hunde rennen."]
    assert nearest_to("Ein Hund rennt.", beam, 2) == ["Ein Hund rennt.", "Ein Hund läuft."]
    assert nearest_to("Ein Hund rennt.", [""], 2) == []


def test_no_new_pair_has_a_source_that_is_held_out() -> None:
    train_split = Dataset.from_dict({"source": ["Turn off"], "target": ["Ausschalten"], "tag": [""], "weight": [1.0]})
    back = {"target": ["Switch off", "Power off"], "source": ["Ausschalten", "Ausschalten"], "weight": [1.0, 2.0]}
    made = new_pairs(train_split, {"backward": Dataset.from_dict(back)}, ["switch OFF!"])
    assert list(made) == [("Power off", "Ausschalten", SYNTHETIC["backward"], 2.0)]


def test_made_pairs_weigh_as_much_as_is_asked_for() -> None:
    train_split = Dataset.from_dict({"source": ["Turn off"], "target": ["Ausschalten"], "tag": [""], "weight": [3.0]})
    back = {"target": ["Switch off"], "source": ["Ausschalten"], "weight": [3.0]}
    assert [row[-1] for row in new_pairs(train_split, {"backward": Dataset.from_dict(back)}, [], 0.5)] == [1.5]


def test_what_is_not_asked_for_is_told(toy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from pipeline import prepare, tokenize

    assert prepare.main([str(toy)]) == tokenize.main([str(toy)]) == 0
    assert diversify.main([str(toy)]) == 2
    assert "training.diversify is not set" in capsys.readouterr().err
    assert run.main([str(toy), "--from", "diversify"]) == 2
    assert "this config does not ask for that stage" in capsys.readouterr().err
    assert train.main(arguments(toy)) == 2
    assert "the stage 'diversify' is not done yet" in capsys.readouterr().err


def test_without_it_the_training_split_is_what_it_was(toy: Path, tmp_path: Path) -> None:
    from pipeline import prepare

    assert prepare.main([str(toy)]) == 0
    config = load_config(toy)
    folder = RunDirectory.of(config, tmp_path / "artifacts")
    with pytest.raises(UserError, match="the run has no prepared data"):
        training_table(folder, load_config(toy, ASKED))
    assert len(training_table(folder, config)) == len(load_split(folder, "train"))


def test_the_last_training_can_begin_with_what_the_helper_has_learnt(toy: Path, tmp_path: Path) -> None:
    """At a learning rate of next to nothing it is still the helper at the end; the average of its weights, too."""
    from pipeline import prepare, tokenize

    begins = "training.diversify={minutes: null, epochs: 2, beam_size: 2, begin_with_helper: true}"
    options = arguments(toy, begins, "training.average=0.9")
    assert prepare.main(options) == tokenize.main(options) == diversify.main(options) == 0
    # Set after the helpers are trained; with the other settings they are taken as they are.
    config = load_config(toy, [*ASKED, begins, "training.average=0.9", "training.learning_rate=1.0e-12"])
    folder = RunDirectory.of(config, tmp_path / "artifacts")
    train.run_stage(config, folder)
    assert perplexity_of_best(folder) == pytest.approx(perplexity_of_best(RunDirectory(folder.diversification / "forward")), rel=1e-3)


def perplexity_of_best(folder: RunDirectory) -> float:
    with (folder.root / "history.csv").open() as file:
        return [float(row["perplexity"]) for row in csv.DictReader(file) if row["best"] == "1"][-1]
