"""Export: a small model with random weights through all artefacts, which must translate as it does, and say so where they do not."""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline import export as command
from pipeline.configuration import Config, parse_config
from pipeline.data.subwords import EOS, Tokenizer
from pipeline.decoding.text_stream import TextTranslator, clean_line
from pipeline.runtime.errors import UserError
from pipeline.runtime.segmentation import RUN_OF_SPACES
from pipeline.runtime.slots import Slots
from pipeline.support.files import read_json
from pipeline.support.run_directory import RunDirectory

SYLLABLES = ["ka", "lo", "mi", "ter", "un", "sel", "dor", "é", "fra", "ß"]
SETTINGS = {
    "shared": """
        tokenizer: {vocabulary_size: 150}
        model: {embedding_size: 24, encoder: {units: 16}, attention: {units: 12},
            decoder: {units: 20, layers: 1}, max_tokens: 20}""",
    "separate": """
        tokenizer: {joint: false, type: bpe, vocabulary_size: 140}
        model: {embedding_size: 24, encoder: {units: 16}, attention: {units: 12},
            decoder: {units: 20, layers: 2}, max_tokens: 20,
            shared_embeddings: false, tied_output: false}""",
}
ODD_TEXTS = [
    "",
    "   ",
    "\t\n",
    "kalo mi",
    "  kalo   mi\t",
    "kalo\tmi\nter",
    "kalo▁mi",
    "nul\0byte\x1b",
    "line\u2028break\x85here",
    "soft\u00adhy\u200bphen\ufeff",
    "wide\u3000space\u00a0and\u202fnarrow",
    "e\u0301 is é",
    "日本 🙂 {name}",
    "<s> </s> <pad>",
    "{name} %s https://example.org/a?b=c",
]


@dataclass
class Exported:
    """A run and what was exported of it."""

    run: RunDirectory
    config: Config
    report: dict[str, Any]


@pytest.fixture(scope="module", params=["shared", pytest.param("separate", marks=pytest.mark.slow)])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    run, config = random_run(tmp_path_factory.mktemp("runs") / "toy", SETTINGS[request.param])
    command.run_stage(config, run)
    return Exported(run, config, read_json(run.export_report))


@pytest.fixture
def folder(exported: Exported, tmp_path: Path) -> Path:
    """A copy of export/tflite/, as an app would have it."""
    return Path(shutil.copytree(exported.run.tflite, tmp_path / "app"))


def random_run(root: Path, settings: str, **changes: Any) -> tuple[RunDirectory, Config]:
    """A run that looks trained: tables of made-up words, a tokenizer of them, random weights that end now and then."""
    import keras

    from pipeline.data.subword_training import train_tokenizer
    from pipeline.model.build import build_model

    config = parse_config(
        f"""
        name: toy
        decoding: {{max_tokens: 12, batch_sentences: 16}}
        export: {{tflite: [float32, float16, int8], parity_sentences: 12, beam_size: 3}}
        {settings}
        """,
        "test",
    )
    if changes:
        config = config.model_copy(update={"export": config.export.model_copy(update=changes)})
    run = RunDirectory(root)
    run.store_config(config)
    generator = random.Random(1)
    sides = [[sentence(generator) for _ in range(300)] for _ in range(2)]
    write_table(run, "test", sides[0][:40], sides[1][:40])
    tokenizer = train_tokenizer(*sides, config.tokenizer, run.tokenizer, languages=("en", "de"))
    keras.utils.set_random_seed(1)
    model = build_model(config.model, tokenizer.source.size, tokenizer.target.size)
    # Larger than at the start of a training: else every sentence gets about the same translation.
    for weight in model.weights:
        if len(weight.shape) > 1:
            weight.assign(weight.value * 2.5)
    bias = model.output_bias.numpy()
    bias[EOS] = 1.5
    bias[:EOS] = -20.0  # nobody writes PAD, UNK or BOS who has learnt something
    model.output_bias.assign(bias)
    run.checkpoints.mkdir()
    from pipeline.decoding.weights import keep_weights

    keep_weights(model, tokenizer, run)
    return run, config


