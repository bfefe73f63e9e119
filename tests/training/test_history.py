from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.training.small import TASK, new_model, short
from unweave.training import train
from unweave.training.history import read_history, read_times


def test_each_step_is_a_json_line_on_disk_before_the_next_begins(tmp_path: Path):
    path, found = tmp_path / "history.jsonl", []

    def look(step: int) -> float:
        text = path.read_text()
        found.append([json.loads(line)["step"] for line in text.splitlines()])
        assert not text or text.endswith("\n")
        return 1.0

    train(new_model(), TASK, short(steps=4, schedule=look), out=tmp_path)
    assert found == [[], [0], [0, 1], [0, 1, 2]]
    assert len(path.read_text().splitlines()) == 4


def test_the_file_holds_what_the_run_gives_back(tmp_path: Path):
    run = train(new_model(), TASK, short(), out=tmp_path)
    assert read_history(tmp_path / "history.jsonl") == list(run.history)
    first = json.loads((tmp_path / "history.jsonl").read_text().splitlines()[0])
    assert list(first) == ["step", "loss", "accuracy", "lr", "grad_norm"]


def test_times_do_not_run_backwards_and_stand_in_a_file_of_their_own(tmp_path: Path):
    begun = time.time()
    train(new_model(), TASK, short(), out=tmp_path)
    times = read_times(tmp_path / "times.jsonl")
    assert len(times) == 5 and times == sorted(times)
    assert begun - 0.001 <= times[0] and times[-1] <= time.time() + 0.001


def test_a_line_cut_short_by_a_crash_is_left_out(tmp_path: Path):
    train(new_model(), TASK, short(), out=tmp_path)
    path = tmp_path / "history.jsonl"
    whole = read_history(path)
    path.write_text(path.read_text()[:-10])
    assert read_history(path) == whole[:-1]


def test_without_a_folder_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    run = train(new_model(), TASK, short())
    assert run.out is None
    assert len(run.history) == 5
    assert list(tmp_path.iterdir()) == []


def test_another_run_in_the_folder_starts_anew(tmp_path: Path):
    train(new_model(), TASK, short(), out=tmp_path)
    train(new_model(), TASK, short(steps=2), out=tmp_path)
    assert [record.step for record in read_history(tmp_path / "history.jsonl")] == [0, 1]
