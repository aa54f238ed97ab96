"""Fetching from the npm registry: a failure is told with npm's own reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.exporters.npm import fetch_package
from pipeline.runtime.errors import UserError

NOT_FOUND = """npm error code E404
npm error 404 Not Found - GET https://registry.npmjs.org/@litertjs%2fcore - Not found
npm error 404
npm error 404  '@litertjs/core@9.9.9' is not in this registry.
npm error A complete log of this run can be found in: /root/.npm/_logs/debug-0.log
"""
NO_SUCH_VERSION = """npm error code ETARGET
npm error notarget No matching version found for @litertjs/core@9.9.9.
npm error notarget In most cases you or one of your dependencies are requesting a package version that doesn't exist.
npm error A complete log of this run can be found in: /root/.npm/_logs/debug-0.log
"""
NO_NETWORK = """npm ERR! code ENOTFOUND
npm ERR! syscall getaddrinfo
npm ERR! errno ENOTFOUND
npm ERR! network request to https://registry.npmjs.org/@litertjs%2fcore failed, reason: getaddrinfo ENOTFOUND registry.npmjs.org
npm ERR! network This is a problem related to network connectivity.
"""


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (NOT_FOUND, "404 Not Found - GET https://registry.npmjs.org/@litertjs%2fcore - Not found"),
        (NO_SUCH_VERSION, "No matching version found for @litertjs/core@9.9.9."),
        (NO_NETWORK, "request to https://registry.npmjs.org/@litertjs%2fcore failed, reason: getaddrinfo ENOTFOUND registry.npmjs.org"),
        ("", "npm gave no reason"),
    ],
)
def test_npm_s_reason_is_told(said: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "said").write_text(said)
    npm = tmp_path / "npm"
    # As npm does: --silent keeps it from saying anything.
    npm.write_text(f'#!/bin/sh\ncase "$*" in *--silent*) ;; *) cat "{tmp_path}/said" >&2 ;; esac\nexit 1\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("POCKETNMT_CACHE", str(tmp_path / "cache"))
    with pytest.raises(UserError) as error:
        fetch_package("@litertjs/core", "9.9.9")
    assert str(error.value) == f"export.web: @litertjs/core 9.9.9 could not be fetched from the npm registry: {reason}"
    assert not list((tmp_path / "cache").rglob("*.tgz"))
