"""One version, said in three places."""

from __future__ import annotations

import re

import unweave
from tests.repository import ROOT


def first(pattern: str, name: str) -> str:
    found = re.search(pattern, (ROOT / name).read_text(encoding="utf-8"), re.MULTILINE)
    assert found, f"{name} names no version"
    return found[1]


def test_the_changelog_begins_with_this_version():
    assert first(r"^## \[(.+?)\]", "CHANGELOG.md") == unweave.__version__


def test_the_citation_names_this_version():
    assert first(r"^version: (.+)$", "CITATION.cff") == unweave.__version__
