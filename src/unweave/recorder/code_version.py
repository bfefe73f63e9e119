"""Which code a step ran with: the commit, whether the tree differs from it, and in which files."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

MOST_FILES = 100  # changed files that are named
LARGEST = 32 * 2**20  # bytes of a file that is hashed
PAUSE = 20.0  # git is asked again after this many times as long as it took
GIT_S = 20.0


class CodeVersion:
    """The code of the project around a folder, as git and the files' times tell it.

    Asking git takes longer than a step may: it is asked in a thread between steps, and
    before a step only where its own files have changed since. Files are hashed again when their time or
    size has changed.

    Args:
        folder: in the project.
    """

    def __init__(self, folder: Path) -> None:
        self.root = next((f for f in (folder, *folder.parents) if (f / ".git").exists()), None)
        self._base = self.root or folder
        self._lock = threading.Lock()
        self._told: dict[str, Any] = {"commit": None, "dirty": None}
        self._changed: list[str] = []
        self._marks: tuple[Any, ...] = ()
        self._hashes: dict[str, tuple[tuple[int, int], str]] = {}
        self._modules: dict[str, str] = {}  # loaded modules of the project, and their files
        self._known_modules = 0
        self._begun: dict[str, tuple[int, int] | None] = {}  # files of loaded modules when first seen
        self._asked, self._took = 0.0, 0.0
        self.ask()

    def now(self) -> dict[str, Any]:
        """JSON values: "version" (commit, branch, dirty) and "changed" (files and the SHA-256 of each).

        Changed are the files that differ from the commit, and loaded modules that have changed since this
        was first asked, which the process may run as they were before.
        """
        if self.root is not None and self._git_marks() != self._marks:
            self.ask()
        with self._lock:
            told, names = dict(self._told), [*self._changed]
        names += [name for name in self._edited_modules() if name not in names]
        left_out = len(names) - MOST_FILES
        changed = {name: self._hash(name) for name in names[:MOST_FILES]}
        if left_out > 0:
            told["changed_left_out"] = left_out
        return {"version": told, "changed": changed}

    def ask_soon(self) -> None:
        """Ask git in a thread, unless it was asked only just."""
        if self.root is not None and time.monotonic() - self._asked > max(1.0, PAUSE * self._took):
            self._asked = time.monotonic()
            threading.Thread(target=self.ask, name="unweave-git", daemon=True).start()

    def ask(self) -> None:
        """Ask git, and remember what it says."""
        if self.root is None:
            return
        marks, began = self._git_marks(), time.monotonic()
        command = ["git", "status", "--porcelain=v2", "--branch", "-z", "--untracked-files=normal"]
        try:
            ran = subprocess.run(
                command,
                cwd=self.root,
                capture_output=True,
                check=True,
                timeout=GIT_S,
                env={**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.SubprocessError) as error:
            told, changed = {"commit": None, "dirty": None, "git": type(error).__name__}, list[str]()
        else:
            told, changed = _read(ran.stdout.decode("utf-8", "surrogateescape"))
        with self._lock:
            self._told, self._changed, self._marks = told, changed, marks
            self._asked, self._took = time.monotonic(), time.monotonic() - began

    def _git_marks(self) -> tuple[Any, ...]:
        """Times of the files that a commit, a checkout or an add touches."""
        assert self.root is not None
        folder = self.root / ".git"
        names = ("HEAD", "index", "logs/HEAD") if folder.is_dir() else ()
        return tuple(_mark(str(folder / name)) for name in names)

    def _edited_modules(self) -> list[str]:
        if len(sys.modules) != self._known_modules:
            self._known_modules = len(sys.modules)
            base = str(self._base) + os.sep
            for name, module in list(sys.modules.items()):
                file = getattr(module, "__file__", None) if name not in self._modules else None
                if isinstance(file, str) and file.startswith(base) and "site-packages" not in file:
                    self._modules[name] = file
                    self._begun.setdefault(file, _mark(file))
        edited = {file for file in self._modules.values() if _mark(file) != self._begun[file]}
        return sorted(os.path.relpath(file, self._base) for file in edited)

    def _hash(self, name: str) -> str | None:
        path = os.path.join(self._base, name)
        mark = _mark(path)
        if mark is None or mark[1] > LARGEST or not os.path.isfile(path):
            return None
        held = self._hashes.get(path)
        if held is None or held[0] != mark:
            try:
                digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            except OSError:
                return None
            held = self._hashes[path] = (mark, digest)
        return held[1]


def _read(text: str) -> tuple[dict[str, Any], list[str]]:
    told: dict[str, Any] = {"commit": None, "branch": None}
    changed, parts = list[str](), iter(text.split("\0"))
    for part in parts:
        kind, _, rest = part.partition(" ")
        if part.startswith("# branch.oid "):
            commit = part.removeprefix("# branch.oid ")
            told["commit"] = None if commit == "(initial)" else commit
        elif part.startswith("# branch.head "):
            told["branch"] = part.removeprefix("# branch.head ")
        elif kind == "1":
            changed.append(rest.split(" ", 7)[-1])
        elif kind == "2":  # renamed: the old name follows
            changed.append(rest.split(" ", 8)[-1])
            next(parts, None)
        elif kind == "u":
            changed.append(rest.split(" ", 9)[-1])
        elif kind == "?":
            changed.append(rest)
    told["dirty"] = bool(changed)
    # A name that is no UTF-8 can't stand in a journal as it is.
    return told, [name.encode("utf-8", "replace").decode() for name in changed]


def _mark(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
