"""The translate command: lines in, lines out, whatever the lines are; with a translator that only shouts."""

from __future__ import annotations

import dataclasses
import io
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest

from pipeline import translate as command
from pipeline.configuration import parse_config
from pipeline.configuration.schema_data import Cleaning
from pipeline.decoding import incoming
from pipeline.decoding.glossary import Glossary
from pipeline.decoding.text_stream import TextTranslator, clean_line
from pipeline.runtime.slots import Slots
from pipeline.support.run_directory import RunDirectory


@dataclasses.dataclass
class Upper:
    """A translation: the source in capitals."""

    text: str

    complete: bool = True
    score: float = -1.0
    log_prob: float = -1.0
    tokens: int = 2
    source_tokens: int = 4
    coverage: float | None = 0.5
    left_out: tuple[int, ...] = ()


class Shouting:
    """Remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def alternatives(self, lines: list[str], begun: list[str] | None) -> list[list[Upper]]:
        self.asked.append(lines)
        return [[Upper(line.upper())] for line in lines]


def words(text: str) -> int:
    return len(text.split())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunDirectory:
    run = RunDirectory(tmp_path / "shouting")
    run.store_config(parse_config("name: shouting\n", "test"))
    monkeypatch.setattr(TextTranslator, "load", classmethod(lambda cls, run, config, **_: cls(Shouting(), words, 6)))
    return run


def translate(run: RunDirectory, tmp_path: Path, text: bytes, *options: str) -> tuple[int, list[str]]:
    """Exit status and lines of a translated file."""
    (tmp_path / "in.txt").write_bytes(text)
    status = command.main(["--run", str(run.root), str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.txt"), *options])
    return status, (tmp_path / "out.txt").read_bytes().decode().split("\n") if status == 0 else []


def test_lines_keep_their_number_and_order(run: RunDirectory, tmp_path: Path) -> None:
    lines = [f"line {number}" if number % 3 else "" for number in range(3000)]
    status, translated = translate(run, tmp_path, "\n".join([*lines, ""]).encode())
    assert status == 0
    assert translated == [line.upper() for line in lines] + [""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", [""]),
        (b"\n", ["", ""]),
        (b"no end", ["NO END", ""]),
        (b"a\n\n \t \nb\n", ["A", "", "", "B", ""]),
        (b"dos\r\nline\r\n", ["DOS", "LINE", ""]),
        (b"nul\0byte\n", ["NUL BYTE", ""]),
        (b"\xef\xbb\xbfmark\n", ["MARK", ""]),
        (b"one\x0bstill one\x85line\x1cof text\n".replace(b"\x85", "\x85".encode()), ["ONE STILL ONE LINE OF TEXT", ""]),
        ("one\u2028line\n".encode(), ["ONE LINE", ""]),
        ("e\u0301\n".encode(), ["É", ""]),
        ("soft\u00adhyphen\n".encode(), ["SOFTHYPHEN", ""]),
        ("a▁b\n".encode(), ["A B", ""]),
        (b"?!...\n;\n", ["?!...", ";", ""]),
        ("😀\n👩‍👩‍👧 🇺🇦\n".encode(), ["😀", "👩‍👩‍👧 🇺🇦", ""]),
        ("שלום עולם\nمرحبا\n".encode(), ["שלום עולם", "مرحبا", ""]),
    ],
)
def test_odd_lines(run: RunDirectory, tmp_path: Path, text: bytes, expected: list[str]) -> None:
    assert translate(run, tmp_path, text) == (0, expected)


@pytest.mark.parametrize("unit", ["word ", ".", "x", "😀"])
def test_a_line_of_a_megabyte_does_not_hurt_its_neighbours(run: RunDirectory, tmp_path: Path, unit: str) -> None:
    long = (unit * (1_000_000 // len(unit.encode()))).strip()
    assert translate(run, tmp_path, f"before\n{long}\nafter\n".encode()) == (0, ["BEFORE", long.upper(), "AFTER", ""])


def test_bytes_that_are_not_utf8_are_replaced_with_a_warning(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert translate(run, tmp_path, b"fine\ncaf\xe9 ok\n") == (0, ["FINE", "CAF� OK", ""])
    assert "line 2: byte 4 is not UTF-8" in capsys.readouterr().err


def test_a_long_line_is_translated_in_segments_with_one_warning(
    run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = "One two three four. Five six seven eight, nine ten eleven twelve thirteen."
    assert translate(run, tmp_path, f"short\n\n{line}\n".encode()) == (0, ["SHORT", "", line.upper(), ""])
    warnings = [line for line in capsys.readouterr().err.splitlines() if "limit" in line]
    assert warnings == ["line 3: has 13 pieces, more than the limit of 6; translated in 3 segments."]


def test_equal_lines_are_translated_once() -> None:
    shouting = Shouting()
    assert TextTranslator(shouting, words, 6).translate(["a", "b", "a", "", "a"]) == ["A", "B", "A", "", "A"]
    assert shouting.asked == [["a", "b"]]


def test_blank_lines_do_not_bother_the_translator() -> None:
    shouting = Shouting()
    assert TextTranslator(shouting, words, 6).translate(["", "  ", "\u200b"]) == ["", "", ""]
    assert shouting.asked == []


def test_placeholders_are_not_cut_in_long_lines() -> None:
    shouting = Shouting()
    TextTranslator(shouting, len, 10, Slots((r"\{[^}]+\}",), 3)).translate(["abcdef {a name} ghi"])
    assert shouting.asked == [["abcdef", "{a name}", "ghi"]]


def test_a_line_is_cleaned_as_the_corpus_was() -> None:
    assert clean_line("ﬁne ½", Cleaning(normalize="NFKC")) == "fine 1⁄2"
    assert clean_line("ﬁne", Cleaning(normalize="NFC")) == "ﬁne"
    assert clean_line(" a\0b ", Cleaning(control_characters=False)) == "a b"


def test_a_translation_cut_off_at_the_limit_is_told() -> None:
    class Breathless:
        def alternatives(self, lines: list[str], begun: list[str] | None) -> list[list[Upper]]:
            return [[Upper(line.upper(), complete="long" not in line)] for line in lines]

    told: list[int] = []
    lines = ["short", "very long", "", "short"]
    assert TextTranslator(Breathless(), words, 6).translate(lines, on_cut_line=told.append) == ["SHORT", "VERY LONG", "", "SHORT"]
    assert told == [1]


def test_a_translation_is_always_one_line() -> None:
    class Poet:
        def alternatives(self, lines: list[str], begun: list[str] | None) -> list[list[Upper]]:
            return [[Upper("roses\nare\u2028red")] for _ in lines]

    assert TextTranslator(Poet(), words, 6).translate(["x"]) == ["roses are red"]


def test_standard_input_to_standard_output(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("grün\n\nzwei\n".encode())))
    assert command.main(["--run", str(run.root)]) == 0
    assert capfdbinary.readouterr().out.decode() == "GRÜN\n\nZWEI\n"


def test_a_line_from_a_pipe_does_not_wait_for_the_next() -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as source, open(writer, "wb", buffering=0) as sink:
        batches = incoming.read_batches(source, 64)
        sink.write(b"first\n")
        assert next(batches) == [b"first\n"]
        sink.write(b"second\nhal")
        assert next(batches) == [b"second\n"]
        sink.write(b"f\n")
        assert next(batches) == [b"half\n"]
        threading.Timer(0.05, sink.close).start()
        assert list(batches) == []


def test_a_pipe_is_read_ahead_only_so_far() -> None:
    class Endless(io.RawIOBase):
        lines = 0

        def __iter__(self) -> Endless:
            return self

        def __next__(self) -> bytes:
            if self.lines == 1000:
                raise StopIteration
            self.lines += 1
            return b"x\n"

    source = Endless()
    batches = incoming.read_batches(source, 4)  # type: ignore[arg-type]
    most = 4 * incoming._PIPE_BATCHES
    assert 1 <= len(next(batches)) <= most
    assert source.lines <= 2 * most + 2
    assert all(1 <= len(batch) <= most for batch in batches)
    assert source.lines == 1000


def test_beam_is_short_for_set(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    beams: list[int] = []

    def load(run: RunDirectory, config: command.Config) -> TextTranslator:
        beams.append(config.decoding.beam_size)
        return TextTranslator(Shouting(), words, 6)

    monkeypatch.setattr(command, "load", load)
    assert translate(run, tmp_path, b"a\n", "--beam", "7")[0] == 0
    assert beams == [7]
    assert translate(run, tmp_path, b"a\n", "--beam", "wide")[0] == 2
    assert "decoding.beam_size" in capsys.readouterr().err


def test_errors_leave_the_old_output_alone(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "out.txt").write_text("before")
    (tmp_path / "in.txt").write_text("x\n")

    class Failing:
        def alternatives(self, lines: list[str], begun: list[str] | None) -> list[list[Upper]]:
            raise KeyboardInterrupt

    monkeypatch.setattr(command, "load", lambda run, config: TextTranslator(Failing(), words, 6))
    assert command.main(["--run", str(run.root), str(tmp_path / "in.txt"), "--output", str(tmp_path / "out.txt")]) == 130
    assert (tmp_path / "out.txt").read_text() == "before"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.txt", "shouting"]


@pytest.mark.parametrize(
    ("file", "message"), [("missing.txt", "missing.txt: cannot be read: No such file"), (".", "cannot be read: Is a directory")]
)
def test_unreadable_input(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str], file: str, message: str) -> None:
    assert command.main(["--run", str(run.root), str(tmp_path / file)]) == 2
    assert message in capsys.readouterr().err


def test_a_folder_is_no_output(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in.txt").write_text("x\n")
    assert command.main(["--run", str(run.root), str(tmp_path / "in.txt"), "--output", str(tmp_path)]) == 2
    assert "is a folder; expected the name of a file" in capsys.readouterr().err


def test_a_folder_that_is_no_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["--run", str(tmp_path / "nothing")]) == 2
    assert "is not a run" in capsys.readouterr().err


def test_talking(run: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("hello\n\nbye\n"))
    assert command.main(["--run", str(run.root)]) == 0
    captured = capsys.readouterr()
    assert captured.out == "HELLO\n\nBYE\n"
    assert captured.err.count("en> ") == 4
    monkeypatch.setattr(sys, "stdin", Terminal("a b c d. e f g.\n"))
    assert command.main(["--run", str(run.root)]) == 0
    assert "7 pieces, more than the limit of 6; translated in 2 segments." in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", None)
    assert command.main(["--run", str(run.root)]) == 2
    assert "standard input is closed" in capsys.readouterr().err


def test_talking_of_terms_without_room(run: RunDirectory, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Terminal(io.TextIOWrapper):
        def isatty(self) -> bool:
            return True

    class Brief:
        def alternatives(self, lines: list[str], begun: None, terms: list[list[str]]) -> list[list[Upper]]:
            return [[Upper(line.upper(), left_out=tuple(range(len(some))))] for line, some in zip(lines, terms, strict=True)]

    glossary = Glossary({"dog": "Hund"})
    monkeypatch.setattr(command, "load", lambda run, config: TextTranslator(Brief(), words, 6, glossary=glossary))
    monkeypatch.setattr(sys, "stdin", Terminal(io.BytesIO(b"a dog \xe9\n"), encoding="utf-8", errors="strict"))
    assert command.main(["--run", str(run.root)]) == 0
    shown = capsys.readouterr()
    assert shown.out == "A DOG \ufffd\n" and "no room for the glossary's 'Hund'" in shown.err


PROGRAM = textwrap.dedent(
    """
    import sys
    from pipeline import translate as command
    from pipeline.decoding.text_stream import TextTranslator

    class Upper:
        def __init__(self, text):
            self.text, self.complete, self.score, self.log_prob = text, True, 0.0, 0.0
            self.tokens = self.source_tokens = 1
            self.coverage = None

    class Shouting:
        def alternatives(self, lines, begun):
            return [[Upper(line.upper())] for line in lines]

    command.load = lambda run, config: TextTranslator(Shouting(), lambda text: len(text.split()), 6)
    sys.exit(command.main(sys.argv[1:]))
    """
)


def start(run: RunDirectory, root: Path) -> subprocess.Popen[bytes]:
    """The command in a process of its own, with pipes at both ends."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "--run", str(run.root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=root,
        env=os.environ | {"PYTHONPATH": str(root), "LC_ALL": "C"},
    )


