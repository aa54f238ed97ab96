"""The page: it translates in a browser as the files do in Python, without a network too, and says what is wrong with its files."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import random
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from test_export import ODD_TEXTS, SETTINGS, describe, random_run, sentence

from pipeline import export as command
from pipeline.runtime.errors import UserError
from pipeline.runtime.segmentation import split_line
from pipeline.runtime.text import clean
from pipeline.runtime.translator import PhoneTranslator
from pipeline.support.run_directory import RunDirectory

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("npm") is None, reason="npm, which the page's runtime is fetched with, is not installed"),
]
needs_chromium = pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("chromedriver") is None, reason="chromium and chromedriver are not installed"
)
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
PHONE = {"deviceMetrics": {"width": 390, "height": 844, "pixelRatio": 2.0, "mobile": True}}

# What the page's code makes of texts, without an interpreter.
NODE = """
import { readFileSync } from "node:fs";
const [app, folder, texts] = process.argv.slice(2);
const { Translator } = await import(`${app}/translator.js`);
const { clean, splitText } = await import(`${app}/text.js`);
const details = JSON.parse(readFileSync(`${folder}/translator.json`));
const model = new Uint8Array(readFileSync(`${folder}/${details.source_subwords.file}`));
if (process.argv[5]) details.slots.unknown = process.argv[5];
const translator = new Translator(details, model, model, null, null);
for (const line of JSON.parse(readFileSync(texts))) {
  const text = clean(line, details.cleaning);
  const { ids, kept } = translator.encode(text);
  const segments = splitText(text, 12, (part) => translator.count(part), translator.slots.patterns);
  console.log(JSON.stringify({ text, ids, kept: [...kept.values()], back: translator.decode(ids, kept), segments }));
}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    run, config = random_run(tmp_path_factory.mktemp("runs") / "toy", SETTINGS["shared"], saved_model=False, tflite=["float32"])
    command.run_stage(config, run, web=True)
    return run


def texts() -> list[str]:
    generator = random.Random(2)
    bits = [
        "{a}",
        "{b_c}",
        "<b>",
        "%s",
        " http://x.y/z.",
        "kalo ",
        "🎉",
        " 日本",
        "\ue001",
        "{",
        ". ",
        "é",
        "e\u0301",
        "\u200d",
        "👍🏽",
        "\u00ad",
    ]
    bits += [". ª", "! ⓐb", "\ufeff", "\n", "\t", "! ", "? ", ", ", "Mi lo. ", "▁", "\ud800", "\u2028", "ß", "。", "kaka", "  "]
    odd = ["".join(generator.choices(bits, k=generator.randrange(25))) for _ in range(1000)]
    return [*ODD_TEXTS, *odd, *(sentence(generator) for _ in range(1000))]


