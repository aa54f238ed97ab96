"""COMET (Rei et al., 2020) by its own command: what a neural network thinks of translations.

The package unbabel-comet needs older libraries than we do, so it lives in an environment of its own, and its model is fetched with it:

    python3 -m venv comet && comet/bin/pip install unbabel-comet
    python -m pipeline.evaluate --run RUN --set "evaluation.comet=comet/bin/comet-score --gpus 0 --model Unbabel/wmt22-comet-da"
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from pipeline.runtime.errors import UserError

_SHOWN = 600  # characters of what the command says when it fails


def check_command(command: str) -> None:
    """Makes sure that the command can be called: better before minutes of translating than after.

    Raises:
        UserError: it is no program that is there.
    """
    words = _words(command)
    if shutil.which(words[0]) is None:
        raise UserError(f"evaluation.comet: there is no program '{words[0]}'. Expected the comet-score of unbabel-comet, with its options.")


def comet_scores(
    command: str, systems: Mapping[str, Sequence[str]], sources: Sequence[str], references: Sequence[str]
) -> dict[str, list[float]]:
    """The score of each sentence of each system, times 100.

    Args:
        command: comet-score with its options, without those that name texts.
        systems: name -> its translations.
        sources, references: of the sentences.

    Raises:
        UserError: there are no sources, the command fails, or it gives back something else.
    """
    check_command(command)
    if not sources:
        raise UserError("COMET compares translations with their sources, too: give --source, or --run with --against.")
    with tempfile.TemporaryDirectory(prefix="pocketnmt-") as folder:
        files = [Path(folder) / f"{number}.txt" for number in range(len(systems) + 2)]
        for path, texts in zip(files, (sources, references, *systems.values()), strict=True):
            path.write_text("".join(f"{' '.join(text.split())}\n" for text in texts), encoding="utf-8")
        result = Path(folder) / "scores.json"
        arguments = ["-s", files[0], "-r", files[1], "-t", *files[2:], "--to_json", result, "--quiet", "--only_system"]
        done = subprocess.run([*_words(command), *map(str, arguments)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise UserError(f"evaluation.comet: the command failed with status {done.returncode}:\n{done.stderr.strip()[-_SHOWN:]}")
        try:
            rows = json.loads(result.read_text(encoding="utf-8"))
            found = {name: [100.0 * float(row["COMET"]) for row in rows[str(path)]] for name, path in zip(systems, files[2:], strict=True)}
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"evaluation.comet: the command did not write COMET's scores ({type(error).__name__}: {error}).") from None
    if any(len(scores) != len(sources) for scores in found.values()):
        raise UserError("evaluation.comet: the command scored another number of sentences than there are.")
    return found


def resampled(scores: Sequence[float], first: Sequence[float] | None, resamples: int) -> tuple[float, float | None]:
    """By bootstrap resampling of the sentences, as sacreBLEU does it for the other metrics.

    Args:
        scores: of each sentence.
        first: those of the system to compare with.
        resamples: how many.

    Returns:
        Half the width of the interval that holds 95 % of the means; the p-value of the difference to `first`, in its direction.
    """
    chosen = np.random.default_rng(12345).integers(len(scores), size=(resamples, len(scores)))
    means = np.asarray(scores)[chosen].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    if first is None:
        return float(high - low) / 2, None
    differences = np.abs((np.asarray(scores) - np.asarray(first))[chosen].mean(axis=1))
    difference = float(np.mean(scores) - np.mean(first))
    if difference == 0.0:
        return float(high - low) / 2, 1.0
    as_large = differences - differences.mean() > abs(difference)
    return float(high - low) / 2, float((as_large.sum() + 1) / (resamples + 1))


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UserError(f"evaluation.comet: {command!r} is no command: {error}.") from None
    if not words:
        raise UserError("evaluation.comet: is empty; expected a command.")
    return words