def test_a_conversation_through_pipes(run: RunDirectory, root: Path) -> None:
    with start(run, root) as process:
        assert process.stdin is not None and process.stdout is not None
        for word in ("grün", "", "blau"):
            process.stdin.write(f"{word}\n".encode())
            process.stdin.flush()
            assert process.stdout.readline().decode() == f"{word.upper()}\n"
        process.stdin.close()
        assert process.wait(20) == 0


def test_a_reader_that_leaves_and_ctrl_c_are_no_tracebacks(run: RunDirectory, root: Path) -> None:
    import signal

    with start(run, root) as leaving, start(run, root) as stopped:
        for process in (leaving, stopped):
            assert process.stdin is not None and process.stdout is not None and process.stderr is not None
            process.stdin.write(b"a\n")
            process.stdin.flush()
            assert process.stdout.readline() == b"A\n"
        leaving.stdout.close()
        leaving.stdin.write(b"b\n")
        leaving.stdin.close()
        assert leaving.wait(20) == 0
        assert leaving.stderr.read() == b""
        stopped.send_signal(signal.SIGINT)
        assert stopped.wait(20) == 130
        assert stopped.stderr.read().startswith(b"interrupted")


# --- several translations, and translations that are begun ------------------------------------------------------------


class Thoughtful:
    """Two translations of each sentence; goes on from what is begun."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[str], list[str] | None]] = []

    def alternatives(self, lines: list[str], begun: list[str] | None) -> list[list[Upper]]:
        self.asked.append((lines, begun))
        beginnings = begun or [""] * len(lines)
        return [
            [Upper(beginning + line.upper(), score=-1.0), Upper(beginning + line.title(), score=-1.5)]
            for line, beginning in zip(lines, beginnings, strict=True)
        ]


@pytest.fixture
def thoughtful(monkeypatch: pytest.MonkeyPatch) -> Thoughtful:
    translator = Thoughtful()
    monkeypatch.setattr(command, "load", lambda run, config: TextTranslator(translator, words, 4))
    return translator


@pytest.mark.usefixtures("thoughtful")
def test_several_translations_with_their_scores(run: RunDirectory, tmp_path: Path) -> None:
    status, lines = translate(run, tmp_path, b"one two\n\nfar too long. To be one\n", "--best", "2")
    assert status == 0
    assert lines == [
        "1\t-1.0000\t0.607\t0.50\t0.50\tONE TWO",  # two tokens, of a log probability of -1 together, for four of the source
        "1\t-1.5000\t0.607\t0.50\t0.50\tOne Two",
        "2\t0.0000\t1.000\t1.00\t\t",
        "3\t-2.0000\t0.607\t0.50\t0.50\tFAR TOO LONG. TO BE ONE",  # two segments
        "3\t-3.0000\t0.607\t0.50\t0.50\tFar Too Long. To Be One",
        "",
    ]


def test_what_is_doubtful_is_marked(run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    class Unsure:
        def alternatives(self, lines: list[str], begun: list[str] | None) -> list[list[Upper]]:
            return [[Upper(line.upper(), log_prob=-len(line), tokens=2)] for line in lines]

    monkeypatch.setattr(command, "load", lambda run, config: TextTranslator(Unsure(), words, 2))
    text = b"a\nlonger\n\na b. longer\n"
    assert translate(run, tmp_path, text, "--min-confidence", "0.1")[1] == ["A", "[?] LONGER", "", "[?] A B. LONGER", ""]
    assert "2 of 4 lines are less certain than 0.1 and marked with '[?]'." in capsys.readouterr().err
    # Segments count by their tokens: exp(-(4 + 6) / 4) is 0.082.
    assert translate(run, tmp_path, text, "--min-confidence", "0.08")[1][3] == "A B. LONGER"
    assert translate(run, tmp_path, text, "--details")[1][3].split("\t")[2] == "0.082"
    for wrong in ("7", "50%", "nan"):
        with pytest.raises(SystemExit):
            translate(run, tmp_path, text, "--min-confidence", wrong)
        assert f"expected a number from 0 to 1, not {wrong}" in capsys.readouterr().err


def test_a_translation_that_is_begun_is_gone_on_with(run: RunDirectory, tmp_path: Path, thoughtful: Thoughtful) -> None:
    (tmp_path / "begun.txt").write_text("Ah, \n\n  Oh\tno:\nSo \n")
    status, lines = translate(run, tmp_path, b"one\none\none\nfar too long. To be one\n", "--begin", str(tmp_path / "begun.txt"))
    assert status == 0
    assert lines == ["Ah,ONE", "ONE", "Oh no:ONE", "SoFAR TOO LONG. TO BE ONE", ""]
    # The same line with another beginning is another sentence; of a long line, only the first segment has been begun.
    assert thoughtful.asked == [
        (["one", "one", "one", "far too long.", "To be one"], ["Ah,", "", "Oh no:", "So", ""]),
    ]


@pytest.mark.parametrize(("begun", "number"), [("a\n", 1), ("a\nb\nc", 3)])
def test_beginnings_must_match_line_by_line(
    run: RunDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], begun: str, number: int
) -> None:
    """Of two files that is known before the model is loaded."""
    monkeypatch.setattr(command, "load", None)
    (tmp_path / "begun.txt").write_text(begun)
    assert translate(run, tmp_path, b"one\ntwo\n", "--begin", str(tmp_path / "begun.txt"))[0] == 2
    assert f"--begin: has {number} lines, but the text has 2: they must match line by line" in capsys.readouterr().err
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.usefixtures("thoughtful")
def test_beginnings_from_a_pipe_may_be_too_many(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    os.mkfifo(tmp_path / "pipe")
    threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(b"a\nb\nc\n")).start()
    assert translate(run, tmp_path, b"one\ntwo\n", "--begin", str(tmp_path / "pipe"))[0] == 2
    assert "--begin: has more lines than the text, which has 2" in capsys.readouterr().err
    assert not (tmp_path / "out.txt").exists()


def test_a_pipe_is_written_and_a_link_is_followed(run: RunDirectory, tmp_path: Path) -> None:
    """Only a regular file is replaced."""
    (tmp_path / "in.txt").write_text("one\n")
    os.mkfifo(tmp_path / "pipe")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    assert command.main(["--run", str(run.root), str(tmp_path / "in.txt"), "--output", str(tmp_path / "pipe")]) == 0
    reader.join(timeout=20)
    assert got == [b"ONE\n"] and (tmp_path / "pipe").is_fifo()

    (tmp_path / "real.txt").write_text("before\n")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    assert command.main(["--run", str(run.root), str(tmp_path / "in.txt"), "--output", str(tmp_path / "link.txt")]) == 0
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "ONE\n"


def test_standard_output_may_be_named(run: RunDirectory, tmp_path: Path) -> None:
    """/dev/stdout into `| gzip` and >(gzip > x.gz) are links to a pipe without a name."""
    (tmp_path / "in.txt").write_text("one\n")
    reading, writing = os.pipe()
    assert command.main(["--run", str(run.root), str(tmp_path / "in.txt"), "--output", f"/dev/fd/{writing}"]) == 0
    os.close(writing)
    with open(reading, "rb") as pipe:
        assert pipe.read() == b"ONE\n"


def test_a_pipe_that_stays_open_holds_up_no_error(run: RunDirectory, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The beginnings are too few, which is known at once, though the text may go on."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "begin.txt").write_text("")
    done = threading.Event()

    def write() -> None:
        with (tmp_path / "pipe").open("wb") as pipe:
            pipe.write(b"one\n")
            pipe.flush()
            done.wait(60)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert command.main(["--run", str(run.root), str(tmp_path / "pipe"), "--begin", str(tmp_path / "begin.txt")]) == 2
        assert not done.is_set()
        assert "--begin: ends before line 1 of the text" in capsys.readouterr().err
    finally:
        done.set()
        writer.join()


def test_equal_lines_are_drawn_each_for_itself() -> None:
    shouting = Shouting()
    TextTranslator(shouting, words, 6, drawn=True).translate(["one", "two", "one"])
    assert shouting.asked == [["one", "two", "one"]]
    TextTranslator(shouting, words, 6).translate(["one", "two", "one"])
    assert shouting.asked[1:] == [["one", "two"]]