@pytest.mark.parametrize("unknown", ["", "copy", "mark"])
def test_its_code_makes_of_texts_what_python_makes(run: RunDirectory, tmp_path: Path, unknown: str) -> None:
    (tmp_path / "check.mjs").write_text(NODE)
    (tmp_path / "texts.json").write_text(json.dumps(texts()))
    done = subprocess.run(
        ["node", str(tmp_path / "check.mjs"), str(run.web), str(run.web / "model"), str(tmp_path / "texts.json"), unknown],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    phone = PhoneTranslator(run.tflite)
    if unknown == "mark":
        phone.slots = replace(phone.slots, known=None)
    for text, line in zip(texts(), done.stdout.splitlines(), strict=True):
        cleaned = clean(text, **phone.details["cleaning"])
        ids, kept = phone.encode(cleaned)
        found = json.loads(line)
        assert (found["text"], found["ids"], found["kept"]) == (cleaned, ids, list(kept.values())), text
        assert found["back"] == phone.decode(ids, kept), text
        assert found["segments"] == split_line(cleaned, 12, phone.count, phone.slots.compiled), text


# Counts how often the interpreter is asked.
LONG = """
import { readFileSync } from "node:fs";
const [app, folder] = process.argv.slice(2);
const { Translator } = await import(`${app}/translator.js`);
const details = JSON.parse(readFileSync(`${folder}/translator.json`));
const model = new Uint8Array(readFileSync(`${folder}/${details.source_subwords.file}`));
let searches = 0;
const search = async (ids) => { searches++; return { ids: ids.slice(0, 3), score: 0 }; };
const translator = new Translator(details, model, model, search, null);
const text = Array.from({ length: 20 }, (_, number) => `Kalo mi ${"lo".repeat(number + 1)}.`).join(" ");
const { sentences, text: found } = await translator.translate(text);
const first = searches;
const again = await translator.translate(`${text} Mi kalo.`);
const second = searches - first;
const stopped = await translator.translate(Array(9).fill("Ter un sel dor ka lo mi ter.").map((part, number) => part + number).join(" "),
  () => searches - first - second === 2);
console.log(JSON.stringify({ segments: sentences.length, first, second, stopped, third: searches - first - second,
  same: again.text.startsWith(found.slice(0, -20)) }));
"""


def test_of_a_long_text_what_was_translated_is_not_translated_anew_and_newer_text_comes_first(run: RunDirectory, tmp_path: Path) -> None:
    (tmp_path / "long.mjs").write_text(LONG)
    command = ["node", str(tmp_path / "long.mjs"), str(run.web), str(run.web / "model")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["segments"] >= found["first"] > 8
    assert found["second"] <= 2, "only the end of the text is new"
    assert found["same"]
    assert found["stopped"] is None and found["third"] == 2, "newer text was wanted after two segments"


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


@contextlib.contextmanager
def browser(profile: Path) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in [*FLAGS, f"--user-data-dir={profile}"]:
        options.add_argument(flag)
    options.add_experimental_option("mobileEmulation", PHONE)
    options.binary_location = shutil.which("chromium")
    driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    driver.set_script_timeout(60)
    try:
        yield driver
    finally:
        driver.quit()


def until(driver: Any, expression: str) -> Any:
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(driver, 60, 0.05).until(lambda driver: driver.execute_script(f"return {expression}"))


def typed(driver: Any, text: str) -> str:
    """What the page shows for a text."""
    driver.execute_script(
        "const box = document.getElementById('source'); box.value = arguments[0]; "
        "document.getElementById('time').textContent = ''; box.dispatchEvent(new Event('input'))",
        text,
    )
    until(driver, "document.getElementById('time').textContent")
    shown: str = driver.execute_script("return document.getElementById('target').textContent")
    return shown


@needs_chromium
def test_it_translates_in_a_browser_also_without_a_network(run: RunDirectory, tmp_path: Path) -> None:
    phone = PhoneTranslator(run.tflite)
    generator = random.Random(3)
    sources = [sentence(generator) for _ in range(8)]
    sources += ["{name} kalo 🙂", " ".join(["Kalo mi {a}."] * 12)]
    with browser(tmp_path / "profile") as driver:
        with served(run.web) as address:
            driver.get(address)
            assert until(driver, "window.pocketnmt && !window.pocketnmt.error")
            for source in sources[:8]:
                ids = driver.execute_async_script(
                    "const done = arguments[1]; "
                    "window.pocketnmt.translator.translate(arguments[0]).then((found) => done(found.sentences[0].found), done)",
                    source,
                )
                assert ids == phone.translate_ids(phone.encode(source)[0])[0], source
            for source in sources:
                assert typed(driver, source) == phone.translate(source)
            assert until(driver, "document.body.dataset.offline") == "ready"

            # On the screen of a phone: nothing is wider than it, and attention is there when it is asked for.
            driver.execute_script("document.getElementById('look').click()")
            assert until(driver, "document.querySelectorAll('#attention td').length")
            assert driver.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
            rows, weight = driver.execute_script(
                "const cells = [...document.querySelectorAll('#attention td')]; "
                "return [document.querySelectorAll('#attention tbody tr').length, "
                "cells.reduce((sum, cell) => sum + Number(cell.style.getPropertyValue('--weight')), 0)]"
            )
            assert weight == pytest.approx(rows, abs=0.1)  # each row sums to 1
            assert driver.save_screenshot(str(tmp_path / "page.png")) and (tmp_path / "page.png").stat().st_size > 20_000

        # The server is gone.
        driver.get(address)
        assert until(driver, "window.pocketnmt && !window.pocketnmt.error")
        assert until(driver, "document.body.dataset.offline") == "ready"
        assert typed(driver, sources[0]) == phone.translate(sources[0])


# How often the page has its turn during a hundred searches.
TURNS = """
const [ids, done] = arguments;
const { translator } = window.pocketnmt;
let turns = 0;
const { port1, port2 } = new MessageChannel();
port1.onmessage = () => { turns++; port2.postMessage(null); };
port2.postMessage(null);
(async () => {
  for (let search = 0; search < 100; search++) await translator.translateIds(ids);
  port1.close();
  done(turns);
})();
"""


@needs_chromium
def test_the_page_does_not_stand_still_while_it_translates(run: RunDirectory, tmp_path: Path) -> None:
    ids = PhoneTranslator(run.tflite).encode("kalo mi ter")[0]
    with served(run.web) as address, browser(tmp_path / "profile") as driver:
        driver.get(address)
        assert until(driver, "window.pocketnmt && !window.pocketnmt.error")
        assert driver.execute_async_script(TURNS, ids) >= 100


@needs_chromium
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda model: (model / "float32.tflite").write_bytes((model / "float32.tflite").read_bytes()[:5000]), "float32.tflite: is file"),
        (lambda model: (model / "joint.model").write_bytes((model / "joint.model").read_bytes() + b"\n\0"), "joint.model: is file"),
        (lambda model: (model / "joint.model").unlink(), "model/joint.model: 404"),
        (lambda model: (model.parent / "interpreter-worker.js").unlink(), "interpreter-worker.js could not be loaded. Copy the whole"),
        (
            lambda model: (model / "translator.json").write_text(
                json.dumps(json.loads((model / "translator.json").read_text()) | {"schema_version": 99})
            ),
            "has schema_version 99, expected 2. Export again.",
        ),
    ],
    ids=["truncated", "another tokenizer", "a file is missing", "a script is missing", "another version"],
)
def test_it_says_what_is_wrong_with_its_files(run: RunDirectory, tmp_path: Path, spoil: Any, message: str) -> None:
    folder = Path(shutil.copytree(run.web, tmp_path / "web"))
    spoil(folder / "model")
    with served(folder) as address, browser(tmp_path / "profile") as driver:
        driver.get(address)
        assert message in until(driver, "window.pocketnmt && window.pocketnmt.error")
        assert message in until(driver, "document.getElementById('state').textContent")


