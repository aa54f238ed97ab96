"""Configs: YAML 1.2 without its traps, strict types, and every mistake in one message."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from pipeline import config as command
from pipeline.configuration import Config, ConfigError, dump_config, load_config, parse_config


def mistakes(text: str, *overrides: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        parse_config(text, "toy.yaml", overrides)
    return str(error.value).splitlines()


def test_only_a_name_is_needed() -> None:
    assert parse_config("name: toy", "toy.yaml") == Config(name="toy")


def test_yaml_1_2() -> None:
    config = parse_config(
        """
        name: toy
        data:
          source_language: no  # Norwegian, not false
        training:
          learning_rate: 1e-3
          batch_tokens: 0123
        """,
        "toy.yaml",
    )
    assert config.data.source_language == "no"
    assert math.isclose(config.training.learning_rate, 0.001)
    assert config.training.batch_tokens == 123


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [("x*", "matches the empty string"), (r"\b", "matches the empty string"), ("(?u)x", "is not a regular expression")],
)
def test_patterns_of_placeholders(pattern: str, reason: str) -> None:
    [found] = mistakes(f"name: toy\ntokenizer:\n  placeholders: ['{pattern}']")
    assert reason in found


@pytest.mark.parametrize(
    ("pattern", "part"),
    [
        (r"(?<!x)y", "(?<!"),
        (r"(?=a)b", "(?="),
        (r"(a)\1", r"\1"),
        (r"(?P<n>a)(?P=n)", "(?P="),
        (r"\u00e9+", r"\u"),
        (r"x\Z", r"\Z"),
        (r"a++", "++"),
        (r"(?>a)", "(?>"),
        (r"(?x)a b", "(?x"),
        (r"a{,3}b", "{,"),
        (r"\{\w+\}", None),
        (r"[*+]+\++[(?=]", None),
        (r"(?i:a)(?P<n>b)\101\\Z", None),
        (r"</?[a-z][^<>]*>|%(?:\d+\$)?[sd]", None),
    ],
)
def test_patterns_are_known_to_the_saved_model_too(pattern: str, part: str | None) -> None:
    """RE2 has no look-around, for example; that shows before the training, not after."""
    text = f"name: toy\ntokenizer:\n  placeholders: ['{pattern}']"
    if part is None:
        assert parse_config(text, "toy.yaml").tokenizer.placeholders == [pattern]
    else:
        [found] = mistakes(text)
        assert f"has {part!r}, which TensorFlow's regular expressions (RE2) do not know" in found
        assert parse_config(f"{text}\nexport: {{saved_model: false}}", "toy.yaml").tokenizer.placeholders == [pattern]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("epochs: '512'", "training.epochs: expected a whole number, found the text '512'."),
        ("epochs: true", "training.epochs: expected a whole number, found true."),
        ("epochs: 2.5", "training.epochs: expected a whole number, found 2.5."),
        ("epochs: 0", "training.epochs: expected a number of at least 1, found 0."),
        ("epochs:", "training.epochs: expected a whole number, found nothing."),
        ("seed: 4294967296", "training.seed: expected a number below 4294967296, found 4294967296."),
        ("epochs: [3]", "training.epochs: expected a whole number, found [3]."),
        ("learning_rate: 0", "training.learning_rate: expected a number above 0, found 0."),
        ("tensorboard: yes", "training.tensorboard: expected true or false, found the text 'yes'."),
        ("tensorboard: 1", "training.tensorboard: expected true or false, found 1."),
        (
            "schedule: cosin",
            "training.schedule: expected 'cosine', 'inverse_sqrt', 'linear', 'constant' or 'plateau', found the text 'cosin'.",
        ),
    ],
)
def test_types_are_strict(line: str, message: str) -> None:
    assert mistakes(f"name: toy\ntraining:\n  {line}") == [f"toy.yaml:3: {message}"]


def test_all_mistakes_at_once_in_the_order_of_the_file() -> None:
    text = """\
nam: toy
tokenizer:
  vocabulary_size: big
model: 3
decoding:
  beamsize: 4
  beam_size: many
evaluation:
  splits: []
