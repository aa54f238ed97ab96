"""The exported translator as a command: python -m pipeline.runtime FOLDER"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from .errors import UserError
from .translator import SMALLEST_FIRST, PhoneTranslator


def main(arguments: Sequence[str] | None = None) -> int:
    """Translates standard input, a line at a time."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {__package__}", description="Translate standard input, a line at a time, with a .tflite file."
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="export/tflite/ of a run")
    parser.add_argument("--precision", choices=SMALLEST_FIRST, help="which file (default: the smallest there is)")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="of the interpreter (default: 1)")
    options = parser.parse_args(arguments)
    if options.threads < 1:
        parser.error(f"--threads: expected a number from 1 on, not {options.threads}")
    for stream in (sys.stdin, sys.stdout):  # whatever the locale says
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")
    try:
        if sys.stdin is None:
            raise UserError("standard input is closed. Expected text there, one sentence a line.")
        translator = PhoneTranslator(options.folder, options.precision, options.threads)
        for line in sys.stdin:
            print(translator.translate(line), flush=True)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, BrokenPipeError):
        return 130
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
