"""Large outputs as files beside the journal, each named by the hash of what it holds."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unweave.core.errors import InputError
from unweave.core.files import require_folder
from unweave.journal.errors import JournalDamaged, JournalFull, JournalReadOnly

INLINE_LIMIT = 64 * 1024  # bytes; what is larger goes to a blob
HEAD = TAIL = 2 * 1024  # characters of a text blob that its entry shows
KEY = "blob"  # in a body, {"blob": SHA256, …} names one
STRAY_AFTER_S = 24 * 3600  # how old a blob that no entry names must be before it may go


@dataclass(frozen=True)
class Blob:
    """What an entry's body says of a blob."""

    sha256: str
    size: int
    mime: str
    head: str = ""
    tail: str = ""

    def to_body(self) -> dict[str, Any]:
        """JSON values for the body of the entry that names it."""
        return {
            KEY: self.sha256,
            "size": self.size,
            "mime": self.mime,
            "head": self.head,
            "tail": self.tail,
        }


class Blobs:
    """The folder of blobs of one journal: `journal.db.blobs/ab/abcdef…`.

    Args:
        folder: where they lie; it is made when the first one is put in.
        read_only: whether to refuse new ones.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.folder, self.read_only = folder, read_only
        self._unflushed = list[Path]()

    def put(self, data: bytes, mime: str = "application/octet-stream", *, durable: bool = True) -> Blob:
        """Write `data` so that it is there whole or not at all, and return what names it.

        Put it before the entry that names it is appended.

        Args:
            data: of any size.
            mime: its type; of text, the blob's head and tail are kept.
            durable: flush it to the disk now; else with the journal's next durable entry.

        Raises:
            JournalFull: if the disk is.
            JournalReadOnly: if nothing may be written here.
        """
        digest = hashlib.sha256(data).hexdigest()
        path = self.path(digest)
        if not (path.exists() and path.stat().st_size == len(data)):
            if self.read_only:
                raise JournalReadOnly(
                    f"no blob can be written to {self.folder}: the journal was opened to read"
                )
            with _told(self.folder):
                _write(path, data)
            self._unflushed.append(path)
            if durable:
                self.flush()
        head, tail = _ends(data, mime)
        return Blob(digest, len(data), mime, head, tail)

    def flush(self) -> None:
        """Flush what was put with durable=False, so that a power cut can't take it.

        Raises:
            JournalFull: if it can't be.
        """
        while self._unflushed:
            path = self._unflushed.pop()
            with _told(self.folder), suppress(FileNotFoundError), path.open("r+b") as file:
                os.fsync(file.fileno())

    def get(self, sha256: str) -> bytes:
        """The bytes of a blob, checked against its name.

        Raises:
            InputError: if there is none of that name.
            JournalDamaged: if what is there has another hash.
        """
        path = self.path(sha256)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise InputError(
                wanted=f"the blob {sha256[:12]}… in {self.folder}",
                got="no such file",
                remedy="copy that folder along with the journal; a purged blob is gone for good",
            ) from error
        if hashlib.sha256(data).hexdigest() != sha256:
            raise JournalDamaged(
                f"the blob {path} no longer holds what its name says; go back to a backup of it"
            )
        return data

    def __contains__(self, sha256: object) -> bool:
        return isinstance(sha256, str) and self.path(sha256).exists()

    def __iter__(self) -> Iterator[str]:
        """The names of all blobs."""
        if self.folder.is_dir():
            for path in sorted(self.folder.glob("??/*")):
                if len(path.name) == 64:
                    yield path.name

    def path(self, sha256: str) -> Path:
        """Where the blob of this name lies, or would.

        Raises:
            InputError: if it is no SHA-256.
        """
        if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
            raise InputError(
                wanted="a SHA-256 of 64 hexadecimal digits", got=repr(sha256), remedy="take it from an entry"
            )
        return self.folder / sha256[:2] / sha256

    def remove(self, sha256: str) -> bool:
        """Delete a blob; False if there was none."""
        path = self.path(sha256)
        there = path.exists()
        path.unlink(missing_ok=True)
        return there

    def sweep(self, named: frozenset[str]) -> list[str]:
        """Delete blobs, and half-written ones, that no entry names and that are over a day old.

        Younger ones may belong to an entry that is being written.
        """
        before = time.time() - STRAY_AFTER_S
        removed: list[str] = []
        for path in self.folder.glob("??/*"):
            if path.name not in named and path.stat().st_mtime < before:
                path.unlink(missing_ok=True)
                removed.append(path.name)
        return removed


def named_in(value: Any) -> Iterator[str]:
    """The hashes of the blobs that a body names, however deep."""
    if isinstance(value, dict):
        if isinstance(value.get(KEY), str):
            yield value[KEY]
        for part in value.values():
            yield from named_in(part)
    elif isinstance(value, list):
        for part in value:
            yield from named_in(part)


def _ends(data: bytes, mime: str) -> tuple[str, str]:
    if not (mime.startswith("text/") or mime.endswith(("json", "xml", "javascript"))):
        return "", ""
    # Cut in bytes first: the whole of it may be gigabytes.
    head = data[: 4 * HEAD].decode("utf-8", "replace")[:HEAD]
    return head, data[-4 * TAIL :].decode("utf-8", "replace")[-TAIL:] if len(data) > HEAD else ""


def _write(path: Path, data: bytes) -> None:
    """Write a file that a reader sees whole or not at all; a power cut may take it."""
    require_folder(path.parent, path.name).mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name[:12]}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    current = os.umask(0o077)
    os.umask(current)
    return current


@contextmanager
def _told(folder: Path) -> Generator[None]:
    try:
        yield
    except PermissionError as error:
        raise JournalReadOnly(f"no blob can be written to {folder} ({error}); allow writing there") from error
    except InputError:
        raise
    except OSError as error:
        raise JournalFull(
            f"a blob could not be written to {folder} ({os.strerror(error.errno or 0)}); nothing that was committed "
            "is lost and this was not written; free some space and do it again"
        ) from error
