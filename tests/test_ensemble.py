"""Ensembles: models that translate together predict the mean of their probabilities."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops
from toy import write_toy

from pipeline import evaluate as evaluate_command
from pipeline import translate as translate_command
from pipeline.configuration import Config, load_config
from pipeline.configuration.schema_data import Tokenizer as TokenizerSettings
from pipeline.data.subword_training import train_tokenizer
from pipeline.data.subwords import Tokenizer
from pipeline.decoding.ensemble import Ensemble
from pipeline.decoding.search import Search
from pipeline.decoding.search_model import search_translations
from pipeline.decoding.translator import Translator
from pipeline.decoding.weights import keep_weights
from pipeline.model.build import build_model
from pipeline.runtime.errors import UserError
from pipeline.support.run_directory import RunDirectory

VOCABULARY = 12
SOURCES = np.array([[5, 6, 7, 3], [9, 3, 0, 0], [4, 11, 3, 0]], np.int32)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return load_config(write_toy(tmp_path, pairs=20))


def random_model(config: Config, seed: int, **changes: Any) -> Any:
    """A model of the toy config with weights large enough for clear preferences."""
    keras.utils.set_random_seed(seed)
    model = build_model(config.model.model_copy(update=changes), VOCABULARY, VOCABULARY)
    for weight in model.trainable_variables:
        weight.assign(np.random.default_rng(seed).normal(0, 0.4, weight.shape))
    return model


def larger(config: Config) -> dict[str, Any]:
    """Changes that make a model of another size and shape; with coverage, its state is as long as the source."""
    attention = config.model.attention.model_copy(update={"coverage": True})
    decoder = config.model.decoder.model_copy(update={"units": 48, "layers": 1, "cell": "lstm"})
    return {"embedding_size": 24, "tied_output": False, "attention": attention, "decoder": decoder}


def softmax(logits: Any) -> Any:
    shifted = np.exp(logits - np.max(logits, axis=-1, keepdims=True))
    return shifted / shifted.sum(axis=-1, keepdims=True)


@dataclasses.dataclass
class Sure:
    """A model that always predicts the same; its state counts the steps."""

    probabilities: list[float]

    def encode(self, source_ids: Any) -> Any:
        return SimpleNamespace(state=ops.zeros((len(source_ids), 1)))

    def decode_step(self, token_ids: Any, state: Any, encoded: Any) -> Any:
        logits = np.log(np.maximum(self.probabilities, 1e-40)) + 7.0  # logits are no logarithms of probabilities yet
        return ops.broadcast_to(logits.astype("float32"), (*token_ids.shape, 5)), state + 1, ops.ones((*token_ids.shape, 1))


def test_a_step_predicts_the_mean_of_the_probabilities() -> None:
    ensemble = Ensemble([Sure([0, 0, 0.1, 0.9, 0]), Sure([0, 0, 0.6, 0.2, 0.2])])
    encoded = ensemble.encode([[1], [1]])
    log_probs, state, _ = ensemble.decode_step(np.zeros((2, 1), np.int32), ops.zeros((2, 1, 2)), encoded)
    np.testing.assert_allclose(np.exp(log_probs)[1, 0], [0, 0, 0.35, 0.55, 0.1], atol=1e-6)
    assert np.isfinite(log_probs).all(), "impossible to all, and still a number"
    np.testing.assert_array_equal(state, np.ones((2, 1, 2)))


def test_models_of_different_sizes_keep_their_own_states(config: Config) -> None:
    models = [random_model(config, 1), random_model(config, 2, **larger(config)), random_model(config, 3)]
    ensemble = Ensemble(models)
    together, alone = ensemble.encode(SOURCES), [model.encode(SOURCES) for model in models]
    np.testing.assert_allclose(together.state, np.concatenate([encoded.state for encoded in alone], axis=-1), atol=1e-6)

    tokens = np.array([[2, 5], [6, 7], [2, 2]], np.int32)
    states = [np.stack([encoded.state, 0.5 * np.asarray(encoded.state)], axis=1) for encoded in alone]
    log_probs, state, attention = ensemble.decode_step(tokens, np.concatenate(states, axis=-1), together)
    expected = [model.decode_step(tokens, *rest) for model, *rest in zip(models, states, alone, strict=True)]
    np.testing.assert_allclose(np.exp(log_probs), np.mean([softmax(logits) for logits, _, _ in expected], axis=0), atol=1e-5)
    np.testing.assert_allclose(state, np.concatenate([own for _, own, _ in expected], axis=-1), atol=1e-5)
    np.testing.assert_allclose(np.sum(attention, axis=-1), np.ones((3, 2)), atol=1e-5)


def test_a_model_with_itself_translates_as_it_does_alone(config: Config) -> None:
    model, search = random_model(config, 1), Search(beam_size=3, max_tokens=9, length_penalty=1.0)
    ids, scores, *_ = search_translations(model, SOURCES, search)
    twice, same_scores, *_ = search_translations(Ensemble([model, model]), SOURCES, search)
    np.testing.assert_array_equal(twice, ids)
    np.testing.assert_allclose(same_scores, scores, rtol=1e-5)
    other, *_ = search_translations(random_model(config, 2), SOURCES, search)
    assert not np.array_equal(other, ids), "models that all translate alike would prove nothing"


# --- trained runs, or what looks like them ----------------------------------------------------------------------------


def make_run(folder: Path, config: Config, tokenizer: Path, seed: int, **changes: Any) -> RunDirectory:
    """A run with random weights and a copy of a tokenizer."""
    run = RunDirectory(folder)
    config = config.model_copy(update={"name": folder.name, "model": config.model.model_copy(update=changes)})
    run.store_config(config)
    shutil.copytree(tokenizer, run.tokenizer)
    loaded = Tokenizer.load(run.tokenizer)
    keras.utils.set_random_seed(seed)
    keep_weights(build_model(config.model, loaded.source.size, loaded.target.size), loaded, run)
    return run


def make_tokenizer(folder: Path, text: str) -> Path:
    train_tokenizer([text], [text[::-1]], TokenizerSettings(placeholders=[]), folder, languages=("en", "xx"))
    return folder


@pytest.fixture
def runs(tmp_path: Path, config: Config) -> list[RunDirectory]:
    tokenizer = make_tokenizer(tmp_path / "tokenizer", "a b c d e f g h")
    return [make_run(tmp_path / "one", config, tokenizer, 1), make_run(tmp_path / "two", config, tokenizer, 2, **larger(config))]


def test_runs_translate_together(runs: list[RunDirectory], tmp_path: Path) -> None:
    one, two = runs
    config, lines = one.load_config(), ["a b c", "d", "e f g h"]
    together = Translator.load(one, config, two)
    parts = [Translator.load(run, run.load_config()) for run in runs]
    by_hand = Translator(Ensemble([part.model for part in parts]), parts[0].tokenizer, together.search)
    assert together.translate(lines) == by_hand.translate(lines)
    others_first = Translator.load(two, two.load_config(), one)
    np.testing.assert_allclose(
        [found.score for found in others_first.translate(lines)], [found.score for found in together.translate(lines)], rtol=1e-5
    )
    alone = parts[0].translate(lines)
    assert [found.ids for found in Translator.load(one, config, one).translate(lines)] == [found.ids for found in alone]
    assert [found.score for found in together.translate(lines)] != [found.score for found in alone]

    (tmp_path / "lines.txt").write_text("".join(f"{line}\n" for line in lines))
    arguments = ["--run", str(one.root), str(tmp_path / "lines.txt"), "--ensemble", str(two.root), "--output", str(tmp_path / "out.txt")]
    assert translate_command.main(arguments) == 0
    assert (tmp_path / "out.txt").read_text() == "".join(f"{found.text}\n" for found in together.translate(lines))


def test_scores_of_an_ensemble_are_shown_and_not_stored(runs: list[RunDirectory], capsys: pytest.CaptureFixture[str]) -> None:
    import datasets

    datasets.disable_progress_bars()
    one, two = runs
    columns = {"source": ["a b", "c d e"], "target": ["b a", "e d c"], "tag": ["", ""], "weight": [1.0, 1.0]}
    datasets.Dataset.from_dict(columns).save_to_disk(str(one.split("test")))
    before = sorted(path for path in one.root.rglob("*"))
    assert evaluate_command.main(["--run", str(one.root), "--ensemble", str(two.root)]) == 0
    shown = capsys.readouterr().out
    assert "test                 2" in shown
    assert re.search(r"source words +1-10", shown)
    assert sorted(path for path in one.root.rglob("*")) == before


def test_other_tokenizers_and_languages_are_refused(runs: list[RunDirectory], config: Config, tmp_path: Path) -> None:
    one, two = runs
    other = make_run(tmp_path / "other", config, make_tokenizer(tmp_path / "another", "x y z"), 3)
    expected = "other: cannot join the ensemble: its tokenizer is {}…, but .*one/tokenizer is {}…. Only runs with the same data"
    prints = (Tokenizer.load(run.tokenizer).fingerprint[:8] for run in (other, one))
    with pytest.raises(UserError, match=expected.format(*prints)):
        Translator.load(one, one.load_config(), two, other)

    data = config.data.model_copy(update={"source_language": "xx", "target_language": "en"})
    back = make_run(tmp_path / "back", config.model_copy(update={"data": data}), one.tokenizer, 4)
    with pytest.raises(UserError, match="back: cannot join the ensemble: it translates xx-en, the first run en-xx"):
        Translator.load(one, one.load_config(), back)

    attention = config.model.attention.model_copy(update={"kind": "none"})
    blind = make_run(
        tmp_path / "blind", config.model_copy(update={"model": config.model.model_copy(update={"attention": attention})}), one.tokenizer, 5
    )
    with pytest.raises(UserError, match=r"blind: has no attention, which decoding\.coverage_penalty looks at"):
        Translator.load(one, one.load_config(["decoding.coverage_penalty=0.1"]), blind)

    two.best_weights.unlink()
    with pytest.raises(UserError, match="two: is not trained yet"):
        Translator.load(one, one.load_config(), two)


@pytest.mark.parametrize("command", [translate_command, evaluate_command])
def test_a_member_must_be_a_run(runs: list[RunDirectory], command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--run", str(runs[0].root), "--ensemble", "nowhere"]) == 2
    assert "nowhere: is not a run" in capsys.readouterr().err
