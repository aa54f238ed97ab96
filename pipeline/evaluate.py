"""Scores a run's translations, or any file pair: python -m pipeline.evaluate --run RUN"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.configuration import Config
from pipeline.support.console import add_set_argument, config_and_run, guarded
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
        UserError: the run is not trained yet, or a split is empty.
    """
    from pipeline.data.corpus import load_split
    from pipeline.data.subwords import Tokenizer
    from pipeline.decoding.evaluation import SCHEMA_VERSION, evaluate, sample_lines, write_hypotheses
    from pipeline.decoding.text_stream import TextTranslator

    languages = (config.data.source_language, config.data.target_language)
    tables = {str(split): load_split(run, split) for split in config.evaluation.splits}
    for split, table in tables.items():
        if not len(table):
            raise UserError(f"{run.split(split)}: the split has no sentences to evaluate. Raise data.{split}, or leave it out.")
    translator = TextTranslator.load(run, config)
    made_with = {
        "decoding": config.decoding.model_dump(),
        "weights": sha256(run.best_weights),
        "tokenizer": Tokenizer.load(run.tokenizer).fingerprint,
    }

    results: dict[str, Evaluated] = {}
    written = _still_true(run, made_with, SCHEMA_VERSION)
    for split, table in tables.items():
        result = evaluate(
            translator,
            list(table["source"]),
            list(table["target"]),
            list(table["tag"]),
            language=languages[1],
            batch_sentences=config.decoding.batch_sentences,
            label=f"translating {split}",
        )
        path = run.hypotheses / f"{split}.tsv"
        write_hypotheses(path, result)
        results[split] = result
        written[split] = describe(result) | made_with | {"hypotheses": path.relative_to(run.root).as_posix()}
    write_json(
        run.evaluation,
        {"schema_version": SCHEMA_VERSION, "source_language": languages[0], "target_language": languages[1], "splits": written},
    )

    print("\n".join(score_table({split: result.scores for split, result in results.items()})))
    for split, result in results.items():
        speed = f"{len(result.sources) / result.seconds:,.0f} sentences/s" if result.seconds > 0 else ""
        print(f"\n{split}: {result.seconds:.1f} s, {speed}, beam {config.decoding.beam_size}; hypotheses in {run.hypotheses / split}.tsv")
        for tag, (sentences, bleu) in result.bleu_by_tag.items():
            print(f"  BLEU {bleu:5.2f} on {sentences:,} sentences of {tag or 'no tag'}")
        if result.segmented:
            print(f"  {result.segmented:,} sentences of more than {translator.limit} pieces were translated in segments")
        if config.evaluation.samples:
            print("\n" + "\n".join(sample_lines(result, config.evaluation.samples, languages)).rstrip())


def describe(result: Evaluated) -> dict[str, Any]:
    """The numbers of one split for evaluation.json (its schema: pipeline/decoding/evaluation.py)."""
    return {
        **result.scores.as_dict(),
        "bleu_by_tag": {tag: {"sentences": n, "bleu": round(bleu, 4)} for tag, (n, bleu) in result.bleu_by_tag.items()},
        "segmented": result.segmented,
        "seconds": round(result.seconds, 3),
        "sentences_per_second": round(len(result.sources) / max(result.seconds, 1e-9), 1),
    }


def score_table(scores: dict[str, Scores]) -> list[str]:
    """Scores by name, and below them the signatures that say how they were computed."""
    lines = [f"{'':12} {'sentences':>9} {'BLEU':>7} {'chrF':>7} {'TER':>7} {'length':>7}"]
    for name, row in scores.items():
        lines.append(f"{name:12} {row.sentences:>9,} {row.bleu:>7.2f} {row.chrf:>7.2f} {row.ter:>7.2f} {row.length_ratio:>7.3f}")
    first = next(iter(scores.values()))
    return [*lines, "", f"BLEU  {first.bleu_signature}", f"chrF  {first.chrf_signature}", f"TER   {first.ter_signature}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.evaluate",
        description="Score translations with sacreBLEU: of a run's splits, of a file that the run translates (--source, --references), "
        "or of finished translations (--hypotheses, --references).",
    )
    parser.add_argument("--run", metavar="RUN", help="folder of a run, such as artifacts/quickstart")
    add_set_argument(parser)
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

    def command() -> int:
        if options.hypotheses is not None:
            # Without its language, Japanese would be scored by words between spaces.
            language = options.language or (config_and_run(options)[0].data.target_language if options.run else "")
            _score_files(options.hypotheses, options.references, language)
        elif options.source is not None:
            _translate_and_score(*config_and_run(options), options.source, options.references)
        else:
            config, run = config_and_run(options)
            if options.split:
                evaluation = config.evaluation.model_copy(update={"splits": list(dict.fromkeys(options.split))})
                config = config.model_copy(update={"evaluation": evaluation})
            perform("evaluate", config, run, store_config=False)
        return 0

    return guarded(command)


def _score_files(hypotheses: Path, references: Path, language: str) -> None:
    from pipeline.decoding.scoring import score

    print("\n".join(score_table({hypotheses.name[:12]: score(*_read_pair(hypotheses, references), language)})))


def _translate_and_score(config: Config, run: RunDirectory, source: Path, references: Path) -> None:
    sources, expected = _read_pair(source, references)
    from pipeline.decoding.evaluation import evaluate, sample_lines
    from pipeline.decoding.text_stream import TextTranslator

    languages = (config.data.source_language, config.data.target_language)
    translator = TextTranslator.load(run, config)
    result = evaluate(translator, sources, expected, language=languages[1], batch_sentences=config.decoding.batch_sentences)
    print("\n".join([*score_table({source.name[:12]: result.scores}), ""]))
    print("\n".join(sample_lines(result, config.evaluation.samples, languages)).rstrip())


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
