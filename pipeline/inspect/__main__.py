"""Looks into a trained model: python -m pipeline.inspect WHAT --run RUN …"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.runtime.errors import UserError
from pipeline.support.console import add_run_arguments, config_and_run, guarded, positive, say
from pipeline.support.quiet import import_keras
from pipeline.support.run_directory import SPLITS, RunDirectory

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pipeline.inspect.reading import Reader, Reading

SENTENCE = {
    "attention": "which source pieces each piece of the translation looked at",
    "saliency": "what each piece of the translation hung on (gradient x input), beside attention",
    "gates": "how far the gates of each layer are open, piece by piece",
    "units": "the liveliest hidden units of a layer over time",
    "beam": "the search as a tree: what was kept, what won",
}
"""Pictures of one sentence."""

WHOLE = {
    "trackers": "units that keep track of something: length, brackets, quotation marks; on a sentence",
    "gradients": "how far back the gradient of the last token reaches; several runs in one picture",
    "embeddings": "a map of frequent pieces that begin words; or the nearest neighbours of words",
    "alignments": "of a file the links between words, in Pharaoh's format; scored by alignment error rate where there are gold links",
    "page": "all of these but the alignments, on one page",
}
"""What takes a whole run."""

_PICTURE = "the picture (default: RUN/inspection/WHAT.svg)"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit status."""
    options = _parser().parse_args(arguments)

    def command() -> int:
        _COMMANDS[options.what](options)
        return 0

    return guarded(command)


def _sentence(options: argparse.Namespace) -> None:
    if options.what == "beam" and options.beam is not None:
        options.overrides.append(f"decoding.beam_size={options.beam}")
    reader, run = _reader(options)
    from pipeline.inspect import pictures

    if options.what == "attention":
        reader.demand_attention()
    reading = reader.read(options.text, options.target)
    draw: dict[str, Callable[[], Figure]] = {
        "attention": lambda: pictures.attention_picture(reading, options.words),
        "saliency": lambda: pictures.saliency_picture(reader, reading, options.words),
        "gates": lambda: pictures.gates_picture(reader, reading),
        "units": lambda: pictures.units_picture(reader, reading, options.layer),
        "beam": lambda: pictures.beam_picture(reader, options.text),
    }
    print(_described(reading))
    _keep(draw[options.what](), options, run)


def _trackers(options: argparse.Namespace) -> None:
    reader, run = _reader(options)
    from pipeline.data.tables import load_split
    from pipeline.inspect import pictures

    layers = len(reader.model.decoder.layers)
    if not 1 <= options.layer <= layers:
        raise UserError(f"--layer {options.layer}: the decoder has layers 1 to {layers}.")
    found = pictures.found_trackers(reader, load_split(run, options.split), options.layer - 1)
    if not found:
        raise UserError(f"the {options.split} split is too small to find units with. Choose another: --split train")
    for one in found:
        print(f"{one.feature:<18} unit {one.unit:>4}   correlation {one.correlation:+.2f}")
    _keep(pictures.trackers_picture(reader, found, reader.read(options.text, options.target), options.layer - 1), options, run)


def _gradients(options: argparse.Namespace) -> None:
    paths = list(dict.fromkeys(options.runs))
    names = [Path(path).name for path in paths]
    # Runs of one name are told apart by their paths.
    runs = {path if names.count(name) > 1 else name: RunDirectory.existing(path) for path, name in zip(paths, names, strict=True)}
    import_keras()
    from pipeline.data.tables import load_split
    from pipeline.inspect import pictures
    from pipeline.inspect.drawing import decay_curves
    from pipeline.inspect.reading import Reader
    from pipeline.support.history import clipped_share

    readers = {name: Reader.load(run) for name, run in runs.items()}
    curves = pictures.decays(readers, {name: load_split(run, options.split) for name, run in runs.items()})
    for name, values in curves.items():
        if not np.isfinite(values).any():
            raise UserError(
                f"{runs[name].split(options.split)}: has no sentence to follow a gradient through. Choose another: --split train"
            )
        clipped = clipped_share(runs[name])
        share = "" if clipped is None else f"   {clipped:.1%} of the updates clipped"
        print(f"{name:<24} " + "  ".join(f"{back}: {values[back]:.1e}" for back in (1, 5, 10, 20) if values[back] == values[back]) + share)
    _keep(decay_curves(curves), options, next(iter(runs.values())))


def _embeddings(options: argparse.Namespace) -> None:
    reader, run = _reader(options)
    from pipeline.inspect import pictures
    from pipeline.inspect.embeddings import Embeddings

    if not options.words:
        _keep(pictures.embeddings_picture(reader, options.side, options.count), options, run)
        return
    embeddings = Embeddings(reader, options.side)
    for word in options.words:
        print(f"{word:<16} " + "  ".join(f"{piece.replace('▁', '')} {cosine:.2f}" for piece, cosine in embeddings.neighbours(word)))


