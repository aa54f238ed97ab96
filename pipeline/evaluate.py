"""Scores a run's translations, or any file pair: python -m pipeline.evaluate --run RUN"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.configuration import Config
from pipeline.support.console import add_ensemble_argument, add_set_argument, config_and_run, guarded, say
from pipeline.support.errors import UserError
from pipeline.support.files import read_json, sha256, write_json
from pipeline.support.run_directory import SPLITS, RunDirectory
from pipeline.support.stages import perform

if TYPE_CHECKING:
    from pipeline.decoding.evaluation import Evaluated
    from pipeline.decoding.scoring import Scores


def run_stage(config: Config, run: RunDirectory) -> None:
    """Translates and scores the splits of config.evaluation; writes evaluation.json and hypotheses/<split>.tsv; prints both in short.

    Raises:
        UserError: the run is not trained yet, or a split is empty; or config.evaluation.tokenized_bleu wants a package that is missing.
    """
    from pipeline.data.subwords import Tokenizer
    from pipeline.decoding.evaluation import SCHEMA_VERSION, write_hypotheses

    results = evaluate_splits(config, run)
    made_with = {
        "decoding": config.decoding.model_dump(),
        "weights": sha256(run.best_weights),
        "tokenizer": Tokenizer.load(run.tokenizer).fingerprint,
    }
    written = _still_true(run, made_with, SCHEMA_VERSION)
    for split, result in results.items():
        path = run.hypotheses / f"{split}.tsv"
        write_hypotheses(path, result)
        written[split] = describe(result) | made_with | {"hypotheses": path.relative_to(run.root).as_posix()}
    languages = {"source_language": config.data.source_language, "target_language": config.data.target_language}
    write_json(run.evaluation, {"schema_version": SCHEMA_VERSION, **languages, "splits": written})
    show(results, config)
    say(f"hypotheses in {run.hypotheses}")


def evaluate_splits(config: Config, run: RunDirectory, *others: RunDirectory) -> dict[str, Evaluated]:
    """Translates the splits of config.evaluation, with `others` as an ensemble, and scores them.

    Raises:
        UserError: see `run_stage`; or the runs do not go together.
    """
    from pipeline.data.corpus import load_split
    from pipeline.decoding.evaluation import evaluate
    from pipeline.decoding.scoring import check_sacremoses
    from pipeline.decoding.text_stream import TextTranslator

    if config.evaluation.tokenized_bleu:
        check_sacremoses()
    tables = {str(split): load_split(run, split) for split in config.evaluation.splits}
    for split, table in tables.items():
        if not len(table):
            raise UserError(f"{run.split(split)}: the split has no sentences to evaluate. Raise data.{split}, or leave it out.")
    translator = TextTranslator.load(run, config, *others)
    return {
        split: evaluate(
            translator,
            list(table["source"]),
            list(table["target"]),
            list(table["tag"]),
            language=config.data.target_language,
            tokenized=config.evaluation.tokenized_bleu,
            batch_sentences=config.decoding.batch_sentences,
            label=f"translating {split}",
        )
        for split, table in tables.items()
    }


def show(results: dict[str, Evaluated], config: Config) -> None:
    """Prints the scores of each split, or other text, by name; then, of each, the breakdowns and some translations."""
    from pipeline.decoding.evaluation import length_table, sample_lines

    print("\n".join(score_table({name: result.scores for name, result in results.items()})))
    for name, result in results.items():
        speed = f", {len(result.sources) / result.seconds:,.0f} sentences/s" if result.seconds > 0 else ""
        print(f"\n{name}: {result.seconds:.1f} s{speed}, beam {config.decoding.beam_size}")
        for tag, (sentences, bleu) in result.bleu_by_tag.items():
            print(f"  BLEU {bleu:5.2f} on {sentences:,} sentences of {tag or 'no tag'}")
        print("\n".join(f"  {line}" for line in length_table(result)))
        if result.segmented:
            print(f"  {result.segmented:,} sentences of more than {config.model.max_tokens} pieces were translated in segments")
        if config.evaluation.samples:
            languages = (config.data.source_language, config.data.target_language)
            print("\n" + "\n".join(sample_lines(result, config.evaluation.samples, languages)).rstrip())


def describe(result: Evaluated) -> dict[str, Any]:
    """The numbers of one split for evaluation.json (its schema: pipeline/decoding/evaluation.py)."""

    def parts(found: dict[str, tuple[int, float]]) -> dict[str, dict[str, float]]:
        return {name: {"sentences": sentences, "bleu": round(bleu, 4)} for name, (sentences, bleu) in found.items()}

    return {
        **result.scores.as_dict(),
        "bleu_by_tag": parts(result.bleu_by_tag),
        "bleu_by_length": parts(result.bleu_by_length),
        "segmented": result.segmented,
        "seconds": round(result.seconds, 3),
        "sentences_per_second": round(len(result.sources) / max(result.seconds, 1e-9), 1),
    }


def score_table(scores: dict[str, Scores]) -> list[str]:
    """Scores by name, and below them the signatures that say how they were computed."""
    first = next(iter(scores.values()))
    tokenized = first.tokenized_bleu is not None
    lines = [f"{'':12} {'sentences':>9} {'BLEU':>7} {'chrF':>7} {'TER':>7} {'length':>7}{' BLEU tok' if tokenized else ''}"]
    for name, row in scores.items():
        last = f" {row.tokenized_bleu:>8.2f}" if tokenized else ""
        lines.append(f"{name:12} {row.sentences:>9,} {row.bleu:>7.2f} {row.chrf:>7.2f} {row.ter:>7.2f} {row.length_ratio:>7.3f}{last}")
    lines += ["", f"BLEU  {first.bleu_signature}", f"chrF  {first.chrf_signature}", f"TER   {first.ter_signature}"]
    return [*lines, f"BLEU tok  {first.tokenized_bleu_signature}"] if tokenized else lines


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.evaluate",
        description="Score translations with sacreBLEU: of a run's splits, of a file that the run translates (--source, --references), "
        "or of finished translations (--hypotheses, --references).",
    )
    parser.add_argument("--run", metavar="RUN", help="folder of a run, such as artifacts/quickstart")
    add_set_argument(parser)
    add_ensemble_argument(parser, "; the scores are shown, not stored")
    parser.add_argument(
        "--tokenized-bleu",
        action="store_true",
        help="also BLEU of lower-cased, Moses-tokenised text; the same as --set evaluation.tokenized_bleu=true",
    )
    parser.add_argument("--split", action="append", choices=SPLITS, help="a split of the run, as often as needed (default: the config's)")
    parser.add_argument("--source", type=Path, metavar="FILE", help="text for the run to translate, a sentence a line")
    parser.add_argument("--hypotheses", type=Path, metavar="FILE", help="finished translations, a sentence a line")
    parser.add_argument("--references", type=Path, metavar="FILE", help="the right translations, line by line")
    parser.add_argument(
        "--language", default="", metavar="CODE", help="target language of --hypotheses, for BLEU's tokenisation (default: that of --run)"
    )
    options = parser.parse_args(arguments)
    if (options.source is None and options.hypotheses is None) != (options.references is None):
        parser.error("--references goes with --source or --hypotheses")
    if options.source is not None and options.hypotheses is not None:
        parser.error("--source and --hypotheses exclude each other: the first is translated, the second already is")
    if options.references is not None and options.split:
        parser.error("--split and --references exclude each other")
    if options.hypotheses is None and options.run is None:
        parser.error("expected --run RUN, or --hypotheses FILE --references FILE")
    if options.ensemble and options.hypotheses is not None:
        parser.error("--ensemble and --hypotheses exclude each other: finished translations need no runs")
    if options.tokenized_bleu:
        options.overrides.append("evaluation.tokenized_bleu=true")
    if options.split:
        options.overrides.append(f"evaluation.splits=[{', '.join(dict.fromkeys(options.split))}]")

    def command() -> int:
        if options.hypotheses is not None:
            # Without its language, Japanese would be scored by words between spaces.
            language = options.language or (config_and_run(options)[0].data.target_language if options.run else "")
            _score_files(options.hypotheses, options.references, language, options.tokenized_bleu)
            return 0
        config, run = config_and_run(options)
        others = [RunDirectory.existing(other) for other in options.ensemble]
        if options.source is not None:
            _translate_and_score(config, run, others, options.source, options.references)
        elif others:
            show(evaluate_splits(config, run, *others), config)
        else:
            perform("evaluate", config, run, store_config=False)
        return 0

    return guarded(command)


def _score_files(hypotheses: Path, references: Path, language: str, tokenized: bool) -> None:
    from pipeline.decoding.scoring import score

    texts = _read_pair(hypotheses, references)
    print("\n".join(score_table({hypotheses.name[:12]: score(*texts, language, tokenized=tokenized)})))


def _translate_and_score(config: Config, run: RunDirectory, others: list[RunDirectory], source: Path, references: Path) -> None:
    sources, expected = _read_pair(source, references)
    from pipeline.decoding.evaluation import evaluate
    from pipeline.decoding.text_stream import TextTranslator

    result = evaluate(
        TextTranslator.load(run, config, *others),
        sources,
        expected,
        language=config.data.target_language,
        tokenized=config.evaluation.tokenized_bleu,
        batch_sentences=config.decoding.batch_sentences,
    )
    show({source.name[:12]: result}, config)


def _read_pair(first: Path, second: Path) -> tuple[list[str], list[str]]:
    from pipeline.data.sources.lines import read_lines

    remedy = "Convert the file: iconv -t UTF-8."
    pair = list(read_lines(first, remedy=remedy)), list(read_lines(second, remedy=remedy))
    if len(pair[0]) != len(pair[1]):
        raise UserError(f"{first} has {len(pair[0]):,} lines, but {second} has {len(pair[1]):,}: they must match line by line.")
    if not pair[0]:
        raise UserError(f"{first}: is empty; there is nothing to score.")
    return pair


def _still_true(run: RunDirectory, made_with: dict[str, Any], schema_version: int) -> dict[str, Any]:
    """Earlier results of other splits, as far as they come from the same weights, tokenizer and search."""
    if not run.evaluation.is_file():
        return {}
    before = read_json(run.evaluation)
    if before.get("schema_version") != schema_version:
        return {}
    return {split: row for split, row in before.get("splits", {}).items() if made_with.items() <= row.items()}


if __name__ == "__main__":
    raise SystemExit(main())
