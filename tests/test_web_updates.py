"""The page stays new: another export at the same address is what the next visit shows, and half an export is never kept."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_export import SETTINGS, describe, random_run
from test_web import browser, needs_chromium, pytestmark, served, typed, until  # noqa: F401  (pytestmark: slow, and needs npm)

from pipeline import export as command
from pipeline.exporters.web_page import write_page
from pipeline.runtime.translator import PhoneTranslator
from pipeline.support.files import remove, sha256
from pipeline.support.run_directory import RunDirectory


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    run, config = random_run(tmp_path_factory.mktemp("runs") / "toy", SETTINGS["shared"], saved_model=False, tflite=["float32"])
    command.run_stage(config, run)
    return run


def page(run: RunDirectory, folder: Path, language: str, larger: int = 0) -> None:
    """A page of the run as if it translated into `language`, its file some bytes larger, in place of the page that is there."""
    phone = Path(shutil.copytree(run.tflite, folder.with_name("phone")))
    with (phone / "float32.tflite").open("ab") as file:
        file.write(bytes(larger))
    describe(phone, lambda details: details.update(target_language=language))
    describe(phone, lambda details: details["files"]["float32"].update(sha256=sha256(phone / "float32.tflite")))
    remove(folder)
    write_page(phone, folder)
    remove(phone)


def caches(driver: Any) -> list[str]:
    found: list[str] = driver.execute_async_script("const done = arguments[0]; caches.keys().then(done)")
    return found


@pytest.fixture
def visited(run: RunDirectory, tmp_path: Path) -> Iterator[tuple[Any, str, Path]]:
    """A browser that has opened a page and kept it; the page's address; its folder."""
    folder = tmp_path / "web"
    page(run, folder, "de")
    with browser(tmp_path / "profile") as driver, served(folder) as address:
        driver.get(address)
        assert until(driver, "document.body.dataset.offline") == "ready"
        yield driver, address, folder


@needs_chromium
def test_a_second_visit_shows_the_second_export(run: RunDirectory, visited: tuple[Any, str, Path]) -> None:
    driver, address, folder = visited
    (first,) = caches(driver)
    size = driver.execute_script("return document.getElementById('about').textContent")
    page(run, folder, "fr", larger=1_000_000)
    driver.get(address)
    assert until(driver, "document.title.endsWith('French')")
    assert until(driver, "document.body.dataset.offline") == "ready"
    assert driver.execute_script("return document.getElementById('about').textContent") != size
    assert typed(driver, "kalo mi") == PhoneTranslator(run.tflite).translate("kalo mi")
    (second,) = caches(driver)
    assert second != first
    assert second.endswith(json.loads((folder / "files.json").read_text())["version"])

    # Without a network the second one is there, too, with its runtime.
    remove(folder)
    driver.get(address)
    assert until(driver, "window.pocketnmt && !window.pocketnmt.error")
    assert driver.execute_script("return document.title").endswith("French")
    assert typed(driver, "mi kalo") == PhoneTranslator(run.tflite).translate("mi kalo")


@needs_chromium
def test_what_somebody_types_is_not_lost_to_a_newer_version(run: RunDirectory, visited: tuple[Any, str, Path]) -> None:
    driver, address, folder = visited
    page(run, folder, "fr")
    driver.get(address)
    driver.execute_script("document.getElementById('source').dispatchEvent(new Event('input'))")
    # The newer version is stored, and waits.
    waiting = "const done = arguments[0]; navigator.serviceWorker.ready.then(({ waiting }) => done(waiting?.state))"
    assert any(driver.execute_async_script(waiting) == "installed" or threading.Event().wait(0.1) for _ in range(600))
    assert typed(driver, "kalo mi") == PhoneTranslator(run.tflite).translate("kalo mi")
    assert driver.execute_script("return document.title").endswith("German")
    driver.get(address)
    assert until(driver, "document.title.endsWith('French')")


@needs_chromium
def test_half_an_export_is_not_kept(run: RunDirectory, visited: tuple[Any, str, Path]) -> None:
    driver, address, folder = visited
    before = Path(shutil.copytree(folder, folder.with_name("before")))
    page(run, folder, "fr")
    whole = Path(shutil.copytree(folder, folder.with_name("whole")))
    shutil.copyfile(before / "model" / "translator.json", folder / "model" / "translator.json")  # still being copied
    driver.get(address)
    assert until(driver, "document.body.dataset.offline") == "ready"
    threading.Event().wait(2)
    assert driver.execute_script("return document.title").endswith("German")
    deadline = time.monotonic() + 60  # a busy machine takes its time to find out
    while len(caches(driver)) != 1:
        assert time.monotonic() < deadline, "what was fetched of the half is still there"
        threading.Event().wait(0.2)
    shutil.copyfile(whole / "model" / "translator.json", folder / "model" / "translator.json")
    driver.get(address)
    assert until(driver, "document.title.endsWith('French')")


@needs_chromium
def test_half_a_runtime_is_not_kept(run: RunDirectory, visited: tuple[Any, str, Path]) -> None:
    """All files of the page are there, but LiteRT's own are still being copied."""
    driver, address, folder = visited
    whole = Path(shutil.copytree(folder / "litert", folder.with_name("litert")))
    page(run, folder, "fr")
    for path in (folder / "litert" / "wasm").glob("*.wasm"):
        path.write_bytes(path.read_bytes()[:100_000])
    driver.get(address)
    assert until(driver, "document.body.dataset.offline") == "ready"
    threading.Event().wait(2)
    assert driver.execute_script("return document.title").endswith("German")
    assert typed(driver, "mi kalo") == PhoneTranslator(run.tflite).translate("mi kalo")
    remove(folder / "litert")
    shutil.copytree(whole, folder / "litert")
    driver.get(address)
    assert until(driver, "document.title.endsWith('French')")
    assert until(driver, "document.body.dataset.offline") == "ready"
    assert typed(driver, "kalo mi") == PhoneTranslator(run.tflite).translate("kalo mi")
