"""Shows a config with all its defaults, or writes the schema by which editors complete and check config files."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.configuration import Config, dump_config, load_config
from pipeline.support.console import add_set_argument, guarded, say
from pipeline.support.files import write_text


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the resolved config of a file, or its JSON schema."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.config", description=__doc__)
    parser.add_argument("config", metavar="CONFIG", nargs="?", help="config file, such as configs/quickstart.yaml")
    add_set_argument(parser)
    parser.add_argument(
        "--schema", metavar="PATH", nargs="?", const="-", help="write the JSON schema of config files to PATH instead (default: print it)"
    )
    options = parser.parse_args(arguments)
    if (options.config is None) == (options.schema is None):
        parser.error("expected a CONFIG to show, or --schema")
    return guarded(lambda: _schema(options.schema) if options.schema else _show(options.config, options.overrides))


def json_schema() -> str:
    """The JSON schema of a config file; `configs/schema.json` holds it."""
    schema = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Config.model_json_schema(), "title": "pocketnmt config"}
    return json.dumps(schema, ensure_ascii=False, indent=2) + "\n"


def _show(path: str, overrides: list[str]) -> int:
    config = load_config(path, overrides)
    # On one line, whatever the shell handed over: it is a comment.
    changed = "".join(f" --set {' '.join(override.split())}" for override in overrides)
    print(f"# {path}{changed}, with every default spelt out.")
    print(dump_config(config), end="")
    return 0


def _schema(path: str) -> int:
    if path == "-":
        print(json_schema(), end="")
    else:
        write_text(Path(path), json_schema())
        say(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