name: 2026-01-01
"""
    assert mistakes(text) == [
        "toy.yaml:1: unknown key 'nam'. Did you mean 'name'? "
        "Known keys: name, data, tokenizer, model, training, decoding, evaluation, export.",
        "toy.yaml:3: tokenizer.vocabulary_size: expected a whole number or 'auto', found the text 'big'.",
        "toy.yaml:4: model: expected a section of keys, found 3.",
        "toy.yaml:6: decoding: unknown key 'beamsize'. Did you mean 'beam_size'? "
        "Known keys: beam_size, best, length_penalty, coverage_penalty, max_tokens, min_length_ratio, "
        "max_length_ratio, no_repeat_ngram, patience, keep_placeholders, unknown, sampling, engine, precision, "
        "batch_sentences, shortlist.",
        "toy.yaml:7: decoding.beam_size: expected a whole number, found the text 'many'.",
        "toy.yaml:9: evaluation.splits: expected at least 1 of them, found [].",
        "toy.yaml:10: name: expected text, found the date 2026-01-01.",
    ]


def test_a_missing_key() -> None:
    assert mistakes("") == ["toy.yaml: name: is missing."]
    assert mistakes("name: toy\ndata:\n  sources:\n    - kind: hub\n      hub: x") == [
        "toy.yaml:4: data.sources.0.name: is missing.",
        "toy.yaml:5: data.sources.0: unknown key 'hub'. "
        "Known keys: tag, weight, kind, name, config, revision, splits, source_field, target_field.",
    ]


def test_a_key_in_the_wrong_section() -> None:
    (line,) = mistakes("name: toy\nepochs: 3")
    assert line.startswith("toy.yaml:2: unknown key 'epochs'. Did you mean 'training.epochs'? Known keys: name,")


def test_kinds_of_sources() -> None:
    text = """\
name: toy
data:
  sources:
    - kind: file
      path: x.tsv
    - path: x.tsv
    - kind: files
      encodin: utf-8
    - x.tsv
    - kind: files
      path: x.tsv
      source: x.en
