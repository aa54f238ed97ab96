"""Translates text line by line with a trained run: python -m pipeline.translate --run RUN [FILE]"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pipeline.configuration import Config
from pipeline.decoding.incoming import decode_line, lines_to_come, read_batches
from pipeline.runtime.errors import UserError
from pipeline.runtime.slots import TOO_MANY
from pipeline.support.console import add_engine_argument, add_ensemble_argument, add_run_arguments, config_and_run, guarded, say
from pipeline.support.files import replacing
from pipeline.support.run_directory import RunDirectory

if TYPE_CHECKING:
    from pipeline.decoding.text_stream import Line, TextTranslator

DOUBTFUL = "[?]"
"""Stands before a translation that is less certain than `--min-confidence`."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.translate",
        description="Translate a file, standard input line by line as it comes, or what you type. One line out for each line in.",
    )
    add_run_arguments(parser)
    parser.add_argument("file", nargs="?", metavar="FILE", type=Path, help="UTF-8 text, a sentence a line (default: standard input)")
    parser.add_argument("--output", metavar="FILE", type=Path, help="write here instead of to standard output, whole or not at all")
    add_ensemble_argument(parser, " (FILE goes before this option)")
    parser.add_argument(
        "--begin", metavar="FILE", type=Path, help="how the translation of each line begins, line by line; empty where that is open"
    )
    parser.add_argument(
        "--details",
        action="store_true",
        help="write before each translation, tabs between them: number of the line, score, confidence (0 to 1), pieces for each piece of "
        "the source, and how much of the source was looked at (0 to 1)",
    )
    parser.add_argument("--best", metavar="N", help="N translations of each line, the best first, with --details")
    parser.add_argument(
        "--min-confidence", metavar="P", type=_probability, default=0.0, help=f"mark what is less certain (0 to 1) with {DOUBTFUL!r}"
    )
    parser.add_argument(
        "--glossary",
        metavar="FILE",
        type=Path,
        help="terms and what they must become: lines of a source term, a tab, a target term; where the first stands in a line, the second "
        "will stand in its translation",
    )
    add_engine_argument(parser)
    parser.add_argument("--beam", metavar="K", help="the same as --set decoding.beam_size=K; 1 is fastest")
    options = parser.parse_args(arguments)
    if options.engine is not None:
        options.overrides.append(f"decoding.engine={options.engine}")
    if options.beam is not None:
        options.overrides.append(f"decoding.beam_size={options.beam}")
    if options.best is not None:
        options.overrides.append(f"decoding.best={options.best}")

    def command() -> int:
        config, run = config_and_run(options)
        others = [RunDirectory.existing(other) for other in options.ensemble]
        glossary = {} if options.glossary is None else {"glossary": options.glossary}
        detailed = options.details or options.best is not None
        if options.file is None and options.output is None and options.begin is None and not detailed and _typed():
            talk(load(run, config, *others, **glossary), config, options.min_confidence)
            return 0
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(_open_input(options.file))
            begun = None if options.begin is None else stack.enter_context(_open_input(options.begin))
            if begun is not None:
                _check_as_many(source, begun)
            translator = load(run, config, *others, **glossary)
            output = stack.enter_context(_open_output(options.output))
            batches = read_batches(source, config.decoding.batch_sentences)
            if options.output is not None:
                batches = stack.enter_context(_progress(batches))
            translate_lines(translator, batches, output, begun, detailed, options.min_confidence)
        return 0

    return guarded(command)


def _typed() -> bool:
    """Whether standard input is a person."""
    return sys.stdin is not None and sys.stdin.isatty()


