"""From a parallel corpus to a translator in your pocket."""

import os

# TensorFlow's C++ code greets with a page of notes about this processor and missing GPUs; it reads this when it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"
