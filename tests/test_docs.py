"""Every Python example in the documentation runs, after those above it on its page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.repository import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

PAGES = [
    path
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if BLOCK.search(path.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_of_a_page_run_from_top_to_bottom(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for number, example in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")), start=1):
        shortened = re.sub(r"\bsteps=\d+", "steps=2, batch_size=8", example)
        exec(compile(shortened, f"{page.name}, example {number}", "exec"), names)