def _alignments(options: argparse.Namespace) -> None:
    reader, _ = _reader(options)
    from pipeline.data.sources.lines import read_lines
    from pipeline.inspect.alignments import alignment_error_rate, alignment_of, read_gold, to_pharaoh

    reader.demand_attention()
    files = [path for path in (options.source, options.target_file, options.gold) if path is not None]
    sides = {path: list(read_lines(path, remedy="Convert the file: iconv -t UTF-8.")) for path in files}
    for path, lines in sides.items():
        if len(lines) != len(sides[options.source]):
            raise UserError(f"{path} has {len(lines):,} lines, but {options.source} has {len(sides[options.source]):,}: they must match.")
    gold = list(read_gold(sides[options.gold], str(options.gold))) if options.gold else None
    targets: Sequence[str | None] = sides[options.target_file] if options.target_file else [None] * len(sides[options.source])
    found = []
    for number, (text, translation) in enumerate(zip(sides[options.source], targets, strict=True), start=1):
        try:
            found.append(alignment_of(reader.read(text, translation)) if text.strip() else [])
        except UserError as error:
            raise UserError(f"{options.source}:{number}: {error}") from None
        print(to_pharaoh(found[-1]), flush=True)
    if gold is not None:
        say(f"alignment error rate {alignment_error_rate(found, gold):.3f}")


def _page(options: argparse.Namespace) -> None:
    reader, run = _reader(options)
    from pipeline.inspect.page import write_inspection

    say(f"written: {write_inspection(reader, run, options.texts, options.output)}")


_COMMANDS: dict[str, Callable[[argparse.Namespace], None]] = {
    **dict.fromkeys(SENTENCE, _sentence),
    "trackers": _trackers,
    "gradients": _gradients,
    "embeddings": _embeddings,
    "alignments": _alignments,
    "page": _page,
}


def _reader(options: argparse.Namespace) -> tuple[Reader, RunDirectory]:
    config, run = config_and_run(options)  # a mistake in a config is answered before Keras is there
    import_keras()
    from pipeline.inspect.reading import Reader

    return Reader.load(run, config), run


def _described(reading: Reading) -> str:
    pieces = "  ".join(f"{piece.replace('▁', '')} {p:.0%}" for piece, p in zip(reading.target, reading.probabilities, strict=True))
    return f"{reading.text}\n{reading.translation}\n{pieces}"


def _keep(figure: Figure, options: argparse.Namespace, run: RunDirectory) -> None:
    from pipeline.support.figures import save_figure

    path = options.output or run.root / "inspection" / f"{options.what}.svg"
    save_figure(figure, path)
    say(f"written: {path}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.inspect", description="Look into a trained model; pictures: .svg, .png, .pdf."
    )
    commands = parser.add_subparsers(dest="what", required=True, metavar="WHAT")

    def command(what: str, about: str, one_run: bool = True, output: str = _PICTURE) -> argparse.ArgumentParser:
        found = commands.add_parser(what, help=about, description=f"{about[0].upper()}{about[1:]}.")
        if one_run:
            add_run_arguments(found)
        if output:
            found.add_argument("--output", type=Path, metavar="FILE", help=output)
        return found

    def sentence(found: argparse.ArgumentParser, target: bool = True) -> None:
        found.set_defaults(target=None)
        found.add_argument("text", metavar="TEXT", help="a sentence")
        if target:
            found.add_argument("--target", metavar="TEXT", help="its translation, where it shall not be the model's own")

    def split(found: argparse.ArgumentParser) -> None:
        found.add_argument("--split", choices=SPLITS, default="validation", help="whose sentences (default: validation)")

    made: dict[str, Any] = {what: command(what, about) for what, about in SENTENCE.items()}
    for what, found in made.items():
        sentence(found, target=what != "beam")
        if what in ("attention", "saliency"):
            found.add_argument("--words", action="store_true", help="pieces joined to words")
    made["units"].add_argument("--layer", metavar="NAME", help="such as 'encoder 1, forwards' (default: the topmost)")
    made["beam"].add_argument("--beam", type=positive, metavar="K", help="beam size (default: the run's)")

    trackers = command("trackers", WHOLE["trackers"])
    sentence(trackers)
    split(trackers)
    trackers.add_argument("--layer", type=int, default=1, metavar="N", help="of the decoder, 1 the lowest (default)")
    gradients = command("gradients", WHOLE["gradients"], one_run=False)
    gradients.add_argument("runs", nargs="+", metavar="RUN", help="folders of runs")
    split(gradients)
    embeddings = command("embeddings", WHOLE["embeddings"])
    embeddings.add_argument("words", nargs="*", metavar="WORD", help="show the nearest neighbours of these, and draw no map")
    whose = "whose words (default: target); with one joint vocabulary both sides are the same"
    embeddings.add_argument("--side", choices=("source", "target"), default="target", help=whose)
    embeddings.add_argument("--count", type=positive, default=150, help="words on the map (default: 150)")
    alignments = command("alignments", WHOLE["alignments"], output="")
    alignments.add_argument("--source", type=Path, required=True, metavar="FILE", help="text, a sentence a line")
    alignments.add_argument("--target", dest="target_file", type=Path, metavar="FILE", help="its translations (default: the model's own)")
    alignments.add_argument("--gold", type=Path, metavar="FILE", help="the right links, '0-0 1p2 …' a line; p: a possible link")
    page = command("page", WHOLE["page"], output="the page (default: RUN/inspection/index.html)")
    page.add_argument("texts", nargs="*", metavar="TEXT", help="sentences (default: three of the validation split)")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