"""
    assert mistakes(text) == [
        "toy.yaml:4: data.sources.0: unknown kind 'file'. Did you mean 'files'? Kinds: package, files, hub.",
        "toy.yaml:6: data.sources.1: 'kind' is missing. Kinds: package, files, hub.",
        "toy.yaml:8: data.sources.2: unknown key 'encodin'. Did you mean 'encoding'? "
        "Known keys: tag, weight, kind, source, target, path, encoding, split.",
        "toy.yaml:9: data.sources.3: expected a section of keys, found the text 'x.tsv'.",
        "toy.yaml:10: data.sources.4: expected either both 'source' and 'target' (plain text) or 'path' (TSV, TMX, PO, XLIFF).",
    ]


def test_equal_keys() -> None:
    text = "name: toy\ntraining:\n  epochs: 3\n  seed: 1\n  epochs: 4\ndata: {test: 0.1, test: 0.2}\nname: other"
    assert mistakes(text) == [
        "toy.yaml:5: the key 'training.epochs' stands twice; it is already on line 3.",
        "toy.yaml:6: the key 'data.test' stands twice; it is already on line 6.",
        "toy.yaml:7: the key 'name' stands twice; it is already on line 1.",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: toy\ndata: a: b", "toy.yaml:2: not valid YAML: mapping values are not allowed here."),
        ("name: toy\ndata:\n\t- x", "toy.yaml:3: not valid YAML: found character '\\t' that cannot start any token."),
        ("name: !tag toy", "toy.yaml:1: not valid YAML: could not determine a constructor for the tag '!tag'."),
        ("name: 2026-13-45", "toy.yaml: not valid YAML: month must be in 1..12."),
        ("name: toy\n---\nname: b", "toy.yaml:2: not valid YAML: more than one document."),
        ("- name: toy", "toy.yaml: expected keys and values, such as 'name: my-run', found a list."),
        ("name: &a\n  x: *a", "toy.yaml:1: an alias (*) stands inside what it repeats."),
        ("name: " + "[" * 3000 + "]" * 3000, "toy.yaml: brackets or sections stand one within the other too many times."),
        ("name: !!binary aGVsbG8=", "toy.yaml:1: name: expected text, found a value of type bytes."),
    ],
)
def test_not_yaml(text: str, message: str) -> None:
    assert mistakes(text) == [message]


def test_sections_must_fit_each_other() -> None:
    assert mistakes("name: toy\nmodel: {shared_embeddings: true}\ntokenizer: {joint: false}") == [
        "toy.yaml: model.shared_embeddings needs one vocabulary for both sides: "
        "set tokenizer.joint to true, or model.shared_embeddings to false."
    ]


def test_two_readings_differ_by_dropout_alone() -> None:
    [found] = mistakes("name: toy\nmodel: {dropout: 0}\ntraining: {consistency: 3}")
    assert "training.consistency makes two readings under dropout agree" in found


def test_set() -> None:
    config = parse_config(
        "name: toy\ndata:\n  sources:\n    - kind: package\n    - kind: hub\n      name: x\ntraining:\n  patience: 3",
        "toy.yaml",
        [
            "training.learning_rate=1e-4",
            "data.sources.1.weight=2",
            "data.source_language=no",
            "training.patience=",
            "tokenizer.vocabulary_size=auto",
            "evaluation.splits=[validation, test]",
        ],
    )
    assert config.training.learning_rate == 1e-4
    assert config.data.sources[1].weight == 2.0
    assert config.data.source_language == "no"
    assert config.training.patience is None
    assert config.evaluation.splits == ["validation", "test"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.epochs=x", "--set training.epochs=x: training.epochs: expected a whole number, found the text 'x'."),
        (
            "decoding.beamsize=3",
            "--set decoding.beamsize=3: decoding: unknown key 'beamsize'. Did you mean 'beam_size'? "
            "Known keys: beam_size, best, length_penalty, coverage_penalty, max_tokens, min_length_ratio, "
            "max_length_ratio, no_repeat_ngram, patience, keep_placeholders, unknown, sampling, engine, precision, "
            "batch_sentences, shortlist.",
        ),
        ("name.x.y=3", "--set name.x.y=3: 'name' is no section, its value is 'toy'; 'x' cannot be set in it."),
        ("name.x=3", "--set name.x=3: 'name' is no section, its value is 'toy'; 'x' cannot be set in it."),
        ("data.sources.7.weight=3", "--set data.sources.7.weight=3: 'data.sources' is a list of 1, numbered from 0; found '7'."),
        ("training.epochs", "--set training.epochs: expected SECTION.KEY=VALUE, such as training.epochs=5."),
        (
            "data.sources=[{kind: hub, name: a, splits: {}}]",
            "--set data.sources=[{kind: hub, name: a, splits: {}}]: "
            "data.sources.0.splits: expected at least 1 of them, found an empty section.",
        ),
        ("=5", "--set =5: expected SECTION.KEY=VALUE, such as training.epochs=5."),
        ("training..epochs=5", "--set training..epochs=5: expected SECTION.KEY=VALUE, such as training.epochs=5."),
        (
            "evaluation.splits=[test",
            "--set evaluation.splits=[test: '[test' is not a YAML value: expected ',' or ']', but got '<stream end>'.",
        ),
    ],
)
def test_mistakes_in_set_name_it(override: str, message: str) -> None:
    assert mistakes("name: toy\ndata:\n  sources:\n    - kind: package", override) == [message]


def test_mistakes_of_file_and_set_together() -> None:
    assert mistakes("name: toy\nmodel: 3", "model.x.y=3", "training.epochs=x") == [
        "toy.yaml:2: model: expected a section of keys, found 3.",
        "--set training.epochs=x: training.epochs: expected a whole number, found the text 'x'.",
        "--set model.x.y=3: 'model' is no section, its value is 3; 'x' cannot be set in it.",
    ]


def test_what_is_dumped_reads_back_equal() -> None:
    config = parse_config(
        """
        name: "1e-3"
        data:
          source_language: no
          sources:
            - {kind: files, path: 'a: #b.tsv', tag: 'null'}
            - {kind: hub, name: 'on', splits: {train: train, extra: null}}
        tokenizer: {placeholders: ['%\\(x\\)', '"quo''ted"', '- x', 'ü\u2028']}
        training: {learning_rate: 1e-7, patience: null}
        """,
        "toy.yaml",
    )
    assert parse_config(dump_config(config), "dumped") == config


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "near.yaml").write_text("name: near")
    with pytest.raises(ConfigError, match=r"nea\.yaml: no such config file. There are: .*near\.yaml\."):
        load_config(tmp_path / "nea.yaml")
    with pytest.raises(ConfigError, match="is a folder; expected a config file"):
        load_config(tmp_path)
    (tmp_path / "latin.yaml").write_bytes("name: ü".encode("latin-1"))
    with pytest.raises(ConfigError, match=r"latin\.yaml: is not UTF-8 text \(byte 6\)"):
        load_config(tmp_path / "latin.yaml")


def test_the_command_shows_a_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "toy.yaml"
    path.write_text("name: toy")
    assert command.main([str(path), "--set", "training.epochs=3"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"# {path} --set training.epochs=3, with every default spelt out.\nname: toy\n")
    assert parse_config(shown, "shown") == load_config(path, ["training.epochs=3"])
    lines = "data.sources=[\n  {kind: files, path: a.tsv}]"
    assert command.main([str(path), "--set", lines]) == 0
    assert parse_config(capsys.readouterr().out, "shown") == load_config(path, [lines])
    assert command.main([str(path), "--set", "training.epochs=&x [*x]"]) == 2
    assert "an alias (*) stands inside what it repeats" in capsys.readouterr().err
    assert command.main([str(path), "--set", "training.epochs=x"]) == 2
    assert capsys.readouterr().err.startswith("error: --set training.epochs=x: training.epochs: expected")


def test_the_schema_that_editors_read_is_up_to_date(root: Path, tmp_path: Path) -> None:
    assert command.main(["--schema", str(tmp_path / "schema.json")]) == 0
    written = (tmp_path / "schema.json").read_text(encoding="utf-8")
    assert json.loads(written)["properties"]["name"]["type"] == "string"
    assert (root / "configs/schema.json").read_text(encoding="utf-8") == written, (
        "run: python -m pipeline.config --schema configs/schema.json"
    )


CONFIGS = sorted((Path(__file__).parent.parent / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_the_configs_of_the_project(path: Path) -> None:
    assert load_config(path).name == path.stem
    assert path.read_text(encoding="utf-8").startswith("# yaml-language-server: $schema=schema.json\n")