def _probability(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0.0 <= (value := float(text)) <= 1.0:
            return value
    raise argparse.ArgumentTypeError(f"expected a number from 0 to 1, not {text}")


def load(run: RunDirectory, config: Config, *others: RunDirectory, glossary: Path | None = None) -> TextTranslator:
    """The translator of a run, or of it and `others`; its imports take seconds, so they wait until the options have been checked."""
    from pipeline.exporters.engines import load_translator

    return load_translator(run, config, *others, glossary=glossary)


def translate_lines(
    translator: TextTranslator,
    batches: Iterable[list[bytes]],
    output: BinaryIO,
    begun: BinaryIO | None = None,
    detailed: bool = False,
    min_confidence: float = 0.0,
) -> None:
    """Writes a translated line for each line of `batches`, flushed after each batch; what was odd is told on stderr.

    Args:
        translator: of lines.
        batches: of lines with their ends.
        output: where to.
        begun: how the translation of each line begins, a line each.
        detailed: write all translations of a line that there are, and before each what `--details` says.
        min_confidence: mark what is less certain.

    Raises:
        UserError: `begun` has fewer lines, or more.
    """
    first = 1  # number of the batch's first line
    doubtful = 0

    told = _tellers(translator, lambda index: f"line {first + index}: ")
    for batch in batches:
        lines = [decode_line(raw, number) for number, raw in enumerate(batch, start=first)]
        beginnings = None if begun is None else _as_many(begun, first, len(batch))
        for number, found in enumerate(translator.alternatives(lines, beginnings, *told), start=first):
            doubtful += found[0].confidence < min_confidence
            texts = [marked(one, min_confidence) for one in found]
            if detailed:
                texts = [f"{details(number, one)}\t{text}" for one, text in zip(found, texts, strict=True)]
            output.write("".join(f"{text}\n" for text in (texts if detailed else texts[:1])).encode())
        output.flush()
        first += len(batch)
    if begun is not None and begun.readline():
        raise UserError(f"--begin: has more lines than the text, which has {first - 1:,}: they must match line by line.")
    if doubtful:
        say(f"{doubtful:,} of {first - 1:,} lines are less certain than {min_confidence:g} and marked with {DOUBTFUL!r}.")


def marked(line: Line, min_confidence: float) -> str:
    """The text of a translation, with a mark before it where it is doubtful."""
    return f"{DOUBTFUL} {line.text}" if line.confidence < min_confidence else line.text


def details(number: int, line: Line) -> str:
    """What `--details` shows of a translation."""
    coverage = "" if line.coverage is None else f"{line.coverage:.2f}"
    return f"{number}\t{line.score:.4f}\t{line.confidence:.3f}\t{line.length_ratio:.2f}\t{coverage}"


def _check_as_many(source: BinaryIO, begun: BinaryIO) -> None:
    """Of two files it is known before the work, of a pipe only after it, whether they match."""
    number, beginnings = lines_to_come(source), lines_to_come(begun)
    if None not in (number, beginnings) and number != beginnings:
        raise UserError(f"--begin: has {beginnings:,} lines, but the text has {number:,}: they must match line by line.")


def _as_many(begun: BinaryIO, first: int, count: int) -> list[str]:
    """The beginnings of so many lines, from number `first` on."""
    lines = [decode_line(raw, number, "--begin, line") for number, raw in enumerate(itertools.islice(begun, count), start=first)]
    if len(lines) < count:
        raise UserError(f"--begin: ends before line {first + len(lines):,} of the text: they must match line by line.")
    return lines


def talk(translator: TextTranslator, config: Config, min_confidence: float = 0.0) -> None:
    """Translates what is typed until Ctrl-D; arrow keys go back to earlier lines."""
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  gives input() its history
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # half of a character is told as such, below

    told = _tellers(translator, lambda _: "")
    prompt = f"{config.data.source_language}> "
    say(f"Type in {config.data.source_language}, read in {config.data.target_language}. Ctrl-D ends.")
    while True:
        try:
            if sys.stdout.isatty():
                line = input(prompt)
            else:
                # input() would write its prompt among the translations.
                print(prompt, end="", file=sys.stderr, flush=True)
                line = sys.stdin.readline()
                if not line:
                    raise EOFError
        except EOFError:
            say("")
            return
        text = line.encode(errors="surrogateescape").decode(errors="replace")
        print(marked(translator.alternatives([text], None, *told)[0][0], min_confidence), flush=True)


def _tellers(
    translator: TextTranslator, place: Callable[[int], str]
) -> tuple[Callable[[int, int, int], None], Callable[[int], None], Callable[[int, str], None]]:
    """What tells of a line that it is long, cut, or lacks a term; see `TextTranslator.alternatives`. `place` says which line it is."""

    def on_long_line(index: int, pieces: int, segments: int) -> None:
        say(f"{place(index)}has {_too_much(pieces, translator)}; translated in {segments} segments.")

    def on_cut_line(index: int) -> None:
        say(f"{place(index)}its translation reached its limit (decoding.max_tokens, max_length_ratio) and is cut off there.")

    def on_left_out(index: int, term: str) -> None:
        say(f"{place(index)}its translation has no room for the glossary's '{term}' (decoding.max_tokens), which is left out.")

    return on_long_line, on_cut_line, on_left_out


def _too_much(pieces: int, translator: TextTranslator) -> str:
    """Of what a line has too much for the model."""
    if pieces >= TOO_MANY:
        return f"more than {translator.slots.number} placeholders of a kind, or parts of unknown text"
    return f"{pieces} pieces, more than the limit of {translator.limit}"


@contextlib.contextmanager
def _open_input(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        if sys.stdin is None:
            raise UserError("standard input is closed. Expected a file, or text there, one sentence a line.")
        # Our own file object: Python may close sys.stdin at exit only when no thread is reading from it.
        stdin: BinaryIO = sys.stdin.buffer
        with contextlib.suppress(OSError):  # what stands in for standard input in a notebook or a test may have no number
            stdin = open(sys.stdin.fileno(), "rb", closefd=False)  # noqa: SIM115
        yield stdin
        return
    regular = path.is_file()
    try:
        # Of a pipe neither: closing it would wait until the thread that reads it has got its next line.
        file = path.open("rb") if regular else open(os.open(path, os.O_RDONLY), "rb", closefd=False)  # noqa: SIM115
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}. Expected a text file, one sentence a line.") from None
    with file if regular else contextlib.nullcontext():
        yield file


@contextlib.contextmanager
def _open_output(path: Path | None) -> Iterator[BinaryIO]:
    if path is None:
        yield sys.stdout.buffer
        return
    if path.is_dir():
        raise UserError(f"{path}: is a folder; expected the name of a file for --output.")
    if path.exists() and not path.is_file():  # a device or a pipe, /dev/stdout among them: there is nothing to replace
        with path.open("wb") as file:
            yield file
        return
    with replacing(path.resolve()) as temporary, temporary.open("wb") as file:
        yield file


@contextlib.contextmanager
def _progress(batches: Iterator[list[bytes]]) -> Iterator[Iterator[list[bytes]]]:
    """The same batches; lines are counted on stderr as they are done."""
    from pipeline.data.progress import Progress

    def counted() -> Iterator[list[bytes]]:
        for batch in batches:
            yield batch
            progress.advance(len(batch))

    with Progress("translating", "lines") as progress:
        yield counted()


if __name__ == "__main__":
    raise SystemExit(main())
