"""The command line that all stages share: options, errors without tracebacks, progress on stderr."""

from __future__ import annotations

import argparse
import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

from pipeline.configuration import Config, load_config
from pipeline.runtime.errors import UserError
from pipeline.support.run_directory import RunDirectory

INTERRUPTED = 130

_THE_MACHINE_S = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EDQUOT,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
    errno.EMFILE,
    errno.EIO,
}
"""Errors that say something about the machine or the user's paths, not about this program."""


def guarded(command: Callable[[], int], goes_on: bool = False) -> int:
    """Runs `command`; user errors, and those of disks and permissions, become one message on stderr and exit status 2, Ctrl-C 130.

    Args:
        command: returns its exit status.
        goes_on: whether, interrupted, the same command goes on from what was finished.
    """
    try:
        return command()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; the same command goes on from what was finished." if goes_on else "interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output has gone (`| head`): not an error of ours; keep the interpreter from flushing into it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno not in _THE_MACHINE_S:
            raise
        print(f"error: {f'{error.filename}: ' if error.filename else ''}{error.strerror}.", file=sys.stderr)
        return 2


def add_config_arguments(parser: argparse.ArgumentParser) -> None:
    """CONFIG, --set and --artifacts, for the commands that begin or continue a run from a config file."""
    parser.add_argument("config", metavar="CONFIG", help="config file, such as configs/quickstart.yaml")
    add_set_argument(parser)
    parser.add_argument("--artifacts", type=Path, default=Path("artifacts"), help="folder of the runs (default: artifacts)")


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """--run and --set, for the commands that use a finished run."""
    parser.add_argument("--run", required=True, metavar="RUN", help="folder of a run, such as artifacts/quickstart")
    add_set_argument(parser)


def add_set_argument(parser: argparse.ArgumentParser) -> None:
    """--set section.key=value, as often as needed."""
    parser.add_argument(
        "--set", dest="overrides", action="append", default=[], metavar="SECTION.KEY=VALUE", help="change one value of the config"
    )


def add_ensemble_argument(parser: argparse.ArgumentParser, note: str) -> None:
    """--ensemble RUN ...; `note` says what is particular to the command."""
    about = f"further runs that translate together with --run: their probabilities are averaged{note}"
    parser.add_argument("--ensemble", nargs="+", action="extend", default=[], metavar="RUN", help=about)


def add_engine_argument(parser: argparse.ArgumentParser) -> None:
    """--engine."""
    about = "litert: translate with the run's exported .tflite file"
    parser.add_argument("--engine", choices=["keras", "litert"], help=about)


def config_and_run(options: argparse.Namespace) -> tuple[Config, RunDirectory]:
    """What the options of `add_config_arguments` or `add_run_arguments` name."""
    if getattr(options, "run", None) is not None:
        run = RunDirectory.existing(options.run)
        return run.load_config(options.overrides), run
    config = load_config(options.config, options.overrides)
    return config, RunDirectory.of(config, options.artifacts)


def positive(text: str) -> int:
    """A number from 1 on, as the value of an option."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 1 on, received {text!r}")
    return int(text)


def say(message: str) -> None:
    """A line for the person at the terminal, on stderr: stdout is for results."""
    print(message, file=sys.stderr, flush=True)
