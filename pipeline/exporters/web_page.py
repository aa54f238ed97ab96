"""The page: a translator that runs in a browser, from static files alone, and without a network once it has been opened.

The folder holds the page (`pipeline/exporters/web/app/`), LiteRT's runtime for browsers (WebAssembly, from the npm registry), and the
smallest exported model. Any server of files will do (`python -m http.server`); browsers want https, or this very machine, before they
install it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from pipeline.configuration import Config
from pipeline.exporters.npm import fetch_package
from pipeline.runtime.errors import UserError
from pipeline.runtime.translator import DETAILS, SMALLEST_FIRST, read_details
from pipeline.support.files import write_json

LITERT = ("@litertjs/core", "2.5.3")
LITERT_HELPER = ("@litertjs/wasm-utils", "2.5.3")

# With the processor's newer instructions and without; which one fits is found out in the browser.
_WASM = ("litert_wasm_internal", "litert_wasm_compat_internal")


def check_page(config: Config) -> None:
    """Makes sure that the page can be made: better before minutes of exporting than after.

    Raises:
        UserError: it cannot.
    """
    if config.tokenizer.type != "unigram":
        raise UserError("export.web: the page reads unigram models alone. Set tokenizer.type to unigram, or leave the page out.")
    if not config.export.tflite:
        raise UserError("export.web: the page needs a .tflite file. Name a precision in export.tflite.")
    for package in (LITERT, LITERT_HELPER):
        fetch_package(*package)


def write_page(phone: Path, folder: Path) -> None:
    """Writes the page.

    Args:
        phone: the folder of the .tflite files.
        folder: is made.

    Raises:
        UserError: see `fetch_package`.
    """
    shutil.copytree(Path(__file__).parent / "web" / "app", folder)
    _add_runtime(folder / "litert")
    details = read_details(phone)
    precision = next(name for name in SMALLEST_FIRST if name in details["files"])
    details["files"] = {precision: details["files"][precision]}
    (folder / "model").mkdir()
    for file in {details["files"][precision]["file"], details["source_subwords"]["file"], details["target_subwords"]["file"]}:
        shutil.copyfile(phone / file, folder / "model" / file)
    write_json(folder / "model" / DETAILS, details)
    languages = f"{details['source_language']} → {details['target_language']}"
    manifest = {
        "name": f"Translator {languages}",
        "short_name": languages,
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#f6f5f1",
        "theme_color": "#1f5f8b",
        "icons": [{"src": "icon.svg", "sizes": "any", "type": "image/svg+xml", "purpose": "any maskable"}],
    }
    write_json(folder / "manifest.webmanifest", manifest)
    _list_files(folder)


def _add_runtime(folder: Path) -> None:
    core, helper = fetch_package(*LITERT), fetch_package(*LITERT_HELPER)
    (folder / "wasm").mkdir(parents=True)
    for name in _WASM:
        for ending in ("js", "wasm"):
            shutil.copyfile(core / "wasm" / f"{name}.{ending}", folder / "wasm" / f"{name}.{ending}")
    shutil.copyfile(helper / "dist" / "index.js", folder / "wasm-utils.js")
    # A browser knows no packages by name, only files.
    text = (core / "dist" / "index.js").read_text(encoding="utf-8")
    named = f'from "{LITERT_HELPER[0]}"'
    if named not in text:
        raise UserError(f"export.web: {LITERT[0]} {LITERT[1]} is built otherwise than expected; please report it.")
    (folder / "core.js").write_text(text.replace(named, 'from "./wasm-utils.js"'), encoding="utf-8")
    for package, name in ((core, "core"), (helper, "wasm-utils")):
        for licence in package.glob("LICENSE*"):
            shutil.copyfile(licence, folder / f"{licence.name}.{name}")


def _list_files(folder: Path) -> None:
    """files.json: what the page needs without a network, and a hash of it all; of the runtimes the browser keeps the one it uses."""
    digest = hashlib.sha256()
    files = []
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        digest.update(json.dumps([name, hashlib.sha256(path.read_bytes()).hexdigest()]).encode())
        if not name.startswith("litert/wasm/") and name != "sw.js":
            files.append(name)
    write_json(folder / "files.json", {"version": digest.hexdigest()[:16], "files": files})
