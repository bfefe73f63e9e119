"""Every Python example in the documentation runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.repository import ROOT

BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)

EXAMPLES = [
    pytest.param(block, id=f"{path.relative_to(ROOT)}:{number}")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    for number, block in enumerate(BLOCK.findall(path.read_text(encoding="utf-8")), start=1)
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_example_runs(example: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    shortened = re.sub(r"\bsteps=\d+", "steps=2, batch_size=8", example)
    exec(compile(shortened, "example", "exec"), {"__name__": "__main__"})
