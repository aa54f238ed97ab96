"""The .tflite with text in and text out, in an interpreter that has TensorFlow Text's operators."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_export import SETTINGS, random_run

from pipeline import export as command
from pipeline.configuration import parse_config
from pipeline.data.corpus import load_split
from pipeline.decoding.translator import Translator
from pipeline.runtime.errors import UserError
from pipeline.support.files import read_json

pytestmark = pytest.mark.filterwarnings("default")  # TensorFlow's own


def test_it_translates_as_the_model_does(tmp_path: Path) -> None:
    from pipeline.exporters.tflite_text import TextInterpreter

    run, config = random_run(tmp_path / "toy", SETTINGS["shared"], saved_model=False, tflite=[], tflite_text=["float32", "int8"])
    command.run_stage(config, run)
    report = read_json(run.export_report)["artefacts"]
    assert set(report) == {"tflite_text/float32", "tflite_text/int8"}
    assert report["tflite_text/float32"]["equal"] == 12
    assert report["tflite_text/int8"]["bytes"] < report["tflite_text/float32"]["bytes"]
    assert {path.name for path in run.export.iterdir()} == {"tflite_text", "report.json", "report.html"}

    decoding = config.decoding.model_copy(update={"beam_size": config.export.beam_size})
    translator = Translator.load(run, config.model_copy(update={"decoding": decoding}))
    slots = translator.tokenizer.slots
    interpreter = TextInterpreter((run.export / "tflite_text" / "float32.tflite").read_bytes())
    texts = [*load_split(run, "test")["source"][:10], "kalo mi {name} ter", "kalo 🙂 mi {host} {host}", "kalo mi " * 40]
    for text, expected in zip(texts, translator.translate(texts), strict=True):
        masked = slots.mask(text)
        translation, score, complete, ids = interpreter.translate(masked.text)
        assert slots.unmask(translation, masked.kept) == expected.text
        assert ids == expected.ids
        assert complete == expected.complete
        assert score == pytest.approx(expected.score, abs=1e-4)
    assert interpreter.translate("") == ("", 0.0, True, [])


def test_a_tokenizer_that_has_no_operator_is_refused_at_load() -> None:
    with pytest.raises(UserError, match="tflite_text needs a unigram tokenizer"):
        parse_config("name: toy\ntokenizer: {type: bpe}\nexport: {tflite_text: [int8]}", "test")
