"""Makes more to learn from: the training split translated, and translated back, by two helpers: python -m pipeline.diversify CONFIG"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from pipeline.configuration import Config
from pipeline.runtime.errors import UserError
from pipeline.support.console import say
from pipeline.support.files import read_json, replacing, write_json
from pipeline.support.quiet import import_keras
from pipeline.support.run_directory import RunDirectory
from pipeline.support.stages import stage_main


def run_stage(config: Config, run: RunDirectory) -> None:
    """Trains the helpers, each killed at any moment going on where it was, and writes what they have made to diversification/train/.

    Raises:
        UserError: config.training.diversify is not set; the run is not prepared or tokenized; or a helper cannot be trained.
    """
    if config.training.diversify is None:
        raise UserError("training.diversify is not set: there is nothing to do. Set it, for example to {minutes: 10}.")
    import_keras()
    from pipeline.data.subwords import Tokenizer
    from pipeline.data.tables import load_split, load_table
    from pipeline.training.diversification import (
        FORWARD,
        HELPERS,
        config_of,
        data_of,
        new_pairs,
        prepare_helper,
        translations_of,
        write_pairs,
    )

    train = load_split(run, "train")
    fingerprint = Tokenizer.load(run.tokenizer).fingerprint
    tables = {}
    for helper in HELPERS:
        helpers_run, helpers_config = RunDirectory(run.diversification / helper), config_of(config, helper)
        # What a helper was made from: another corpus, tokenizer or setting of its training begins it anew.
        settings = helpers_config.model_dump(mode="json", include={"tokenizer": True, "model": True, "training": True})
        settings["training"] = {key: value for key, value in settings["training"].items() if key != "save_minutes"}
        made_from = settings | {"tokenizer.model": fingerprint, "data": data_of(run, helpers_config)}
        prepare_helper(run, helpers_run, made_from, forward=helper == FORWARD)
        helpers_run.store_config(helpers_config)
        _train(helpers_config, helpers_run, helper)
        label = f"{helper}: translating the training split"
        tables[helper] = translations_of(helpers_config, helpers_run, label, config.training.diversify.nearest)
    held_out = itertools.chain.from_iterable(load_split(run, split)["source"] for split in ("validation", "test"))
    rows = new_pairs(train, tables, held_out, config.training.diversify.weight)
    with replacing(run.diversification / "train") as temporary:
        write_pairs(rows, temporary)
    say(f"{len(load_table(run.diversification / 'train')):,} pairs made of {len(train):,}")


def _train(config: Config, run: RunDirectory, helper: str) -> None:
    """Trains a helper to the end, unless that is done."""
    from pipeline import train

    done = run.root / "trained.json"
    if done.is_file() and read_json(done).get("trained"):
        say(f"{helper}: trained already")
        train.finished(config, run)  # it may have been killed before
        return
    say(f"{helper}: training {config.data.source_language} to {config.data.target_language}")
    train.run_stage(config, run, again=f"Or remove {run.root}, and it begins anew.")
    write_json(done, {"trained": True})
    train.finished(config, run)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    return stage_main("diversify", __doc__, arguments)


if __name__ == "__main__":
    raise SystemExit(main())
