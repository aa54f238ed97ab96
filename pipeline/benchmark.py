"""Measures speed and memory on this machine: python -m pipeline.benchmark train CONFIG | translate --run RUN | prepare"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.support.console import add_config_arguments, add_run_arguments, config_and_run, guarded, positive, say
from pipeline.support.quiet import import_keras


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.benchmark", description="Measure speed and memory on this machine.")
    commands = parser.add_subparsers(dest="what", required=True)
    train = commands.add_parser("train", help="target tokens a second, beside what the machine's matrix products allow")
    add_config_arguments(train)
    train.add_argument("--updates", type=positive, default=60, help="updates a round (default: 60)")
    train.add_argument("--rounds", type=positive, default=3, help="rounds of each precision, in turns (default: 3)")
    train.add_argument("--precision", action="append", choices=["float32", "bfloat16"], help="default: both")
    translate = commands.add_parser("translate", help="sentences a second of the test split, and milliseconds of one, by each engine")
    add_run_arguments(translate)
    translate.add_argument("--beam", type=positive, action="append", help="of the model's search, as often as needed (default: 1 and 5)")
    translate.add_argument(
        "--precision",
        action="append",
        choices=["float32", "bfloat16"],
        help="of the model's products, as often as needed (default: float32, and bfloat16 where the processor multiplies it)",
    )
    translate.add_argument("--sentences", type=positive, default=1000, help="translated at once (default: the first 1000)")
    translate.add_argument("--length", type=positive, default=15, help="pieces of the sentences that are translated alone (default: 15)")
    translate.add_argument("--rounds", type=positive, default=3, help="of each engine, in turns (default: 3)")
    prepare = commands.add_parser("prepare", help="seconds and peak memory of cleaning and splitting synthetic corpora")
    prepare.add_argument(
        "--lines", type=positive, action="append", help="size of a corpus, as often as needed (default: 100000 and 2000000)"
    )
    options = parser.parse_args(arguments)
    chosen = {"train": _train, "translate": _translate, "prepare": _prepare}[options.what]
    return guarded(lambda: chosen(options))


def _train(options: argparse.Namespace) -> int:
    config, run = config_and_run(options)
    from pipeline.support.stages import require

    require(run, config, "tokenize")
    import_keras()
    from pipeline.benchmarks.training import measure

    precisions = list(dict.fromkeys(options.precision or ["float32", "bfloat16"]))
    say(f"measuring {options.rounds} rounds of {options.updates} updates in {' and '.join(precisions)} ...")
    print(f"{'precision':10} {'target tokens/s':>16} {'training GFLOP/s':>17} {'float32 product GFLOP/s':>24} {'share':>7}")
    for precision, median in measure(config, run, precisions, options.updates, options.rounds).items():
        print(
            f"{precision:10} {median.tokens_per_second:>16,.0f} {median.training_rate / 1e9:>17.1f} "
            f"{median.product_rate / 1e9:>24.1f} {median.share:>7.0%}"
        )
    return 0


def _translate(options: argparse.Namespace) -> int:
    config, run = config_and_run(options)
    import_keras()
    from pipeline.benchmarks.translating import exported_precisions, measure
    from pipeline.training.precision import resolve_precision

    precisions = list(dict.fromkeys(options.precision or ["float32", resolve_precision("auto")]))
    say(f"translating {options.sentences:,} sentences {options.rounds + 1} times with each engine, and 50 one at a time ...")
    beams = options.beam or [1, 5]
    rows = measure(config, run, beams, precisions, options.sentences, options.length, options.rounds, exported_precisions(run))
    print(f"{'engine':16} {'beam':>5} {'sentences/s':>12} {'target tokens/s':>16} {'ms a sentence':>14} {'95 % below':>11} {'BLEU':>7}")
    for one in rows:
        print(
            f"{one.engine:16} {one.beam_size:>5} {one.sentences_per_second:>12,.0f} {one.tokens_per_second:>16,.0f} "
            f"{one.milliseconds:>14.1f} {one.slowest:>11.1f} {one.bleu:>7.2f}"
        )
    return 0


def _prepare(options: argparse.Namespace) -> int:
    from pipeline.benchmarks.prepare import LINES, measure

    print(f"{'lines':>12} {'seconds':>9} {'peak MB':>9}")
    for one in measure(options.lines or LINES):
        print(f"{one['lines']:>12,} {one['seconds']:>9.1f} {one['peak_mb']:>9.1f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
