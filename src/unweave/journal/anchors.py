"""A chain's head, put where its owner can't take it back unseen."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unweave.core.errors import InputError
from unweave.journal.entries import Entry, Head, now
from unweave.journal.errors import JournalError
from unweave.journal.store import Journal

NOTES = "unweave-journal"  # refs/notes/unweave-journal
_LINE = re.compile(r"^Unweave-Journal: (\d+:[0-9a-f]{64}) (\S+) (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Anchor:
    """A head as it was, and where that is written."""

    head: Head
    where: str
    time: str = ""

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {"head": str(self.head), "where": self.where, "time": self.time}


def anchor_in_git(journal: Journal, how: str) -> Anchor:
    """Write the head into the git repository around the journal, and an entry that says so into the journal.

    Args:
        journal: with at least one entry.
        how: "note": a note on the current commit, under refs/notes/unweave-journal; "commit": an empty commit,
            which leaves the index and the files alone.

    Raises:
        InputError: for another `how`, an empty journal, or no repository with a commit around it.
        JournalError: if git fails.
    """
    if how not in ("note", "commit"):
        raise InputError(wanted="note or commit as the anchor", got=repr(how), remedy="write --anchor note")
    head, folder = journal.head, journal.path.parent
    if head.seq == 0:
        raise InputError(wanted="an entry to anchor", got="an empty journal", remedy="write something first")
    top = _repository(folder)
    if top is None:
        raise InputError(
            wanted="a git repository with a commit around the journal",
            got=str(folder),
            remedy="make one, or keep the line `SEQ:HASH` that verify prints where others see it",
        )
    time = now()
    line = f"Unweave-Journal: {head} {time} {_name(journal.path, top)}"
    at = _git(folder, "rev-parse", "HEAD").strip()
    if how == "note":
        _git(folder, "notes", f"--ref={NOTES}", "append", "-m", line, at)
        where = f"git note on commit {at[:12]}"
    else:
        message = f"The journal's head after {head.seq} entries\n\n{line}"
        made = _git(folder, "commit-tree", f"{at}^{{tree}}", "-p", at, "-m", message).strip()
        _git(folder, "update-ref", "-m", "unweave journal: anchor", "HEAD", made, at)
        where = f"git commit {made[:12]}"
    journal.append("anchor", {"seq": head.seq, "hash": head.hash, "where": where})
    return Anchor(head, where, time)


def from_git(journal: Journal) -> list[Anchor]:
    """The anchors of this journal in the git repository around it; none where there is no git."""
    folder = journal.path.parent
    top = _repository(folder)
    if top is None:
        return []
    name, texts = _name(journal.path, top), list[tuple[str, str]]()
    for row in _git(folder, "notes", f"--ref={NOTES}", "list").splitlines():
        note, _, commit = row.partition(" ")
        texts.append((f"git note on commit {commit[:12]}", _git(folder, "cat-file", "-p", note)))
    log = _git(folder, "log", "--all", "--grep=^Unweave-Journal: ", "--format=%H%n%B%x00")
    for part in log.split("\0"):
        commit, _, message = part.strip().partition("\n")
        texts.append((f"git commit {commit[:12]}", message))
    return [
        Anchor(Head.parse(found[1]), where, found[2])
        for where, text in texts
        for found in _LINE.finditer(text)
        if found[3] == name
    ]


def from_text(text: str, where: str) -> list[Anchor]:
    """The heads in a text: SEQ:HASH wherever it stands, as verify and every export write it."""
    return [Anchor(Head.parse(found), where) for found in re.findall(r"\b\d+:[0-9a-f]{64}\b", text)]


def read_anchors(given: str) -> list[Anchor]:
    """The heads in `given`: a SEQ:HASH itself, or a file that holds some, such as an export.

    Raises:
        InputError: if there is none.
    """
    path = Path(given).expanduser()
    found = from_text(given, "the head that was given")
    if not found and path.is_file():
        found = from_text(path.read_text(encoding="utf-8", errors="replace"), path.name)
    if not found:
        raise InputError(
            wanted="a head as SEQ:HASH, or a file with one",
            got=given,
            remedy="copy the line that `unweave journal verify` printed then, or name an export of that time",
        )
    return found


def anchored(journal: Journal) -> list[Entry]:
    """The entries that say where heads were put."""
    return [*journal.entries("anchor")]


def _name(path: Path, top: Path) -> str:
    return path.resolve().relative_to(top).as_posix()


def _repository(folder: Path) -> Path | None:
    """The top of the repository around a folder, if it has a commit."""
    try:
        _git(folder, "rev-parse", "--verify", "--quiet", "HEAD")
        return Path(_git(folder, "rev-parse", "--show-toplevel").strip()).resolve()
    except (OSError, JournalError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, encoding="utf-8", check=False
    )
    if done.returncode:
        said = done.stderr.strip().replace("\n", " ") or f"exit code {done.returncode}"
        raise JournalError(f"git {arguments[0]} failed in {folder}: {said}; the journal was not changed")
    return done.stdout
