"""The API index has every public name, with an example that uses it; `tests/test_docs.py` runs them."""

from __future__ import annotations

import re

import pytest

import unweave
from tests.repository import ROOT

PAGE = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
SECTIONS = {
    name: text
    for heading, text in re.findall(r"^### (.+?)$(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    for name in re.findall(r"`(\w+)`", heading)
}
PUBLIC = [name for name in unweave.__all__ if not name.startswith("_")]


def test_it_lists_the_public_names_and_no_others():
    assert sorted(SECTIONS) == sorted(PUBLIC)


@pytest.mark.parametrize("name", PUBLIC)
def test_each_has_an_example_that_uses_it(name: str):
    examples = re.findall(r"^```python\n(.*?)^```$", SECTIONS.get(name, ""), re.MULTILINE | re.DOTALL)
    assert re.search(rf"\b{name}\b", "\n".join(examples)), f"an example of {name} in docs/api.md"
