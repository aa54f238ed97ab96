"""From a parallel corpus to a translator in your pocket."""

__version__ = "0.1.0"