def sentence(generator: random.Random) -> str:
    """Some made-up words, at times with a placeholder."""
    words = ["".join(generator.choices(SYLLABLES, k=generator.randint(1, 4))) for _ in range(generator.randint(1, 7))]
    return " ".join([*words, "{name}"] if generator.random() < 0.2 else words)


def write_table(run: RunDirectory, split: str, sources: list[str], targets: list[str]) -> None:
    import pyarrow as pa

    from pipeline.data.tables import SCHEMA, TableWriter

    with TableWriter(run.split(split)) as table:
        table.write(
            pa.RecordBatch.from_pydict(
                {"source": sources, "target": targets, "tag": [""] * len(sources), "weight": [1.0] * len(sources)}, SCHEMA
            )
        )


def searching(exported: Exported) -> Config:
    """The config with the exported beam for its own."""
    decoding = exported.config.decoding.model_copy(update={"beam_size": exported.config.export.beam_size})
    return exported.config.model_copy(update={"decoding": decoding})


def describe(folder: Path, change: Any) -> None:
    """Changes translator.json."""
    path = folder / "translator.json"
    details = json.loads(path.read_text())
    change(details)
    path.write_text(json.dumps(details))


# --- what an export promises ------------------------------------------------------------------------------------------


def test_float32_gives_the_models_ids(exported: Exported) -> None:
    artefacts = exported.report["artefacts"]
    assert list(artefacts) == ["saved_model", "tflite/float32", "tflite/float16", "tflite/int8"]
    assert artefacts["saved_model"]["equal"] == artefacts["tflite/float32"]["equal"] == exported.report["sentences"]["count"] == 12
    assert artefacts["saved_model"]["bleu"] == artefacts["tflite/float32"]["bleu"] == exported.report["model"]["bleu"]
    assert artefacts["tflite/float32"]["score_difference"] < 1e-4
    expected = {"beam_size": 3, "max_tokens": 12, "length_penalty": 1.0, "coverage_penalty": 0.0, "no_repeat_ngram": 0}
    assert expected.items() <= exported.report["search"].items()


def test_the_sentences_are_a_test(exported: Exported) -> None:
    """Equal ids mean little if all sentences have the same translation, or none ever ends."""
    from pipeline.decoding.translator import Translator

    rows = [sentence(random.Random(seed)) for seed in range(12)]
    translations = Translator.load(exported.run, searching(exported)).translate(rows)
    assert len({one.text for one in translations}) > 6
    assert len({one.complete for one in translations}) == 2


def test_operators_are_built_in(exported: Exported) -> None:
    from pipeline.exporters.tflite import foreign_operators, operators

    for precision in ("float32", "float16", "int8"):
        ops = operators((exported.run.tflite / f"{precision}.tflite").read_bytes())
        assert ops == exported.report["artefacts"][f"tflite/{precision}"]["ops"]
        assert ops["WHILE"] == 4, "of each signature the encoder's loop and its own"
        assert "TOPK_V2" in ops
        assert foreign_operators(ops) == []
    assert foreign_operators({"ADD": 1, "CUSTOM FlexAddV2": 2}) == ["CUSTOM FlexAddV2"]


def test_no_weight_is_stored_twice(exported: Exported) -> None:
    weights = 4 * exported.report["parameters"]
    variables = sum(path.stat().st_size for path in (exported.run.saved_model / "variables").iterdir())
    assert weights <= variables < weights + 10_000
    sizes = [exported.report["artefacts"][f"tflite/{precision}"]["bytes"] for precision in ("float32", "float16", "int8")]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes == [(exported.run.tflite / f"{precision}.tflite").stat().st_size for precision in ("float32", "float16", "int8")]
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    model = schema.Model.GetRootAs((exported.run.tflite / "float32.tflite").read_bytes(), 0)
    constants = sum(model.Buffers(number).DataLength() for number in range(model.BuffersLength()))
    assert 0.95 * weights < constants < 1.1 * weights  # one signature may know a weight only in parts, and there are small constants


def test_the_table_shows_every_artefact(exported: Exported) -> None:
    table = command.report_table(exported.report)
    assert [line.split()[0] for line in table[:-1]] == ["artefact", "model", *exported.report["artefacts"]]
    assert "12 of 12" in table[2]


