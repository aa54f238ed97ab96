"""The page: a translator that runs in a browser, from static files alone, and without a network once it has been opened.

The folder holds the page (`pipeline/exporters/web/app/`), LiteRT's runtime for browsers (WebAssembly, from the npm registry), and the
smallest exported model. Any server of files will do (`python -m http.server`); browsers want https, or this very machine, before they
install it.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from pathlib import Path

from pipeline.configuration import Config
from pipeline.exporters.npm import fetch_package
from pipeline.exporters.web.patterns import javascript_pattern
from pipeline.runtime.errors import UserError
from pipeline.runtime.translator import DETAILS, SMALLEST_FIRST, read_details
from pipeline.support.files import sha256, write_json

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
    for pattern in config.tokenizer.placeholders:
        javascript_pattern(pattern)
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
    # With the time of now: browsers ask again for what is new, and trust for days what is old.
    shutil.copytree(Path(__file__).parent / "web" / "app", folder, copy_function=shutil.copyfile)
    _add_runtime(folder / "litert")
    details = read_details(phone)
    precision = next(name for name in SMALLEST_FIRST if name in details["files"])
    details["files"] = {precision: details["files"][precision]}
    # In JavaScript's spelling: the page's own copy of translator.json differs in this, and in that it names one file.
    details["slots"]["patterns"] = [javascript_pattern(pattern) for pattern in details["slots"]["patterns"]]
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
    """Writes what makes the page work without a network, and an export differ from the one before.

    files.json: {version, files: {name: sha256}}, all that is kept in the browser; of the runtimes it keeps the one that it uses, which
    the page names. The version, a hash of all files, stands in sw.js as well: a browser looks whether this file has other bytes. So do
    the hashes of the runtimes.
    """
    hashes = {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    version = hashlib.sha256(json.dumps(hashes).encode()).hexdigest()[:16]
    runtimes = {name: digest for name, digest in hashes.items() if name.startswith("litert/wasm/")}
    files = {name: digest for name, digest in hashes.items() if name not in runtimes and name != "sw.js"}
    write_json(folder / "files.json", {"version": version, "files": files})
    worker = (folder / "sw.js").read_text(encoding="utf-8")
    for name, value in (("VERSION", version), ("RUNTIMES", runtimes)):
        worker, found = re.subn(rf"(?m)^const {name} = .*?;", f"const {name} = {json.dumps(value)};", worker)
        assert found == 1, name
    (folder / "sw.js").write_text(worker, encoding="utf-8")
