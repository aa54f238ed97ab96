"""A run is one folder, complete in itself; this file says what is where in it."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.configuration import Config, dump_config, load_config
from pipeline.runtime.errors import UserError
from pipeline.support.files import copy_folder, write_text

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class RunDirectory:
    """The folder of one run, `artifacts/<name>/`."""

    root: Path

    @classmethod
    def of(cls, config: Config, artifacts: Path = Path("artifacts")) -> RunDirectory:
        """The folder of the run that `config` describes (it need not exist yet)."""
        return cls(artifacts / config.name)

    @classmethod
    def existing(cls, root: str | Path) -> RunDirectory:
        """The folder of a run that was begun before.

        Raises:
            UserError: there is none at `root`.
        """
        run = cls(Path(root))
        if not run.config.is_file():
            raise UserError(f"{root}: is not a run (it has no config.yaml). Start one: python -m pipeline.run CONFIG")
        return run

    def load_config(self, overrides: tuple[str, ...] | list[str] = ()) -> Config:
        """The resolved config stored with the run, with `overrides` ("section.key=value") applied."""
        return load_config(self.config, overrides)

    def store_config(self, config: Config) -> None:
        """Stores the resolved config with the run."""
        write_text(self.config, dump_config(config))

    def set_aside(self) -> Path:
        """Moves an earlier training, and a copy of its tokenizer, to previous/<number>/, a run by itself; gives back that folder."""
        number = next(number for number in itertools.count(1) if not (self.root / "previous" / str(number)).exists())
        previous = RunDirectory(self.root / "previous" / str(number))
        copy_folder(self.tokenizer, previous.tokenizer)
        for path in (self.checkpoints, self.history, self.tensorboard):
            if path.exists():
                path.rename(previous.root / path.name)
        if self.config.exists():
            shutil.copy2(self.config, previous.config)
        return previous.root

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps the run to this process while one of its stages is done; the lock ends with the process, however that ends.

        Raises:
            UserError: another process is at work in the folder.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise UserError(
                    f"{self.root}: another process is working on this run. Wait for it, or give this config another name."
                ) from None
            yield

    @property
    def config(self) -> Path:
        """The resolved config."""
        return self.root / "config.yaml"

    @property
    def stages(self) -> Path:
        """What each finished stage was made from (pipeline/support/stages.py)."""
        return self.root / "stages.json"

    @property
    def data(self) -> Path:
        """Arrow tables: data/<split>/, and data/report.json."""
        return self.root / "data"

    def split(self, name: str) -> Path:
        """The Arrow table of a split, columns source, target, tag, weight (`datasets.load_from_disk`)."""
        return self.data / name

    @property
    def prepare_report(self) -> Path:
        """What was read, dropped and kept (schema: pipeline/data/report.py)."""
        return self.data / "report.json"

    @property
    def diversification(self) -> Path:
        """The helpers of stage diversify, and in `train` the table of what they have made."""
        return self.root / "diversification"

    @property
    def tokenizer(self) -> Path:
        """tokenizer/{joint | source, target}.model and tokenizer/tokenizer.json."""
        return self.root / "tokenizer"

    @property
    def lexicon(self) -> Path:
        """Which pieces translate which, of a search with a shortlist."""
        return self.root / "lexicon.npz"

    @property
    def checkpoints(self) -> Path:
        """The best weights, and what a killed training goes on from."""
        return self.root / "checkpoints"

    @property
    def best_weights(self) -> Path:
        """The weights that translate: those of the best validation."""
        return self.checkpoints / "best.weights.h5"

    @property
    def tensorboard(self) -> Path:
        """Event files of the training."""
        return self.root / "tensorboard"

    @property
    def history(self) -> Path:
        """A row a validation (columns: pipeline/support/history.py)."""
        return self.root / "history.csv"

    @property
    def evaluation(self) -> Path:
        """Scores (schema: pipeline/decoding/evaluation.py)."""
        return self.root / "evaluation.json"

    @property
    def hypotheses(self) -> Path:
        """<split>.tsv: source, hypothesis, reference, tag."""
        return self.root / "hypotheses"

    @property
    def export(self) -> Path:
        """Everything exported."""
        return self.root / "export"

    @property
    def saved_model(self) -> Path:
        """For a server."""
        return self.export / "saved_model"

    @property
    def tflite(self) -> Path:
        """For a phone."""
        return self.export / "tflite"

    @property
    def web(self) -> Path:
        """The page for browsers."""
        return self.export / "web"

    @property
    def export_report(self) -> Path:
        """Sizes and checks of what was exported."""
        return self.export / "report.json"