def test_the_report_says_what_each_file_takes(exported: Exported) -> None:
    for precision in ("float32", "float16", "int8"):
        artefact = exported.report["artefacts"][f"tflite/{precision}"]
        measured = artefact["measured"]
        assert set(measured["milliseconds"]) == {"1", "2"}
        for by_length in measured["milliseconds"].values():
            counts = [group["sentences"] for name, group in by_length.items() if name != "all"]
            assert sum(counts) == by_length["all"]["sentences"] == 12
            assert all(0 < group["p50"] <= group["p95"] for group in by_length.values())
        assert 20e6 < measured["peak_memory"] < 300e6 and measured["load_milliseconds"] > 0
        assert 0 <= artefact["p_value"] <= 1
    page = exported.run.export_report.with_suffix(".html").read_text()
    assert "12 of 12" in page and "WHILE 4" in page and "<script" not in page


def test_a_loss_of_quality_fails_the_export_unless_it_may_be_chance() -> None:
    from pipeline.exporters.parity import demand_quality

    little, chance = {"bleu": 29.85, "p_value": 0.01, "equal": 900}, {"bleu": 25.0, "p_value": 0.3, "equal": 200}
    assert demand_quality({"int8": little, "float16": chance}, 30.0, 0.2, 1000) is None
    with pytest.raises(
        UserError, match=r"int8: has 29\.50 BLEU, 0\.50 less than the model \(p = 0\.010\), but export\.max_bleu_loss allows 0\.2"
    ):
        demand_quality({"int8": {"bleu": 29.5, "p_value": 0.01, "equal": 900}}, 30.0, 0.2, 1000)


def test_too_few_sentences_for_a_check_of_quality_are_told(exported: Exported) -> None:
    from pipeline.exporters.parity import demand_quality
    from pipeline.exporters.report_page import report_page

    told = exported.report["not_checked"]
    assert told.startswith("BLEU of tflite/float16, tflite/int8 not checked against export.max_bleu_loss (0.2): only 12 sentences, 100 ")
    assert told in exported.run.export_report.with_suffix(".html").read_text()
    assert "not checked" not in report_page("title", {**exported.report, "not_checked": None})
    whole = {"bleu": 30.0, "p_value": 1.0, "equal": 12}
    assert demand_quality({"saved_model": whole, "tflite/float32": whole}, 30.0, 0.2, 12) is None, "the model's own ids: no loss"
    assert "saved_model" in str(demand_quality({"saved_model": {**whole, "equal": 11}}, 30.0, 0.2, 12)), "half its bytes"


# --- the SavedModel ---------------------------------------------------------------------------------------------------


def test_a_fresh_process_translates_odd_texts_as_we_do(exported: Exported) -> None:
    from pipeline.decoding.translator import Translator
    from pipeline.exporters.fresh_process import fresh_answers

    texts = [*ODD_TEXTS, "kalo mi ter. " * 12]
    answer = fresh_answers(exported.run.saved_model, texts, [[5, 6, EOS]])
    cleaned = [" ".join(clean_line(text, exported.config.data.cleaning).split("\n")) for text in texts]
    expected = Translator.load(exported.run, searching(exported)).translate(cleaned)
    assert answer["translations"] == [one.text for one in expected]
    assert answer["scores"] == pytest.approx([one.score for one in expected], abs=1e-4)
    assert answer["complete"] == [one.complete for one in expected]
    assert answer["translations"][:3] == ["", "", ""]


def test_a_server_may_use_its_graphics_card(exported: Exported) -> None:
    """The checks run on the processor; what is saved must not be bound to it."""
    from tensorflow.core.protobuf import saved_model_pb2

    saved = saved_model_pb2.SavedModel.FromString((exported.run.saved_model / "saved_model.pb").read_bytes())
    functions = saved.meta_graphs[0].graph_def.library.function
    computing = {
        node.device for function in functions for node in function.node_def if node.op in ("MatMul", "GatherV2", "TopKV2", "While")
    }
    assert computing == {""}


