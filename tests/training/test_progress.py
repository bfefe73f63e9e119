from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.training.small import TASK, new_model, short
from unweave.training import train


def test_without_a_bar_nothing_is_printed(tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    train(new_model(), TASK, short(), out=tmp_path)
    assert capfd.readouterr() == ("", "")


def test_the_bar_shows_its_label_the_loss_and_the_time_left(capfd: pytest.CaptureFixture[str]):
    run = train(new_model(), TASK, short(), progress=True, label="one-layer control")
    out, err = capfd.readouterr()
    assert out == ""
    last = err.rpartition("\r")[2]
    assert last.startswith("one-layer control: 100%")
    assert f"loss={run.history[-1].loss:.4f}" in last
    assert re.search(r"\d\d:\d\d<00:00", last), "time taken and time left"
