"""The page of a run, complete in itself; what a run has not got yet, or from earlier weights, is replaced by the command that makes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipeline import __version__
from pipeline.configuration import Config, dump_config
from pipeline.configuration.schema import Decoding
from pipeline.data.batches import encode_split
from pipeline.data.corpus import load_split
from pipeline.data.report import SCHEMA_VERSION as CORPUS_VERSION
from pipeline.data.subwords import Tokenizer
from pipeline.decoding.evaluation import SCHEMA_VERSION as EVALUATION_VERSION
from pipeline.decoding.evaluation import read_hypotheses
from pipeline.exporters.report_page import SCHEMA_VERSION as EXPORT_VERSION
from pipeline.inspect.page import typical
from pipeline.inspect.pictures import attention_picture
from pipeline.inspect.reading import Reader
from pipeline.reporting.charts import length_chart, training_curves
from pipeline.scoring.systems import sample_indices
from pipeline.support.figures import svg_of
from pipeline.support.files import read_json, sha256
from pipeline.support.history import clipped_share, read_history
from pipeline.support.pages import rendered
from pipeline.support.run_directory import RunDirectory

_TRANSLATIONS = 12
_ATTENTION = 3
_COUNTED = 50_000
"""Training sentences whose lengths are drawn, the first ones."""

_METRICS = {"bleu": "BLEU", "chrf": "chrF++", "ter": "TER", "tokenized_bleu": "BLEU tok", "comet": "COMET"}


def run_page(run: RunDirectory, config: Config) -> str:
    """The page as HTML.

    Args:
        run: trained or not.
        config: of the run.

    Raises:
        UserError: a file of the run is damaged.
    """
    weights = sha256(run.best_weights) if run.best_weights.is_file() else None
    evaluated = _read(run.evaluation, EVALUATION_VERSION).get("splits", {})
    scores = {split: result for split, result in evaluated.items() if result["weights"] == weights}
    exported = _read(run.export_report, EXPORT_VERSION)
    history = read_history(run)
    return rendered(
        "pipeline.reporting",
        "page.html.j2",
        title=config.name,
        version=__version__,
        config=config,
        changed=_changed(config),
        whole_config=dump_config(config),
        corpus=_read(run.prepare_report, CORPUS_VERSION) or None,
        lengths=_lengths(run, config),
        history=history,
        curves=Markup(training_curves(history)) if history else None,
        clipped=clipped_share(run),
        metrics=_METRICS,
        scores=scores,
        methods={split: Decoding.model_construct(**result["decoding"]).method for split, result in scores.items()},
        searched={split: _differing(result["decoding"], config) for split, result in scores.items()},
        outdated=[split for split in evaluated if split not in scores],
        translations=_translations(run, scores),
        attention=_attention(run, config),
        export=exported if exported.get("weights") == weights else None,
        export_outdated=bool(exported),
    )


def _read(path: Path, schema_version: int) -> dict[str, Any]:
    """A report of a stage; empty where there is none of this version: what another version wrote, its command writes anew."""
    found: dict[str, Any] = read_json(path) if path.is_file() else {}
    return found if found.get("schema_version") == schema_version else {}


def _differing(decoding: dict[str, Any], config: Config) -> dict[str, Any]:
    """What was searched with, where that is not the run's own setting: key -> value."""
    own = config.decoding.model_dump(mode="json")
    return {key: value for key, value in decoding.items() if own.get(key) != value and key not in ("batch_sentences", "beam_size")}


def _changed(config: Config) -> dict[str, Any]:
    """What differs from the defaults: key -> value."""

    def flat(section: dict[str, Any], whole: dict[str, Any], prefix: str = "") -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in section.items():
            if isinstance(value, dict):  # a section that is there at all, though with its own defaults, is shown whole
                found |= flat(value or whole[key], whole[key], f"{prefix}{key}.")
            else:
                found[f"{prefix}{key}"] = value
        return found

    return flat(config.model_dump(mode="json", exclude_defaults=True), config.model_dump(mode="json"))


def _lengths(run: RunDirectory, config: Config) -> Markup | None:
    if not run.tokenizer.is_dir() or not run.split("train").is_dir():
        return None
    table = load_split(run, "train")
    pairs = encode_split(table.select(range(min(len(table), _COUNTED))), Tokenizer.load(run.tokenizer))
    return Markup(length_chart(pairs.source_lengths - 1, pairs.target_lengths - 1, config.model.max_tokens))


def _translations(run: RunDirectory, scores: dict[str, Any]) -> dict[str, list[tuple[str, str, str]]]:
    """Of each split some sentences, spread evenly: source, translation, reference."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for split, result in scores.items():
        path: Path = run.root / result["hypotheses"]
        if path.is_file():
            sources, hypotheses, references, _ = read_hypotheses(path)
            rows = list(zip(sources, hypotheses, references, strict=True))
            found[split] = [rows[index] for index in sample_indices(len(rows), _TRANSLATIONS)]
    return found


def _attention(run: RunDirectory, config: Config) -> list[tuple[str, str, Markup]]:
    """Of some validation sentences: source, translation, what each piece looked at; none where there is no model, or no attention."""
    if not run.best_weights.is_file() or not run.split("validation").is_dir() or config.model.attention.kind == "none":
        return []
    reader = Reader.load(run, config)
    texts = reader.readable(load_split(run, "validation")["source"])
    readings = [reader.read(text) for text in typical(texts, _ATTENTION)]
    return [(reading.text, reading.translation, Markup(svg_of(attention_picture(reading)))) for reading in readings]