def test_texts_that_are_no_texts(exported: Exported) -> None:
    import tensorflow as tf

    translate = tf.saved_model.load(str(exported.run.saved_model)).signatures["serving_default"]
    none = translate(texts=tf.constant([], tf.string))
    assert [len(none[name].numpy()) for name in ("translations", "scores", "complete")] == [0, 0, 0]
    broken, replaced = translate(texts=tf.constant([b"caf\xe9 mi", "caf\ufffd mi".encode()]))["translations"].numpy()
    assert broken == replaced


def test_every_side_of_every_translator_keeps_its_own_tokenizer(quick: tuple[RunDirectory, Config], tmp_path: Path) -> None:
    import tensorflow as tf

    from pipeline.decoding.translator import Translator
    from pipeline.exporters.saved_model import save_saved_model

    for run, config in (quick, random_run(tmp_path / "toy", SETTINGS["separate"])):
        translator = Translator.load(run, config)
        save_saved_model(
            translator.model, translator.tokenizer, translator.search, config.data.cleaning, tmp_path / f"{run.root.name}.exported"
        )
        loaded = tf.saved_model.load(str(tmp_path / f"{run.root.name}.exported"))
        found = loaded.signatures["serving_default"](texts=tf.constant(["kalo miter", "unsel"]))["translations"].numpy()
        assert [text.decode() for text in found] == [one.text for one in translator.translate(["kalo miter", "unsel"])]


def test_a_saved_model_that_does_not_load_is_an_error(exported: Exported, tmp_path: Path) -> None:
    from pipeline.exporters.fresh_process import fresh_answers

    broken = Path(shutil.copytree(exported.run.saved_model, tmp_path / "saved_model"))
    next(broken.glob("variables/*data*")).write_bytes(b"")
    with pytest.raises(UserError, match="imports only tensorflow and tensorflow_text"):
        fresh_answers(broken, ["a"], [[5, EOS]])


# --- the app ----------------------------------------------------------------------------------------------------------


def test_the_app_translates_as_the_command_does(exported: Exported, folder: Path) -> None:
    from pipeline.runtime.translator import PhoneTranslator

    texts = [*ODD_TEXTS, "kalo mi ter. " * 12, "unselter" * 20]
    expected = TextTranslator.load(exported.run, searching(exported)).translate(texts)
    assert [PhoneTranslator(folder, "float32").translate(text) for text in texts] == expected
    assert expected[:3] == ["", "", ""]


@pytest.mark.parametrize("cleaning", ["{}", "{normalize: NFKC}", "{normalize: null, control_characters: false}"])
def test_the_app_and_the_graph_clean_as_the_command_does(cleaning: str) -> None:
    from pipeline.runtime.translator import clean

    rules = parse_config(f"name: toy\ndata: {{cleaning: {cleaning}}}\n", "test").data.cleaning
    from pipeline.exporters.saved_model import clean_texts

    texts = [*ODD_TEXTS, "\u3000", "\u3000a\u00a0 b  c\u2003", "ﬁ１２", "  a \n\n b\r\n"]
    graph = [text.decode() for text in clean_texts(texts, rules).numpy()]
    assert graph == [RUN_OF_SPACES.sub(" ", clean_line(text, rules)) for text in texts]
    for text in [*texts, "half \ud800"]:
        assert clean(text, normalize=rules.normalize, control_characters=rules.control_characters) == clean_line(text, rules)


