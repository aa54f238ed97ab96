"""Pairs from the translators' formats TMX, XLIFF and PO, as the translate-toolkit understands them.

TMX and XLIFF files of gigabytes exist, and the toolkit's stores load a whole file; so lxml hands over one unit at a time,
and the toolkit's unit classes read it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.data.sources.lines import opened
from pipeline.runtime.errors import UserError
from pipeline.support.languages import base_language

Texts = Iterator[tuple[str, str]]

# Targets in these XLIFF states are not finished translations: machine output, copies of the source, drafts.
_UNFINISHED = {"new", "initial", "needs-translation", "needs-adaptation", "needs-l10n", "needs-review-translation"}


def read_tmx(path: Path, source_language: str, target_language: str) -> Texts:
    """Every `tu` that has both languages.

    Raises:
        UserError: not XML, or no unit has both languages (those there are listed).
    """
    from translate.misc.xml_helpers import getXMLlang
    from translate.storage.tmx import tmxunit

    seen: set[str] = set()
    count = 0
    for element in _elements(path, ("{*}tu",)):
        unit = tmxunit.createfromxmlElement(element)
        texts = {getXMLlang(node) or node.get("lang") or "": unit.getNodeText(node) or "" for node in unit.getlanguageNodes()}
        seen.update(texts)
        source, target = _in_language(texts, source_language), _in_language(texts, target_language)
        if source is not None and target is not None:
            count += 1
            yield source, target
    if count == 0:
        raise UserError(
            f"{path}: no unit has both '{source_language}' and '{target_language}'. Languages there: {', '.join(sorted(seen)) or 'none'}."
        )


def read_xliff(path: Path, source_language: str, target_language: str) -> Texts:
    """Every translated unit of XLIFF 1.x (`trans-unit`) or 2.x (`segment`); unfinished states are skipped.

    A file for the opposite direction is turned round.

    An inline placeholder is what its attributes say that it stands for (`equiv-text`, `disp`, `equiv`); without any it is left out.

    Raises:
        UserError: not XML, or not XLIFF, or of other languages.
    """
    from translate.storage.xliff import Xliff1Unit
    from translate.storage.xliff2 import Xliff2Unit

    any_units = False
    for element in _elements(path, ("{*}trans-unit", "{*}segment")):
        any_units = True
        namespace, _, name = element.tag.rpartition("}")
        segment = name == "segment"
        _write_out(element)
        unit: Any = (Xliff2Unit if segment else Xliff1Unit).createfromxmlElement(element)
        unit.namespace = namespace.removeprefix("{") or None  # some programs leave it out
        target_node = element.find("{*}target")
        state = element.get("state") if segment else None if target_node is None else target_node.get("state")
        if target_node is None or state in _UNFINISHED or not unit.target:
            continue
        outer = "xliff" if segment else "file"
        holder = next(element.iterancestors(f"{{*}}{outer}"), None)
        if holder is None:
            raise UserError(f"{path}: is not XLIFF: a {name} stands outside of any {outer}.")
        names = ("srcLang", "trgLang") if segment else ("source-language", "target-language")
        pair = (str(unit.source or ""), str(unit.target))
        yield pair[::-1] if _reversed(path, holder.get(names[0]), holder.get(names[1]), source_language, target_language) else pair
    if not any_units:
        raise UserError(f"{path}: has no units; is it an XLIFF file?")


def _write_out(unit: Any) -> None:
    """Puts text in the place of the inline placeholders of an XLIFF unit, which the toolkit would leave out."""
    known: dict[str, str] = {}  # that of the target may have its number alone
    for side in ("source", "target"):
        parent = unit.find(f"{{*}}{side}")
        for mark in [] if parent is None else list(parent.iter("{*}x", "{*}ph", "{*}bx", "{*}ex")):
            number = mark.get("id", "")
            text = next((mark.get(key) for key in ("equiv-text", "disp", "equiv") if mark.get(key)), None) or known.get(number, "")
            known.setdefault(number, text)
            text += mark.tail or ""
            before = mark.getprevious()
            if before is not None:
                before.tail = (before.tail or "") + text
            else:
                mark.getparent().text = (mark.getparent().text or "") + text
            mark.getparent().remove(mark)


def read_po(path: Path, source_language: str, target_language: str) -> Texts:
    """Every translated message that is neither fuzzy nor obsolete; of plurals the first and the last form.

    A file whose header says that it is in the source language is turned round.

    Raises:
        UserError: not a PO file, or of another language.
    """
    from translate.storage.pypo import pofile

    with opened(path) as file:
        content = file.read()
    try:
        store = pofile.parsestring(content)
    except Exception as error:  # the parser has no error class of its own
        raise UserError(f"{path}: is not a PO file: {error}") from error
    if not store.units:
        raise UserError(f"{path}: has no messages; is it a PO file?")
    language = store.parseheader().get("Language", "").strip() or None
    turned = _reversed(path, None, language, source_language, target_language)
    for unit in store.units:
        if unit.isheader() or unit.isobsolete() or unit.isfuzzy() or not unit.istranslated():
            continue
        sources, targets = _forms(unit.source), _forms(unit.target)
        # A language with three or more plural forms says "many" with its last one, as the plural of the source does.
        pairs = {(sources[0], targets[0]), (sources[-1], targets[-1])} if len(sources) > 1 else {(sources[0], targets[0])}
        for source, target in sorted(pairs):
            yield (target, source) if turned else (source, target)


def _forms(text: Any) -> list[str]:
    return [str(form) for form in getattr(text, "strings", None) or [text]]


def _elements(path: Path, tags: tuple[str, ...]) -> Iterator[Any]:
    """The elements of those names, one after the other; each is freed when the next is asked for."""
    from lxml import etree

    with opened(path) as file:
        try:
            # No entities, no network: a corpus from elsewhere must not read files or expand a billion laughs.
            for _, element in etree.iterparse(file, tag=tags, resolve_entities=False, no_network=True, load_dtd=False):
                yield element
                element.clear(keep_tail=False)
                for node in (element, *element.iterancestors()):
                    while (before := node.getprevious()) is not None and node.getparent() is not None:
                        node.getparent().remove(before)
        except etree.XMLSyntaxError as error:
            raise UserError(f"{path}:{error.lineno}: is not well-formed XML: {error.msg}. Repair the file or export it again.") from error


def _in_language(texts: dict[str, str], language: str) -> str | None:
    """The text in that very language, or else in another variety of it (en-US for en)."""
    wanted = language.replace("_", "-").lower()
    exact = next((text for code, text in texts.items() if code.replace("_", "-").lower() == wanted), None)
    if exact is not None:
        return exact
    return next((text for code, text in texts.items() if base_language(code) == base_language(language)), None)


def _reversed(path: Path, source: str | None, target: str | None, source_language: str, target_language: str) -> bool:
    """Whether the file, which says it goes from `source` to `target`, goes the other way than the config.

    Raises:
        UserError: the file names a language that is neither.
    """
    ours = (base_language(source_language), base_language(target_language))
    if target is not None:
        theirs = (base_language(source) if source else None, base_language(target))
        if theirs[1] == ours[1] and theirs[0] in (None, ours[0]):
            return False
        if theirs[1] == ours[0] and theirs[0] in (None, ours[1]):
            return True
        said = f"from '{source}' into '{target}'" if source else f"into '{target}'"
        raise UserError(f"{path}: translates {said}, but the config asks for '{source_language}' into '{target_language}'.")
    if source is not None and base_language(source) not in ours:
        raise UserError(f"{path}: its source language is '{source}', but the config asks for '{source_language}' into '{target_language}'.")
    return source is not None and base_language(source) == ours[1]
