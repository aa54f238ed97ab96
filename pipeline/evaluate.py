"""Scores a run's translations, or any files; several systems beside each other: python -m pipeline.evaluate --run RUN"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.configuration import Config
from pipeline.runtime.errors import UserError
from pipeline.scoring.options import misfit, parser
from pipeline.support.console import config_and_run, guarded, say
from pipeline.support.files import read_json, remove, sha256, write_json, write_text
from pipeline.support.run_directory import SPLITS, RunDirectory
from pipeline.support.stages import perform

if TYPE_CHECKING:
    from pipeline.decoding.evaluation import Evaluated
    from pipeline.scoring.systems import TestSet

_REMEDY = "Convert the file: iconv -t UTF-8."


def check_stage(config: Config, run: RunDirectory) -> None:
    """Refuses what `run_stage` could not do, as far as it is known before the run is trained.

    Raises:
        UserError: there is nothing that translates, or something that scores is not installed.
    """
    from pipeline.decoding.evaluation import check_metrics

    if config.decoding.engine == "litert" and not run.tflite.exists():
        raise UserError(
            "decoding.engine: litert translates with exported files, and a run is exported last. Leave it out of the config; "
            "python -m pipeline.evaluate and python -m pipeline.translate take --engine litert when the run is finished."
        )
    check_metrics(config.evaluation.tokenized_bleu, config.evaluation.comet)


def check_data(config: Config, run: RunDirectory) -> None:
    """Refuses what `run_stage` could not do, as far as it is known when the run's data are prepared.

    Raises:
        UserError: a split that is to be evaluated is empty.
    """
    from pipeline.decoding.evaluation import check_not_empty

    splits = read_json(run.prepare_report)["splits"]
    for split in config.evaluation.splits:
        check_not_empty(run, split, splits[split]["pairs"])


def run_stage(config: Config, run: RunDirectory) -> None:
    """Translates and scores the splits of config.evaluation; writes evaluation.json and, of each split, hypotheses/<split>.tsv and .html.

    Raises:
        UserError: the run is not trained yet, or a split is empty; or config.evaluation.tokenized_bleu wants a package that is missing.
    """
    from pipeline.data.subwords import Tokenizer
    from pipeline.decoding.evaluation import SCHEMA_VERSION, evaluate_splits, write_hypotheses
    from pipeline.exporters.engines import load_translator
    from pipeline.scoring.page import evaluation_page

    results = evaluate_splits(config, run, lambda: load_translator(run, config))
    made_with = {
        "decoding": config.decoding.model_dump(),
        "weights": sha256(run.best_weights),
        "tokenizer": Tokenizer.load(run.tokenizer).fingerprint,
    }
    written = _still_true(run, made_with, SCHEMA_VERSION)
    outdated = set(SPLITS) - set(written)  # what is there of them is of earlier weights, or another search
    for split, result in results.items():
        path = run.hypotheses / f"{split}.tsv"
        write_hypotheses(path, result.test, result.judged.hypotheses)
        page = evaluation_page(f"{config.name}: {split}", result.test, {config.name: result.judged}, _facts(config))
        write_text(path.with_suffix(".html"), page)
        written[split] = describe(result) | made_with | {"hypotheses": path.relative_to(run.root).as_posix()}
    for split in outdated:
        own = [] if split in written else [f"{split}.tsv", f"{split}.html"]
        for pattern in (f"{split}-against-*.html", *own):
            for path in run.hypotheses.glob(pattern):
                remove(path)
    languages = {"source_language": config.data.source_language, "target_language": config.data.target_language}
    write_json(run.evaluation, {"schema_version": SCHEMA_VERSION, **languages, "splits": written})
    show(results, config)
    say(f"hypotheses, and pages to look at, in {run.hypotheses}")


def show(results: dict[str, Evaluated], config: Config) -> None:
    """Prints the scores of each split, or other text, by name; then, of each, the breakdowns and some translations."""
    from pipeline.decoding.evaluation import sample_lines
    from pipeline.scoring.systems import part_tables, score_table

    print("\n".join(score_table({name: result.judged for name, result in results.items()})))
    for name, result in results.items():
        speed = f", {len(result.test.sources) / result.seconds:,.0f} sentences/s" if result.seconds > 0 else ""
        print(f"\n{name}: {result.seconds:.1f} s{speed}, {config.decoding.method}")
        print("\n".join(part_tables({"": result.judged})))
        print(f"confidence and chrF++ of the sentences: rank correlation {result.confidence_correlation:.2f}")
        if result.placeholders[0]:
            with_any, intact = result.placeholders
            print(f"placeholders: intact in {intact:,} of {with_any:,} sentences that have any ({intact / with_any:.1%})")
        if result.segmented:
            print(f"\n{result.segmented:,} sentences of more than {config.model.max_tokens} pieces were translated in segments")
        if result.cut:
            print(f"\n{result.cut:,} translations reached their limit before their end (decoding.max_tokens, decoding.max_length_ratio)")
        if config.evaluation.samples:
            print("\n" + "\n".join(sample_lines(result, config.evaluation.samples)).rstrip())


def compare(
    test: TestSet,
    systems: dict[str, list[str]],
    title: str,
    page: Path | None,
    run: RunDirectory | None = None,
    tokenized_bleu: bool = False,
    comet: str | None = None,
) -> None:
    """Prints the scores of systems on one test set, with the significance of each one's difference to the first; writes a page of it.

    Args:
        test: the test set.
        systems: name -> translations.
        title, page: of the page; None = no page.
        run: whose training text says which words are rare.
        tokenized_bleu, comet: further scores, see `pipeline.configuration.schema.Evaluation`.
    """
    from pipeline.decoding.evaluation import word_counts_of
    from pipeline.scoring.page import evaluation_page
    from pipeline.scoring.systems import judge, part_tables, score_table

    judged = judge(test, systems, None if run is None else word_counts_of(run), tokenized_bleu, comet=comet)
    print("\n".join([*score_table(judged), *part_tables(judged)]))
    if page is not None:
        write_text(page, evaluation_page(title, test, judged))
        say(f"with charts and sentences: {page}")


def describe(result: Evaluated) -> dict[str, Any]:
    """The numbers of one split for evaluation.json (its schema: pipeline/decoding/evaluation.py)."""

    def parts(found: dict[str, tuple[int, float]]) -> dict[str, dict[str, float]]:
        return {name: {"sentences": sentences, "bleu": round(bleu, 4)} for name, (sentences, bleu) in found.items()}

    judged = result.judged
    return {
        **judged.scores.as_dict(),
        "bleu_by_tag": parts(judged.by_tag),
        "bleu_by_length": parts(judged.by_length),
        "bleu_by_rarity": parts(judged.by_rarity),
        "bleu_by_confidence": parts(judged.by_confidence),
        "confidence_correlation": round(result.confidence_correlation, 4),
        "placeholders": dict(zip(("sentences", "intact"), result.placeholders, strict=True)),
        "segmented": result.segmented,
        "cut": result.cut,
        "seconds": round(result.seconds, 3),
        "sentences_per_second": round(len(result.test.sources) / max(result.seconds, 1e-9), 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    known = parser()
    options = known.parse_args(arguments)
    if wrong := misfit(options):
        known.error(wrong)
    if options.engine is not None:
        options.overrides.append(f"decoding.engine={options.engine}")
    if options.tokenized_bleu:
        options.overrides.append("evaluation.tokenized_bleu=true")
    if options.comet is not None:
        options.overrides.append(f"evaluation.comet={json.dumps(options.comet)}")
    if options.split:
        options.overrides.append(f"evaluation.splits=[{', '.join(dict.fromkeys(options.split))}]")

    def command() -> int:
        if options.hypotheses:
            _compare_files(options)
            return 0
        config, run = config_and_run(options)
        others = [RunDirectory.existing(other) for other in options.ensemble]
        if options.source is not None:
            _translate_and_score(config, run, others, options)
        elif others or options.engine is not None:
            from pipeline.decoding.evaluation import evaluate_splits
            from pipeline.exporters.engines import load_translator

            show(evaluate_splits(config, run, lambda: load_translator(run, config, *others)), config)
        elif options.against:
            _compare_runs(config, run, options)
        else:
            perform("evaluate", config, run, store_config=False)
        return 0

    return guarded(command)


def _compare_files(options: argparse.Namespace) -> None:
    from pipeline.data.sources.lines import read_lines
    from pipeline.decoding.contenders import named, of_file
    from pipeline.scoring.systems import TestSet

    # Without its language, Japanese would be scored by words between spaces.
    language = options.language or (config_and_run(options)[0].data.target_language if options.run else "")
    references = list(read_lines(options.references, remedy=_REMEDY))
    if not references:
        raise UserError(f"{options.references}: is empty; there is nothing to score.")
    sources = [] if options.source is None else list(read_lines(options.source, remedy=_REMEDY))
    if options.source is not None and len(sources) != len(references):
        raise _unequal(options.source, sources, options.references, references)
    test = TestSet(sources, references, target_language=language)
    systems = {name: of_file(path, test) for name, path in named(options.hypotheses).items()}
    compare(test, systems, options.references.name, options.page, None, options.tokenized_bleu, options.comet)


def _compare_runs(config: Config, run: RunDirectory, options: argparse.Namespace) -> None:
    from pipeline.decoding.contenders import named, of_file, of_run
    from pipeline.decoding.evaluation import test_set_of

    splits, metrics = config.evaluation.splits, config.evaluation
    others = named(options.against)
    if config.name in others:
        raise UserError(f"--against: a second system is called '{config.name}'. Give it another name: NAME=PATH.")
    if options.page is not None and len(splits) > 1:
        raise UserError(f"--page: is one file, but there are {len(splits)} splits ({', '.join(splits)}). Choose one with --split.")
    for split in splits:
        test = test_set_of(run, split, config)
        # Files first: a mistake in one is found before anything is translated.
        files = {name: of_file(path, test) for name, path in others.items() if not path.is_dir()}
        systems = {config.name: of_run(run, split, test, config)}
        for name, path in others.items():
            systems[name] = files[name] if name in files else of_run(RunDirectory.existing(path), split, test, splits=splits)
        page = options.page or run.hypotheses / f"{split}-against-{'-'.join(others)}.html"
        compare(test, systems, f"{config.name}: {split}", page, run, metrics.tokenized_bleu, metrics.comet)


def _translate_and_score(config: Config, run: RunDirectory, others: list[RunDirectory], options: argparse.Namespace) -> None:
    from pipeline.data.sources.lines import read_lines
    from pipeline.decoding.evaluation import evaluate_test_set, word_counts_of
    from pipeline.exporters.engines import load_translator
    from pipeline.scoring.systems import TestSet

    sources, references = (list(read_lines(path, remedy=_REMEDY)) for path in (options.source, options.references))
    if len(sources) != len(references):
        raise _unequal(options.source, sources, options.references, references)
    if not sources:
        raise UserError(f"{options.source}: is empty; there is nothing to score.")
    test = TestSet(sources, references, (), config.data.source_language, config.data.target_language)
    result = evaluate_test_set(load_translator(run, config, *others), test, config, word_counts_of(run))
    show({options.source.name: result}, config)


def _facts(config: Config) -> dict[str, str]:
    """What a page says of the run it is about."""
    changed = config.decoding.model_dump(exclude={"batch_sentences", "beam_size"}, exclude_defaults=True)
    return {"search": ", ".join([config.decoding.method, *(f"{key} {value}" for key, value in changed.items())])}


def _unequal(first: Path, ours: list[str], second: Path, theirs: list[str]) -> UserError:
    return UserError(f"{first} has {len(ours):,} lines, but {second} has {len(theirs):,}: they must match line by line.")


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