def test_the_app_is_the_folder_alone(folder: Path, tmp_path: Path) -> None:
    program = (
        "import sys; sys.path.insert(0, sys.argv[1] + '/python'); from pocketnmt_runtime.__main__ import main; "
        "status = main(sys.argv[1:]); "
        "ours = {'pipeline', 'tensorflow', 'keras', 'pydantic', 'datasets', 'jax', 'torch'} & set(sys.modules); print(status, sorted(ours))"
    )
    result = subprocess.run(
        [sys.executable, "-I", "-c", program, str(folder)],
        input="kalo\n\nm\udcfci\n",
        capture_output=True,
        text=True,
        errors="surrogateescape",
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    lines = result.stdout.split("\n")
    assert len(lines) == 5, result.stderr
    assert lines[1] == ""
    assert lines[3] == "0 []"


def test_the_zip_is_the_folder(exported: Exported, tmp_path: Path) -> None:
    shutil.unpack_archive(exported.run.export / "tflite.zip", tmp_path)
    original = {path.relative_to(exported.run.export): path.read_bytes() for path in exported.run.tflite.rglob("*") if path.is_file()}
    assert {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == original
    assert not any("__pycache__" in path.parts for path in original)
    assert Path("tflite/apps/Translator.kt") in original and Path("tflite/python/pocketnmt_runtime/translator.py") in original


def test_the_sources_for_apps_name_what_is_in_the_files(folder: Path) -> None:
    """They cannot be built here: at least every name and number that they have in common with the files is the right one."""
    from ai_edge_litert.interpreter import Interpreter

    from pipeline.runtime import translator as runtime

    details = json.loads((folder / "translator.json").read_text())
    tensors = Interpreter(str(folder / "float32.tflite")).get_signature_list()[runtime.SIGNATURE]
    for name, version, signature in (
        ("Translator.kt", "SCHEMA_VERSION = (.*)", 'SIGNATURE = "(.*)"'),
        ("Translator.swift", "schemaVersion = (.*)", 'signature = "(.*)"'),
    ):
        source = (folder / "apps" / name).read_text()
        assert re.search(version, source)[1] == str(runtime.SCHEMA_VERSION)  # type: ignore[index]
        assert re.search(signature, source)[1] == runtime.SIGNATURE  # type: ignore[index]
        assert ", ".join(f'"{precision}"' for precision in runtime.SMALLEST_FIRST) in source
        for tensor in (*tensors["inputs"], "ids"):
            assert f'"{tensor}"' in source
        for key in ("schema_version", "files", "source_subwords", "target_subwords", "ids", "max_source_tokens", "slots", "cleaning"):
            assert key in source and key in details
        for section, keys in {
            "ids": ("pad", "eos"),
            "slots": ("patterns", "number"),
            "cleaning": ("normalize", "control_characters"),
        }.items():
            assert all(key in source and key in details[section] for key in keys)
        assert "e000" in source.lower() and ord(Slots(("x",), 1).symbols[0]) == 0xE000


def test_the_app_says_what_is_wrong(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from pipeline.runtime.__main__ import main

    monkeypatch.setattr(sys, "stdin", io.StringIO("kalo\n"))
    assert main([str(tmp_path / "nowhere")]) == 2
    assert "Expected the folder export/tflite/ of a run" in capsys.readouterr().err
    assert main([str(folder), "--precision", "float32"]) == 0
    with pytest.raises(SystemExit):
        main([str(folder), "--threads", "0"])
    assert "--threads: expected a number from 1 on, not 0" in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", None)
    assert main([str(folder)]) == 2
    assert "standard input is closed" in capsys.readouterr().err


def test_another_tokenizer_is_refused(folder: Path) -> None:
    from pipeline.runtime.translator import PhoneTranslator

    model = next(folder.glob("*.model"))
    model.write_bytes(model.read_bytes() + b"\n\0")
    with pytest.raises(UserError, match=rf"{model.name}: is file [0-9a-f]{{8}}….*describes [0-9a-f]{{8}}….*another export"):
        PhoneTranslator(folder)


def test_a_file_of_an_older_version_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ai_edge_litert.interpreter import SignatureRunner

    from pipeline.runtime.translator import PhoneTranslator

    everything = SignatureRunner.get_output_details
    monkeypatch.setattr(
        SignatureRunner,
        "get_output_details",
        lambda runner: {name: details for name, details in everything(runner).items() if name != "log_prob"},
    )
    with pytest.raises(UserError, match=r"int8.tflite: was exported by an older version; it does not give log_prob. Export again"):
        PhoneTranslator(folder)


def test_a_truncated_file_is_refused(folder: Path) -> None:
    from pipeline.runtime.translator import PhoneTranslator

    path = folder / "int8.tflite"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(UserError, match=r"int8.tflite: is file .*\(5,000 bytes\).*damaged"):
        PhoneTranslator(folder)
    assert PhoneTranslator(folder, "float16").translate("kalo"), "the others still work"
    # Truncated before it was described.
    describe(folder, lambda details: details["files"]["int8"].update(sha256=hashlib.sha256(path.read_bytes()).hexdigest()))
    with pytest.raises(UserError, match=r"int8.tflite: is not a translator that this interpreter can run"):
        PhoneTranslator(folder)
    path.unlink()
    with pytest.raises(UserError, match=r"int8.tflite: cannot be read, but translator.json names it"):
        PhoneTranslator(folder)


def test_a_folder_of_another_version_is_refused(folder: Path) -> None:
    from pipeline.runtime.translator import PhoneTranslator

    describe(folder, lambda details: details["files"].pop("int8"))
    with pytest.raises(UserError, match=r"translator.json: has no int8; it has: float32, float16"):
        PhoneTranslator(folder, "int8")
    assert PhoneTranslator(folder).precision == "float16"
    describe(folder, lambda details: details.update(schema_version=99))
    with pytest.raises(UserError, match="expected schema_version 2"):
        PhoneTranslator(folder)
    (folder / "translator.json").write_text("{")
    with pytest.raises(UserError, match=r"translator.json: is damaged"):
        PhoneTranslator(folder)


# --- exports that fail ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunDirectory, Config]:
    """A run whose export has one .tflite only."""
    return random_run(tmp_path_factory.mktemp("runs") / "quick", SETTINGS["shared"], saved_model=False, tflite=["int8"], parity_sentences=3)


@pytest.fixture
def clean_export(quick: tuple[RunDirectory, Config]) -> Iterator[None]:
    """Before and after a test, the run has no export."""
    shutil.rmtree(quick[0].export, ignore_errors=True)
    before = sorted(quick[0].root.iterdir())
    yield
    shutil.rmtree(quick[0].export, ignore_errors=True)
    assert sorted(quick[0].root.iterdir()) == before, "nothing temporary is left"


@pytest.mark.usefixtures("clean_export")
def test_float32_is_checked_even_if_it_is_not_kept(quick: tuple[RunDirectory, Config]) -> None:
    from pipeline.runtime.translator import PhoneTranslator

    run, config = quick
    command.run_stage(config, run)
    assert list(read_json(run.export_report)["artefacts"]) == ["tflite/int8"]
    assert sorted(path.name for path in run.tflite.iterdir()) == ["apps", "int8.tflite", "joint.model", "python", "translator.json"]
    assert PhoneTranslator(run.tflite).translate("kalo mi")


@pytest.mark.usefixtures("clean_export")
def test_other_ids_fail_the_export(quick: tuple[RunDirectory, Config], monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.runtime.translator import Found, PhoneTranslator

    run, config = quick
    honest = PhoneTranslator.translate_ids

    def differs_in_long_ones(self: Any, source_ids: list[int]) -> Found:
        found = honest(self, source_ids)
        return found._replace(ids=[*found.ids, 7], score=found.score - 0.01) if len(source_ids) > 1 else found

    monkeypatch.setattr(PhoneTranslator, "translate_ids", differs_in_long_ones)
    with pytest.raises(
        UserError, match=r"(?s)float32.tflite: translates \d of 3 sentences to other ids.*source ids \[.*model .*float32.tflite .*, 7\]"
    ):
        command.run_stage(config, run)
    assert not run.export.exists()


def test_rounding_may_choose_between_equals() -> None:
    from pipeline.exporters.parity import Answers, Sentences, demand_equal

    sentences = Sentences("test", ["kalo"] * 200, [[5]] * 200, ["mi"] * 200, "de")
    expected = Answers([[7]] * 200, ["a"] * 200, [-1.5] * 200, [])

    def found(score: float, *differing: int) -> Answers:
        others = {index: ([8], "b", score) for index in differing}
        ids, texts, scores = zip(*(others.get(index, ([7], "a", -1.5)) for index in range(200)), strict=True)
        return Answers(list(ids), list(texts), list(scores), [])

    demand_equal("float32.tflite", sentences, expected, found(-1.500001, 3, 150))
    with pytest.raises(UserError, match="translates 3 of 200 sentences to other ids than the model"):
        demand_equal("float32.tflite", sentences, expected, found(-1.5, 3, 4, 5))
    with pytest.raises(UserError, match=r"(?s)translates 1 of 200 .*number 151:.*score -1\.500100"):
        demand_equal("float32.tflite", sentences, expected, found(-1.5001, 150))


@pytest.mark.usefixtures("clean_export")
def test_an_operator_that_is_not_built_in_fails_the_export(quick: tuple[RunDirectory, Config], monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    from pipeline.exporters import tflite

    run, config = quick
    honest = tflite.search_translations

    def with_foreign_operator(model: Any, source_ids: Any, search: Any) -> Any:
        found = honest(model, source_ids, search)
        return found._replace(scores=found.scores + tf.reduce_sum(tf.linalg.inv(tf.eye(2) + found.scores[0])))

    monkeypatch.setattr(tflite, "search_translations", with_foreign_operator)
    with pytest.raises(UserError, match=r"float32.tflite: the model cannot be expressed in TensorFlow Lite's own operators.*MatrixInverse"):
        command.run_stage(config, run)
    assert not run.export.exists()


@pytest.mark.usefixtures("clean_export")
def test_weights_of_another_model_fail_the_export(quick: tuple[RunDirectory, Config]) -> None:
    run, config = quick
    other = config.model_copy(update={"model": config.model.model_copy(update={"embedding_size": 32})})
    with pytest.raises(UserError, match=r"best.weights.h5: does not fit"):
        command.run_stage(other, run)


@pytest.mark.usefixtures("clean_export")
def test_an_export_without_the_page_does_not_lose_one(
    quick: tuple[RunDirectory, Config], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from pipeline.exporters import web_page

    run, config = quick
    written: list[Path] = []

    def write_page(phone: Path, folder: Path) -> None:
        assert (phone / "int8.tflite").is_file()
        folder.mkdir()
        written.append(folder)

    def refuse(config: Config) -> None:
        raise UserError("export.web: needs npm once.")

    monkeypatch.setattr(web_page, "write_page", write_page)
    monkeypatch.setattr(web_page, "check_page", lambda config: None)
    command.run_stage(config, run)
    assert not written and not run.web.exists()
    assert "note: BLEU of tflite/int8 not checked against export.max_bleu_loss" in capsys.readouterr().err
    run.web.mkdir()
    command.run_stage(config, run)
    assert len(written) == 1 and run.web.is_dir()

    monkeypatch.setattr(web_page, "check_page", refuse)
    capsys.readouterr()
    command.run_stage(config, run)
    assert not run.web.exists()
    told = capsys.readouterr().err
    assert f"note: {run.web} was removed" in told and "export.web: needs npm once." in told
    assert f"python -m pipeline.export --run {run.root} --web" in told


def test_nothing_to_export(quick: tuple[RunDirectory, Config]) -> None:
    run, config = quick
    nothing = config.model_copy(update={"export": config.export.model_copy(update={"tflite": [], "saved_model": False})})
    with pytest.raises(UserError, match="there is nothing to export"):
        command.run_stage(nothing, run)


def test_another_backend_is_told_how(quick: tuple[RunDirectory, Config], monkeypatch: pytest.MonkeyPatch) -> None:
    import keras

    run, config = quick
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UserError, match=r"runs on jax.*KERAS_BACKEND=tensorflow python -m pipeline.export"):
        command.run_stage(config, run)


def test_a_run_that_is_not_trained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = RunDirectory(tmp_path / "toy")
    run.store_config(parse_config("name: toy\n", "test"))
    assert command.main(["--run", str(run.root)]) == 2
    assert "the stage 'prepare' is not done yet" in capsys.readouterr().err


def test_sentences_that_fit_are_chosen(quick: tuple[RunDirectory, Config]) -> None:
    from pipeline.exporters.sentences import choose_sentences

    run, config = quick
    short = config.model_copy(update={"model": config.model.model_copy(update={"max_tokens": 4})})
    tokenizer = Tokenizer.load(run.tokenizer)
    chosen = choose_sentences(run, short, tokenizer)
    assert chosen.split == "test"
    assert 1 <= len(chosen.texts) == len(chosen.references) <= 3
    assert all(1 <= len(ids) <= 4 for ids in chosen.source_ids)
