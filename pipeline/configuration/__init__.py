"""The schema of a config file, loading it, and its errors."""

from pipeline.configuration.document import ConfigError
from pipeline.configuration.loading import dump_config, load_config, parse_config
from pipeline.configuration.schema import Config

__all__ = ["Config", "ConfigError", "dump_config", "load_config", "parse_config"]
