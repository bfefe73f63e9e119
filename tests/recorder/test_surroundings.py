"""What is noted of a step beside its code: the commit, changed files, seeds; and how a magic's line is read."""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from unweave.core.errors import InputError
from unweave.recorder import machine
from unweave.recorder.code_version import CodeVersion
from unweave.recorder.words import flag, option, seconds, unquoted


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "kept.py").write_text("a = 1\n")
    (tmp_path / "edited.py").write_text("b = 1\n")
    for command in (
        ["init", "-q", "-b", "trunk"],
        ["add", "."],
        ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-q", "-m", "first"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def commit_of(folder: Path) -> str:
    return subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_a_clean_tree(repository: Path):
    told = CodeVersion(repository / "kept.py").now()
    assert told == {
        "version": {"commit": commit_of(repository), "branch": "trunk", "dirty": False},
        "changed": {},
    }


def test_changed_files_are_named_with_what_they_hold(repository: Path):
    (repository / "edited.py").write_text("b = 2\n")
    (repository / "new ä.py").write_text("c = 1\n")
    code = CodeVersion(repository)
    first = code.now()
    assert first["version"]["dirty"]
    assert first["changed"] == {
        "edited.py": hashlib.sha256(b"b = 2\n").hexdigest(),
        "new ä.py": hashlib.sha256(b"c = 1\n").hexdigest(),
    }
    # Without asking git again.
    (repository / "edited.py").write_text("b = 300\n")
    assert code.now()["changed"]["edited.py"] == hashlib.sha256(b"b = 300\n").hexdigest()


def test_a_commit_is_noticed(repository: Path):
    code = CodeVersion(repository)
    before = code.now()["version"]["commit"]
    (repository / "edited.py").write_text("b = 2\n")
    command = [
        "git",
        "-c",
        "user.name=a",
        "-c",
        "user.email=a@example.org",
        "commit",
        "-q",
        "-a",
        "-m",
        "second",
    ]
    subprocess.run(command, cwd=repository, check=True, capture_output=True)
    after = code.now()["version"]
    assert after == {"commit": commit_of(repository), "branch": "trunk", "dirty": False}
    assert after["commit"] != before


def test_a_loaded_module_that_is_edited_is_noticed_without_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "edited_later.py").write_text("x = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("unweave.recorder.code_version.Path.exists", lambda self: False)
    code = CodeVersion(tmp_path)
    __import__("edited_later")
    assert code.now() == {"version": {"commit": None, "dirty": None}, "changed": {}}
    (tmp_path / "edited_later.py").write_text("x = 2222\n")
    assert code.now()["changed"] == {"edited_later.py": hashlib.sha256(b"x = 2222\n").hexdigest()}
    sys.modules.pop("edited_later")


def test_seeds_are_the_same_where_the_same_numbers_follow():
    def seeded() -> dict[str, object]:
        random.seed(3)
        np.random.seed(3)  # noqa: NPY002
        torch.manual_seed(3)
        return machine.seeds()

    first = seeded()
    assert first["torch_seed"] == 3
    for draw, name in (
        (random.random, "python"),
        (np.random.rand, "numpy"),
        (lambda: torch.rand(1), "torch"),
    ):
        draw()
        changed = {key for key, value in machine.seeds().items() if value != first[key]}
        assert changed == {name}
        assert seeded() == first


def test_versions_and_device_begin_nothing():
    assert machine.versions()["python"] == ".".join(map(str, sys.version_info[:3]))
    assert machine.device() == "cpu" or torch.cuda.is_initialized()


def test_lines_of_magics():
    assert unquoted(' "a b" ') == "a b"
    assert unquoted("“a b”") == "a b"
    assert unquoted('"a" and "b"') == '"a" and "b"'
    assert flag("--assistant wrote it", "--assistant") == (True, "wrote it")
    assert flag("wrote it --assistant", "--assistant") == (True, "wrote it")
    assert flag("--assistants wrote it", "--assistant") == (False, "--assistants wrote it")
    assert option("--cell 3 text", "--cell") == ("3", "text")
    assert option("text --cell 3", "--cell") == (None, "text --cell 3")
    assert [seconds(text) for text in ("12.5", "1:30", "1:02:03", "-0:20", "+7s")] == [12.5, 90, 3723, -20, 7]
    with pytest.raises(InputError, match=r"wanted an offset in seconds, or as minutes:seconds; got 'soon'"):
        seconds("soon")
    with pytest.raises(InputError, match="wanted a number after --cell; got none"):
        option("--cell", "--cell")
