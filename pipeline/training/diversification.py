"""Data diversification (Nguyen et al., 2020): a model learns also from what two helpers make of its own corpus.

One helper translates as the model will, one translates back. The sources with the first one's translations, and the second one's
translations with the targets, are new pairs: other wordings of what the corpus says, some of them plainer, all of them in the words of
the corpus. On small corpora that is worth more than any regularisation we have tried.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.configuration import Config
from pipeline.configuration.schema import Decoding
from pipeline.data.progress import Progress
from pipeline.data.splits import split_key
from pipeline.data.subwords import DETAILS, Tokenizer
from pipeline.data.tables import SCHEMA, TableWriter, load_split, load_table
from pipeline.scoring.metrics import sentence_scores
from pipeline.support.console import say
from pipeline.support.files import copy_folder, read_json, remove, replacing, write_json
from pipeline.support.run_directory import RunDirectory

if TYPE_CHECKING:
    from datasets import Dataset

    from pipeline.decoding.text_stream import TextTranslator
    from pipeline.model.seq2seq import Seq2Seq

FORWARD, BACKWARD = "forward", "backward"
HELPERS = (FORWARD, BACKWARD)
SYNTHETIC = {FORWARD: "synthetic-target", BACKWARD: "synthetic-source"}
"""Tags of the new pairs, by helper."""

Pair = tuple[str, str, str, float]
"""Source, target, tag, weight."""

_MADE_FROM = "made_from.json"
_TRANSLATIONS = "translations"
_AT_ONCE = 2048
_VALIDATIONS = 3


def config_of(config: Config, helper: str) -> Config:
    """The config of a helper: that of the model, with a shorter training, and with the languages exchanged for the one that goes back."""
    settings = config.training.diversify
    assert settings is not None
    dropout = config.model.dropout if settings.dropout is None else settings.dropout
    source, target = config.data.source_language, config.data.target_language
    languages = (source, target) if helper == FORWARD else (target, source)
    return config.model_copy(
        update={
            "name": f"{config.name}-{helper}",
            "data": config.data.model_copy(update=dict(zip(("source_language", "target_language"), languages, strict=True))),
            "model": config.model.model_copy(update={"dropout": dropout}),
            "training": config.training.model_copy(
                update={
                    "minutes": settings.minutes,
                    "epochs": settings.epochs,
                    "validations": _VALIDATIONS,
                    "patience": None,
                    "tensorboard": False,
                    "consistency": 0.0,
                    "diversify": None,
                }
            ),
            # Not the run's own search: another one for a finished run would make other pairs, and want another training.
            "decoding": Decoding(
                beam_size=settings.beam_size,
                best=settings.beam_size if settings.nearest else 1,
                max_tokens=config.decoding.max_tokens,
                max_length_ratio=config.decoding.max_length_ratio,
            ),
        }
    )


def prepare_helper(run: RunDirectory, helper: RunDirectory, made_from: dict[str, Any], forward: bool) -> None:
    """Gives a helper its corpus and tokenizer: the run's own, sides exchanged for the one that goes back.

    Args:
        run: the run that it helps.
        helper: its folder; what is there of another `made_from` is removed.
        made_from: all that it depends on.
        forward: translates as the run will.
    """
    described = helper.root / _MADE_FROM
    if described.is_file():
        if read_json(described) == made_from:
            return
        say(f"{helper.root}: its settings or data have changed; it begins anew")
    remove(helper.root)
    for split in ("train", "validation"):
        if forward:
            copy_folder(run.split(split), helper.split(split))
        else:
            table = load_split(run, split)
            with TableWriter(helper.split(split)) as writer:
                for rows in table.iter(batch_size=10_000):
                    writer.write(pa.record_batch([rows["target"], rows["source"], rows["tag"], rows["weight"]], schema=SCHEMA))
    copy_folder(run.tokenizer, helper.tokenizer)
    if not forward:
        details = read_json(helper.tokenizer / DETAILS)
        details["source"], details["target"] = details["target"], details["source"]
        write_json(helper.tokenizer / DETAILS, details)
    write_json(described, made_from)


def translations_of(config: Config, helper: RunDirectory, label: str, nearest: int = 0) -> Dataset:
    """The training split's sources with a helper's translations of them, as a table; made now if it is not there yet.

    Matrix products are as precise as in training. A translation that did not end by itself is left out.

    Args:
        config: of the helper; with `nearest`, its search gives all of the beam.
        helper: its folder.
        label: of the work, on the screen.
        nearest: as many of the beam, see `nearest_to`, each with that part of the source's weight; 0 = the likeliest one.
    """
    from pipeline.decoding.text_stream import TextTranslator
    from pipeline.training.precision import resolve_precision

    folder, described = helper.root / _TRANSLATIONS, helper.root / f"{_TRANSLATIONS}.json"
    made_with = {
        "decoding": config.decoding.model_dump(mode="json"),
        "cleaning": config.data.cleaning.model_dump(mode="json"),
        "nearest": nearest,
    }
    if folder.is_dir() and described.is_file() and read_json(described) == made_with:
        return load_table(folder)
    remove(described)
    update = {"engine": "keras", "precision": resolve_precision(config.training.precision)}
    translator = TextTranslator.load(helper, config.model_copy(update={"decoding": config.decoding.model_copy(update=update)}))
    with replacing(folder) as temporary:
        write_pairs(_translated(translator, load_split(helper, "train"), label, nearest), temporary)
    write_json(described, made_with)
    return load_table(folder)


def _translated(translator: TextTranslator, table: Dataset, label: str, nearest: int) -> Iterator[Pair]:
    """What `translations_of` writes."""
    with Progress(label, "sentences") as progress:
        for rows in table.iter(batch_size=_AT_ONCE):
            cut = set[int]()
            found = translator.alternatives(rows["source"], on_cut_line=cut.add)
            columns = (rows[name] for name in ("source", "target", "tag", "weight"))
            for number, (lines, source, target, tag, weight) in enumerate(zip(found, *columns, strict=True)):
                texts = [] if number in cut else [line.text for line in lines]
                if nearest:
                    texts, weight = nearest_to(target, texts, nearest), weight / nearest
                for text in texts:
                    yield source, text, tag, weight
            progress.advance(len(rows["source"]))


def nearest_to(reference: str, translations: Sequence[str], number: int) -> list[str]:
    """Those with the best chrF++ against a reference, the best first: what a helper says in its own way, and least of its mistakes.

    Kim and Rush (2016, 3.3) take one, by BLEU; we take several, for they are other wordings; equal ones count once.
    """
    different = list(dict.fromkeys(text for text in translations if text))
    scores = sentence_scores(different, [reference] * len(different))
    return [different[place] for place in sorted(range(len(different)), key=lambda place: -scores[place])[:number]]


def new_pairs(train: Dataset, translations: Mapping[str, Dataset], held_out: Iterable[str], share: float = 1.0) -> Iterator[Pair]:
    """The pairs that the helpers have made: source, target, tag, weight, which is `share` of that of the translations.

    None that is there already, none with an empty side, and none whose source is, in all that `split_key` looks at, one of `held_out`,
    the sources of the validation and test splits: a helper may well come upon one when it translates back.
    """
    seen = set(zip(train["source"], train["target"], strict=True))
    kept_out = {split_key(source) for source in held_out}
    for helper, table in translations.items():
        for rows in table.iter(batch_size=10_000):
            for source, target, weight in zip(rows["source"], rows["target"], rows["weight"], strict=True):
                pair = (source, target) if helper == FORWARD else (target, source)
                if all(pair) and pair not in seen and split_key(pair[0]) not in kept_out:
                    seen.add(pair)
                    yield *pair, SYNTHETIC[helper], share * weight


def write_pairs(rows: Iterator[Pair], folder: Path) -> None:
    """Writes them as a table."""
    with TableWriter(folder) as writer:
        while some := list(itertools.islice(rows, _AT_ONCE)):
            writer.write(pa.record_batch([list(column) for column in zip(*some, strict=True)], schema=SCHEMA))


def training_table(run: RunDirectory, config: Config) -> Dataset:
    """What a model learns from: the training split, and what the helpers have made of it where that is wanted."""
    from datasets import concatenate_datasets

    train = load_split(run, "train")
    if config.training.diversify is None:
        return train
    return concatenate_datasets([train, load_table(run.diversification / "train")])


def data_of(run: RunDirectory, config: Config) -> dict[str, str]:
    """Hashes of the tables that a training goes by."""
    tables = {"train": run.split("train"), "validation": run.split("validation")}
    if config.training.diversify is not None:
        tables["diversification"] = run.diversification / "train"
    return {name: load_table(folder)._fingerprint for name, folder in tables.items()}


def begin_with_helper(model: Seq2Seq, run: RunDirectory, config: Config, tokenizer: Tokenizer) -> None:
    """Gives a new model, and the average of its weights, what the helper that translates as it will has learnt.

    Raises:
        UserError: the helper is not trained, or its weights do not fit.
    """
    from pipeline.decoding.weights import load_model

    helper = load_model(RunDirectory(run.diversification / FORWARD), config_of(config, FORWARD), tokenizer)
    for weight, learnt in zip(model.trainable_variables, helper.trainable_variables, strict=True):
        weight.assign(learnt)
    model.optimizer.begin_averages(model.trainable_variables)
