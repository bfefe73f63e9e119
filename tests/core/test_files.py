from __future__ import annotations

import os
from pathlib import Path

import pytest

from unweave.core.errors import InputError
from unweave.core.files import folder_atomic, require_folder, write_json_atomic, write_text_atomic


def tree(folder: Path) -> dict[str, str]:
    """Every file under `folder`, hidden ones too, with its content."""
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_text_is_written_as_utf_8_into_folders_that_are_made(tmp_path: Path):
    write_text_atomic(tmp_path / "a" / "b.txt", "μᵢ\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == b"\xce\xbc\xe1\xb5\xa2\n"
    assert len(tree(tmp_path)) == 1


def test_a_file_gets_the_permissions_that_open_would_give(tmp_path: Path):
    write_text_atomic(tmp_path / "ours", "")
    (tmp_path / "theirs").write_text("")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "theirs").stat().st_mode


def test_a_failure_while_writing_leaves_the_old_text_and_no_rubbish(tmp_path: Path):
    path = tmp_path / "a.txt"
    write_text_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_text_atomic(path, 100_000 * "new" + "\ud800")  # a lone surrogate has no UTF-8
    assert tree(tmp_path) == {"a.txt": "old"}


def test_a_failure_to_rename_leaves_the_old_text_and_no_rubbish(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "a.txt"
    write_text_atomic(path, "old")

    def fail(source: str, target: str) -> None:
        assert Path(source).read_text() == "new", "the file must be whole before it is renamed"
        raise OSError("no space")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_text_atomic(path, "new")
    assert tree(tmp_path) == {"a.txt": "old"}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object()])
def test_json_that_others_cannot_read_is_refused_and_nothing_written(tmp_path: Path, value: object):
    with pytest.raises((ValueError, TypeError)):
        write_json_atomic(tmp_path / "a.json", {"value": value})
    assert tree(tmp_path) == {}


def test_a_folder_appears_whole(tmp_path: Path):
    path = tmp_path / "deep" / "model"
    with folder_atomic(path) as part:
        (part / "a").write_text("1")
        assert not path.exists()
    assert tree(tmp_path) == {"deep/model/a": "1"}


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path):
    path = tmp_path / "model"
    for name in ("first", "second"):
        with folder_atomic(path) as part:
            (part / name).write_text(name)
    assert tree(tmp_path) == {"model/second": "second"}


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_in_the_block_leaves_the_old_folder_and_no_rubbish(
    tmp_path: Path, error: type[BaseException]
):
    path = tmp_path / "model"
    with folder_atomic(path) as part:
        (part / "a").write_text("old")

    def fail_after_writing() -> None:
        with folder_atomic(path) as part:
            (part / "a").write_text("new")
            raise error

    with pytest.raises(error):
        fail_after_writing()
    assert tree(tmp_path) == {"model/a": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_failure_between_the_two_renames_puts_the_old_folder_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "model"
    with folder_atomic(path) as part:
        (part / "a").write_text("old")
    rename = Path.rename

    def fail_on_part(self: Path, target: Path) -> Path:
        if self.suffix == ".part":
            raise OSError("gone")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_on_part)
    with pytest.raises(OSError, match="gone"), folder_atomic(path) as part:
        (part / "a").write_text("new")
    assert tree(tmp_path) == {"model/a": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    with folder_atomic(tmp_path / "link") as part:
        (part / "a").write_text("1")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real" / "a").read_text() == "1"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "real"]


@pytest.mark.parametrize("below", ["", "runs/one"])
def test_a_file_where_a_folder_is_wanted_is_named(tmp_path: Path, below: str):
    (tmp_path / "notes").write_text("mine")
    path = tmp_path / "notes" / below
    sentence = (
        f"wanted a folder for the model; got {path}, where notes is a file; "
        "name another folder, or move that file away"
    )
    with pytest.raises(InputError) as raised:
        require_folder(path, "the model")
    assert str(raised.value) == sentence
    with pytest.raises(InputError, match="where notes is a file"), folder_atomic(path):
        pytest.fail("the block must not run")
    assert tree(tmp_path) == {"notes": "mine"}


def test_a_folder_that_is_there_or_could_be_is_given_back(tmp_path: Path):
    assert require_folder(tmp_path, "x") == tmp_path
    assert require_folder(tmp_path / "a" / "b", "x") == tmp_path / "a" / "b"


def test_a_folder_where_a_file_is_wanted_is_named(tmp_path: Path):
    (tmp_path / "a").mkdir()
    with pytest.raises(InputError, match=r"^wanted the name of a file to write; got .*/a, which is a folder"):
        write_text_atomic(tmp_path / "a", "text")
