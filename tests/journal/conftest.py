"""A fresh journal."""

from __future__ import annotations

from pathlib import Path

import pytest

from unweave.journal import Journal


@pytest.fixture
def journal(tmp_path: Path):
    with Journal.open(tmp_path / "journal.db", create=True) as opened:
        yield opened
