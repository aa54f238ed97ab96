"""Reading and writing configs: YAML 1.2 in, a checked `Config` out, every mistake reported at once with file, line and key."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError
from ruamel.yaml import YAML

from pipeline.configuration.document import ConfigError, parse_document
from pipeline.configuration.mistakes import explain
from pipeline.configuration.schema import Config


def load_config(path: str | Path, overrides: Iterable[str] = ()) -> Config:
    """Reads the config file `path`, applies `overrides` ("section.key=value") and checks the whole.

    Raises:
        ConfigError: the file cannot be read, or is wrong; every mistake is named.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = sorted(str(p) for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        raise ConfigError(f"{path}: no such config file." + (f" There are: {', '.join(near)}." if near else "")) from None
    except IsADirectoryError:
        raise ConfigError(f"{path}: is a folder; expected a config file (.yaml).") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start}).") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}.") from None
    return parse_config(text, str(path), overrides)


def parse_config(text: str, where: str, overrides: Iterable[str] = ()) -> Config:
    """Parses the text of a config file; `where` names it in errors. See `load_config`."""
    document = parse_document(text, where)
    problems = []
    for override in overrides:
        try:
            document.override(override)
        except ConfigError as error:
            problems.append(str(error))
    try:
        config = Config.model_validate(document.values)
        mistakes = explain([], document, Config)
    except ValidationError as error:
        mistakes = explain(error.errors(include_url=False), document, Config)
    if mistakes or problems:
        raise ConfigError("\n".join(mistakes + problems))
    return config


def dump_config(config: Config) -> str:
    """The resolved config, every default spelt out, as YAML that `parse_config` reads back to an equal config."""
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 10_000  # a folded line is hard to read, and to find with grep
    yaml.representer.add_representer(type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null"))
    yaml.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    yaml.dump(config.model_dump(), stream)
    return stream.getvalue()
