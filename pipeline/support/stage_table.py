"""The stages of a run, in their order, and what each is made from."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.configuration import Config
from pipeline.support.run_directory import SPLITS


@dataclass(frozen=True)
class Stage:
    """One stage: the function `run_stage(config, run)` of the module `pipeline.<name>`.

    Attributes:
        keys: sections and single keys of the config that it reads.
        keys_left_out: keys of those sections that have no part in what it makes.
        needs: the stages whose files it reads.
        files: globs, in the run's folder, of what it makes.
        result: globs of those files that later stages read.
        code_left_out: rooms whose code has no part in what it makes.
    """

    name: str
    keys: tuple[str, ...]
    needs: tuple[str, ...]
    files: tuple[str, ...]
    result: tuple[str, ...] = ()
    code_left_out: tuple[str, ...] = ("configuration", "support")
    keys_left_out: tuple[str, ...] = ()


LANGUAGES = ("data.source_language", "data.target_language")
# What decides how a finished run treats a text that comes in.
TRANSLATING = (*LANGUAGES, "data.cleaning", "tokenizer", "model", "decoding")

# What the helpers of `diversify` do not take from the training that they are for.
FOR_THE_LAST_MODEL = ("training.minutes", "training.epochs", "training.validations", "training.patience", "training.tensorboard")

STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "prepare",
            keys=("data",),
            needs=(),
            files=("data/*/*.arrow", "data/*/*.json", "data/report.json"),
            result=("data/*/*.arrow",),
        ),
        Stage(
            "tokenize",
            keys=(*LANGUAGES, "tokenizer", "model.max_tokens"),
            needs=("prepare",),
            files=("tokenizer/*",),
            result=("tokenizer/*.model", "tokenizer/tokenizer.json"),
        ),
        Stage(
            "diversify",
            keys=(*LANGUAGES, "data.cleaning", "tokenizer", "model", "training"),
            keys_left_out=("training.save_minutes", "training.tensorboard", *FOR_THE_LAST_MODEL),
            needs=("prepare", "tokenize"),
            files=("diversification/train/*", "diversification/forward/checkpoints/best.weights.h5"),
            # Whose weights the last training may begin with.
            result=("diversification/train/*.arrow", "diversification/forward/checkpoints/best.weights.h5"),
            code_left_out=("configuration", "support", "inspect"),  # its helpers are watched, too
        ),
        Stage(
            "train",
            keys=("tokenizer", "model", "training"),
            keys_left_out=("training.save_minutes", "training.tensorboard"),
            needs=("prepare", "tokenize", "diversify"),
            files=("checkpoints/best.weights.h5", "history.csv"),
            result=("checkpoints/best.weights.h5",),
            # Training decodes to see which weights are best, by a search of its own, and draws to be watched: a better search or picture
            # is no reason to train again.
            code_left_out=("configuration", "support", "decoding", "scoring", "inspect"),
        ),
        Stage(
            "evaluate",
            keys=(*TRANSLATING, "evaluation"),
            needs=("prepare", "tokenize", "train"),
            # Pages of comparisons lie there, too, and are no result of the stage.
            files=("evaluation.json", *(f"hypotheses/{split}.{ending}" for split in SPLITS for ending in ("tsv", "html"))),
        ),
        Stage(
            "export",
            keys=(*TRANSLATING, "export"),
            needs=("prepare", "tokenize", "train"),
            files=("export/**/*",),
        ),
    )
}


def stages_of(config: Config) -> list[str]:
    """The stages that a config asks for, in their order."""
    return [name for name in STAGES if name != "diversify" or config.training.diversify is not None]
