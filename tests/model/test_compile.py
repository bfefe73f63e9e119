from __future__ import annotations

import subprocess
import sys

import pytest

from tests.repository import ROOT


@pytest.mark.slow
def test_a_model_without_hooks_compiles_as_one_graph():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "tests.model.compiled"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
