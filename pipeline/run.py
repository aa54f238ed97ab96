"""Does all stages of a config in order: prepare, tokenize, (diversify,) train, evaluate, export. What has not changed is skipped."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from pipeline.configuration import Config
from pipeline.runtime.errors import UserError
from pipeline.support.console import add_config_arguments, config_and_run, guarded, say
from pipeline.support.run_directory import RunDirectory
from pipeline.support.stage_table import STAGES, stages_of
from pipeline.support.stages import changes, check_ahead, load_records, perform, tidy_up


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the stages of a config file."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.run", description=__doc__)
    add_config_arguments(parser)
    parser.add_argument(
        "--from", dest="first", metavar="STAGE", choices=STAGES, help=f"do this stage and the later ones again: {', '.join(STAGES)}"
    )
    parser.add_argument("--until", dest="last", metavar="STAGE", choices=STAGES, help="stop after this stage")
    options = parser.parse_args(arguments)

    def command() -> int:
        config, run = config_and_run(options)
        done = run_stages(config, run, options.first, options.last)
        print(summary(config, run, done))
        return 0

    return guarded(command, goes_on=True)


def run_stages(config: Config, run: RunDirectory, first: str | None = None, last: str | None = None) -> set[str]:
    """Does every stage that has changed, and `first` with all after it, up to `last`; gives back the names of those that it did.

    Raises:
        UserError: the config does not ask for one of these stages, or what `check_ahead` or `perform` raises.
    """
    done: set[str] = set()
    stages = stages_of(config)
    for option, stage in (("--from", first), ("--until", last)):
        if stage is not None and stage not in stages:
            raise UserError(f"{option} {stage}: this config does not ask for that stage; its stages are {', '.join(stages)}.")
    if last is not None:
        stages = stages[: stages.index(last) + 1]
    if first is not None and first not in stages:
        raise UserError(f"--from {first} comes after --until {last}: there would be nothing to do.")
    forced = False
    for number, name in enumerate(stages, start=1):
        forced = forced or name == first
        reason = "as asked" if forced else changes(name, config, run)
        heading = f"[{number}/{len(stages)}] {name}"
        if reason is None:
            say(f"{heading}: skipped, nothing has changed")
            tidy_up(name, config, run)
            continue
        if not done or done == {"prepare"}:
            check_ahead(config, run, stages[number - 1 :])
        say(f"{heading} ({reason})")
        perform(name, config, run)
        done.add(name)
    if "train" in stages or not run.checkpoints.exists():  # a training that was left alone needs its own config
        run.store_config(config)  # also where it changed in what no stage depends on
    return done


def summary(config: Config, run: RunDirectory, done: set[str]) -> str:
    """What the run has made and where, how long each stage took, and how to translate with it."""
    lines = ["", f"{'stage':10}  {'time':>12}"]
    records = load_records(run)
    for name in filter(records.__contains__, stages_of(config)):
        lines.append(f"{name:10}  {duration(records[name]['seconds']):>12}{'' if name in done else '  (earlier)'}")
    made = {
        "scores": run.evaluation,
        "hypotheses": run.hypotheses,
        "SavedModel": run.saved_model,
        "TFLite": run.tflite,
        "export report": run.export_report,
    }
    if there := [f"  {what:14} {path}" for what, path in made.items() if path.exists()]:
        lines += ["", f"The run {run.root} has:", *there]
    if run.best_weights.exists():
        translate = f"python -m pipeline.translate --run {run.root}"
        english = config.data.source_language == "en"
        lines += ["", "Translate with it:", f'  echo "Turn off the lights." | {translate}' if english else f"  {translate} FILE"]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds as a person reads them: 4.2 s, 3 min 05 s, 1 h 02 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


if __name__ == "__main__":
    sys.exit(main())
