"""The rooms of the code: a file directly in pipeline/ is a command, a folder is a library, and imports point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "pipeline"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")
COMMANDS = sorted(path for path in PACKAGE.glob("*.py") if path.name != "__init__.py")

# A room may import itself and the rooms named here.
BASE = {"configuration", "support", "runtime"}
MAY_IMPORT = {
    "runtime": set(),
    "configuration": BASE,
    "support": BASE,
    "model": set(),
    "data": BASE,
    "scoring": BASE,
    "decoding": BASE | {"data", "model", "scoring"},
    "training": BASE | {"data", "model", "decoding", "scoring", "inspect"},
    "exporters": BASE | {"data", "model", "decoding", "training", "scoring"},
    "inspect": BASE | {"data", "model", "decoding"},
    "reporting": BASE | {"data", "model", "decoding", "scoring", "inspect", "exporters"},
    "comparison": BASE,
    "benchmarks": BASE | {"data", "model", "decoding", "training", "exporters", "scoring"},
}

# Where TensorFlow itself is meant, not Keras: all of exporters/, and these files.
TENSORFLOW = {"exporters", "decoding/compiled.py", "training/optimizer.py", "inspect/gradients.py", "support/cores.py"}
TENSORFLOW_TEXT = {"exporters/saved_model.py", "exporters/tflite_text.py"}

HEAVY = {
    "tensorflow",
    "tensorflow_text",
    "keras",
    "datasets",
    "jax",
    "torch",
    "pandas",
    "pyarrow",
    "sentencepiece",
    "sacrebleu",
    "matplotlib",
    "jinja2",
}

# Commands that take neither CONFIG nor --run (compare and report have arguments of their own form): only their --help is asked for.
WITHOUT_CONFIG = {"benchmark", "compare", "report"}


def room_of(path: Path) -> str:
    """The first folder below pipeline/, or "command"."""
    inside = path.relative_to(PACKAGE).parts
    return inside[0] if len(inside) > 1 else "command"


def imported(path: Path) -> list[tuple[int, str]]:
    """Line and dotted name of every import of a file, also of those inside functions."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            if path.parent.name == "runtime":  # it is copied, and has another name there
                assert node.level <= 1, f"{path}:{node.lineno}: leaves pipeline/runtime/"
                found.append((node.lineno, f"pipeline.runtime.{node.module}" if node.level else node.module or ""))
                continue
            assert not node.level, f"{path}:{node.lineno}: imports of this package are written in full: from pipeline..."
            found.append((node.lineno, node.module or ""))
            if node.module == "pipeline":
                found += [(node.lineno, f"pipeline.{alias.name}") for alias in node.names]
    return found


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def test_every_folder_is_a_room_that_this_test_knows() -> None:
    folders = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.rglob("*.py"))}
    assert folders <= set(MAY_IMPORT)


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    room = room_of(path)
    if room == "command":
        return
    for line, name in imported(path):
        if name.startswith("pipeline.") and name != "pipeline.__version__":
            other = name.split(".")[1]
            assert other in MAY_IMPORT, f"{path}:{line}: a library imports the command {name}"
            assert other in MAY_IMPORT[room] | {room}, f"{path}:{line}: {room}/ must not import {other}/"


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) == "runtime"], ids=name_of)
def test_the_runtime_needs_little(path: Path) -> None:
    for line, name in imported(path):
        top = name.split(".")[0]
        if top == "pipeline":
            assert name.startswith("pipeline.runtime."), f"{path}:{line}: runtime/ imports {name}"
        else:
            assert top in {"ai_edge_litert", "numpy", "sentencepiece", *sys.stdlib_module_names}, f"{path}:{line}: runtime/ imports {name}"


@pytest.mark.parametrize("path", [path for path in FILES if room_of(path) == "model"], ids=name_of)
def test_the_model_is_keras_alone(path: Path) -> None:
    for line, name in imported(path):
        top = name.split(".")[0]
        assert top in {"keras", "numpy", "pipeline", *sys.stdlib_module_names}, f"{path}:{line}: model/ imports {name}"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_tensorflow_only_where_tensorflow_is_meant(path: Path) -> None:
    inside = path.relative_to(PACKAGE).as_posix()
    for line, name in imported(path):
        top = name.split(".")[0]
        if top == "tensorflow":
            assert inside in TENSORFLOW or room_of(path) in TENSORFLOW, f"{path}:{line}: {inside} imports tensorflow"
        if top == "tensorflow_text":
            assert inside in TENSORFLOW_TEXT, f"{path}:{line}: {inside} imports tensorflow_text"


@pytest.mark.parametrize("path", COMMANDS, ids=name_of)
def test_a_command_answers_at_once(path: Path, tmp_path: Path) -> None:
    """`--help` and a mistake in the config are answered before anything heavy is imported."""
    module = f"pipeline.{path.stem}"
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("name: wrong\nepochs: 3\n")
    run = tmp_path / "wrong"
    run.mkdir()
    (run / "config.yaml").write_text(wrong.read_text())
    commands = [["--help"]] if path.stem in WITHOUT_CONFIG else [["--help"], [str(wrong)], ["--run", str(run)]]
    check = f"""
import sys
from {module} import main
for arguments in {commands!r}:
    try:
        print("status", main(arguments))
    except SystemExit as end:
        print("status", end.code)
print("heavy:", sorted({HEAVY!r} & set(sys.modules)))
"""
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=60, cwd=ROOT, check=False)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    statuses = [line for line in lines if line.startswith("status")]
    assert statuses == ["status 0", "status 2", "status 2"][: len(commands)], result.stdout + result.stderr
    assert f"usage: python -m {module}" in result.stdout
    assert path.stem in WITHOUT_CONFIG or "unknown key 'epochs'. Did you mean 'training.epochs'?" in result.stderr
    assert lines[-1] == "heavy: []"
