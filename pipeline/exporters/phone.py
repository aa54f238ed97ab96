"""The folder for a phone: the .tflite files, the SentencePiece models and translator.json, which says how they belong together."""

from __future__ import annotations

import shutil
from pathlib import Path

import pipeline.runtime
from pipeline import __version__
from pipeline.configuration import Config
from pipeline.data.subwords import BOS, EOS, PAD, UNK, Tokenizer
from pipeline.decoding.search import Search
from pipeline.runtime.translator import DETAILS, SCHEMA_VERSION
from pipeline.support.files import sha256, write_json

RUNTIME = "pocketnmt_runtime"
"""The runtime's name where it stands alone."""


def write_phone_folder(folder: Path, models: dict[str, bytes], tokenizer: Tokenizer, search: Search, config: Config) -> None:
    """Writes what `pipeline.runtime.translator.PhoneTranslator` reads; see there for the schema of translator.json.

    Args:
        folder: is made.
        models: precision -> content of its .tflite.
        tokenizer: of the run.
        search: the settings of the search inside the models.
        config: of the run.
    """
    folder.mkdir(parents=True)
    for precision, content in models.items():
        (folder / file_of(precision)).write_bytes(content)
    subwords = {}
    for side, model in (("source", tokenizer.source), ("target", tokenizer.target)):
        name = "joint.model" if tokenizer.joint else f"{side}.model"
        (folder / name).write_bytes(model.model)
        subwords[f"{side}_subwords"] = {"file": name, "sha256": model.sha256}
    runtime = folder / "python" / RUNTIME
    runtime.mkdir(parents=True)
    for path in sorted(Path(pipeline.runtime.__file__).parent.glob("*.py")):
        (runtime / path.name).write_bytes(path.read_bytes())
    shutil.copytree(Path(__file__).parent / "apps", folder / "apps")
    write_json(
        folder / DETAILS,
        {
            "schema_version": SCHEMA_VERSION,
            "pocketnmt": __version__,
            "source_language": config.data.source_language,
            "target_language": config.data.target_language,
            "files": {name: {"file": file_of(name), "sha256": sha256(folder / file_of(name))} for name in models},
            **subwords,
            "ids": {"pad": PAD, "unk": UNK, "bos": BOS, "eos": EOS},
            "max_source_tokens": config.model.max_tokens,
            "max_target_tokens": search.max_tokens,
            "search": search.described(),
            "cleaning": {"normalize": config.data.cleaning.normalize, "control_characters": config.data.cleaning.control_characters},
            "slots": tokenizer.slots.described() | {"unknown": config.decoding.unknown},
        },
    )


def file_of(precision: str) -> str:
    """Name of the .tflite file of a precision."""
    return f"{precision}.tflite"