@needs_chromium
def test_its_buttons_and_its_state(run: RunDirectory, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(run.web, tmp_path / "web"))
    describe(folder / "model", lambda details: details.update(target_language="pt_BR"))
    (folder / "sw.js").unlink()
    with served(folder) as address, browser(tmp_path / "profile") as driver:
        driver.get(address)
        # A page that could not be stored translates all the same.
        assert until(driver, "document.body.dataset.offline") == "failed"
        state = "document.getElementById('state')"
        assert driver.execute_script(f"return {state}.textContent").startswith("Ready, but only with a network: ")
        assert driver.execute_script(f"return {state}.className") == ""
        assert driver.execute_script("return document.getElementById('target').lang") == "pt-BR"
        assert driver.execute_script("return [...document.querySelectorAll('[dir=auto]')].map((box) => box.id)") == ["source", "target"]

        # An error is shown until something goes well.
        driver.execute_script("window.search = window.pocketnmt.translator.search; window.pocketnmt.translator.search = null")
        driver.execute_script("const box = document.getElementById('source'); box.value = 'kalo'; box.dispatchEvent(new Event('input'))")
        assert until(driver, f"{state}.className") == "error"
        driver.execute_script("window.pocketnmt.translator.search = window.search")
        translation = typed(driver, "kalo mi")
        assert until(driver, f"!{state}.className && {state}.textContent").startswith("Ready")

        # Attention in words, for those who do not see colours or have no mouse; it goes with the text.
        driver.execute_script("document.getElementById('look').click()")
        assert until(driver, "document.querySelector('#attention tbody td')?.textContent").startswith("0.")
        assert driver.execute_script("return document.querySelectorAll('#attention th:not([scope])').length") == 0
        driver.execute_script("document.querySelector('#attention tbody td span').click()")
        assert " looks at " in driver.execute_script("return document.getElementById('cell').textContent")

        # Over plain http there is no clipboard, only the old way; where that fails too, the text is selected.
        for works, told in ((True, "Copied"), (False, "copy it by hand")):
            driver.execute_script("Object.defineProperty(navigator, 'clipboard', { value: undefined, configurable: true })")
            driver.execute_script(
                f"document.execCommand = (name) => {{ window.copied = name + ' ' + getSelection(); return {str(works).lower()}; }}"
            )
            driver.execute_script("document.getElementById('copy').click()")
            assert until(driver, f"{state}.textContent.includes('{told}')")
            assert driver.execute_script("return window.copied").strip() == f"copy {translation}"
        assert driver.execute_script("return String(getSelection())").strip() == translation

        driver.execute_script("document.getElementById('clear').click()")
        assert until(driver, "document.getElementById('attention').hidden")
        assert driver.execute_script("return document.getElementById('look').getAttribute('aria-expanded')") == "false"


def test_a_model_that_the_page_cannot_read_is_refused_at_once(run: RunDirectory) -> None:
    config = run.load_config(["tokenizer.type=bpe"])
    with pytest.raises(UserError, match=r"export\.web: the page reads unigram models alone"):
        command.run_stage(config, run, web=True)
    with pytest.raises(UserError, match=r"export\.web: the page needs a \.tflite file"):
        command.run_stage(run.load_config(["export.tflite=[]", "export.saved_model=true"]), run, web=True)
    with pytest.raises(UserError, match=r"export\.web: the page cannot have the pattern '\(\?i\)<br>' of tokenizer\.placeholders"):
        command.run_stage(run.load_config(["tokenizer.placeholders=['(?i)<br>']"]), run, web=True)
