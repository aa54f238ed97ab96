"""Translator.kt, built and run: its translations are those of Python.

What of Android it calls is in tests/kotlin/. The compiler comes with a kernel for notebooks: `pip install -e .[kotlin]`, and Java.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_export import SETTINGS, random_run
from test_web import texts

from pipeline import export as command
from pipeline.runtime.translator import PhoneTranslator
from pipeline.support.run_directory import RunDirectory

_KERNEL = importlib.util.find_spec("run_kotlin_kernel")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(_KERNEL is None or shutil.which("java") is None, reason="a compiler of Kotlin, and Java, are not installed"),
]
HERE = Path(__file__).parent / "kotlin"


def jars(pattern: str) -> str:
    """A class path of the kernel's libraries."""
    assert _KERNEL and _KERNEL.submodule_search_locations
    found = sorted(Path(_KERNEL.submodule_search_locations[0]).glob(f"jars/{pattern}"))
    assert found, pattern
    return ":".join(map(str, found))


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The class path of what was built."""
    folder = tmp_path_factory.mktemp("kotlin")
    libraries = ":".join(map(jars, ("kotlin-stdlib-*.jar", "kotlinx-serialization-*-jvm-*.jar")))
    sources = [str(HERE.parents[1] / "pipeline" / "exporters" / "apps" / "Translator.kt"), *map(str, HERE.glob("*.kt"))]
    build = ["java", "-cp", jars("kotlin-jupyter-kernel-*-all.jar"), "org.jetbrains.kotlin.cli.jvm.K2JVMCompiler"]
    options = ["-no-stdlib", "-no-reflect", "-Werror", "-cp", libraries, "-d", str(folder)]
    done = subprocess.run([*build, *options, *sources], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return f"{folder}:{libraries}"


@pytest.mark.parametrize("joint", [True, False])
def test_it_translates_as_python_does(program: str, tmp_path: Path, joint: bool) -> None:
    settings = SETTINGS["shared"].replace("vocabulary_size: 150", f"vocabulary_size: 150, joint: {json.dumps(joint)}")
    if not joint:
        settings = settings.replace("max_tokens: 20", "max_tokens: 20, shared_embeddings: false")
    run, config = random_run(tmp_path / "toy", settings, saved_model=False, tflite=["int8"])
    command.run_stage(config, run)
    given = [*texts(), "half of a character: \ud83d"]
    *found, last = translated(program, run, given)
    assert found == list(map(PhoneTranslator(run.tflite).translate, given))
    made, closed = map(int, last.split())
    assert made == closed > 1, "interpreters are replaced, and none is left"


def translated(program: str, run: RunDirectory, given: list[str]) -> list[str]:
    """What the program prints."""
    interpreter = "\n".join([sys.executable, str(HERE / "interpreter.py")])
    done = subprocess.run(
        ["java", f"-Dinterpreter={interpreter}", "-cp", program, "MainKt", str(run.tflite)],
        input=json.dumps(given).encode(),
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode().split("\n")[:-1]
