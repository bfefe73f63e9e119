"""One entry of the log, and the hash that chains it to the one before."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from unweave.core.errors import InputError

GENESIS = "0" * 64  # what stands for the hash before the first entry
_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: none is taken for another


@dataclass(frozen=True)
class Head:
    """Where a chain ends: its last entry's number and hash. It commits to everything before."""

    seq: int
    hash: str

    def __str__(self) -> str:
        return f"{self.seq}:{self.hash}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """Read `SEQ:HASH`.

        Raises:
            InputError: for any other text.
        """
        number, _, digest = text.strip().partition(":")
        if not number.isdecimal() or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
            raise InputError(
                wanted="a head as SEQ:HASH, the hash 64 hexadecimal digits",
                got=repr(text),
                remedy="copy the line that `unweave journal verify` prints",
            )
        return cls(int(number), digest)


@dataclass(frozen=True)
class Entry:
    """One entry as it was written.

    Args:
        seq: its number, from 1, without gaps.
        id: short, and sorts by time.
        kind: one of `kinds.KINDS`.
        session: the id of the session that it belongs to.
        about: the id of the entry that it is about.
        time: UTC by the wall clock, to the microsecond: `2026-11-24T19:05:54.123456Z`.
        body: JSON values; None once it has been purged.
        body_sha256: of the salt and the body as stored; the salt goes with a purge, so that
            what is left does not confirm a guess of what was there.
        previous: the hash of the entry before.
        hash: of all of the above but the body itself.
    """

    seq: int
    id: str
    kind: str
    session: str | None
    about: str | None
    time: str
    body: dict[str, Any] | None
    body_sha256: str
    previous: str
    hash: str

    @property
    def when(self) -> datetime:
        """`time` as a datetime that knows its zone, UTC."""
        return datetime.fromisoformat(self.time)

    @property
    def purged(self) -> bool:
        """Whether the body has been removed."""
        return self.body is None


def chained(
    seq: int,
    id: str,
    kind: str,
    session: str | None,
    about: str | None,
    time: str,
    body_sha256: str,
    previous: str,
) -> str:
    """The hash of an entry with these fields."""
    fields = [seq, id, kind, session, about, time, body_sha256, previous]
    return hashlib.sha256(canonical(fields).encode()).hexdigest()


def salted(salt: bytes, body: str) -> str:
    """The hash of a body as stored, with its salt before it."""
    return hashlib.sha256(salt + body.encode()).hexdigest()


def canonical(value: Any) -> str:
    """`value` as JSON, in one form only: sorted keys, no spaces, no NaN.

    Raises:
        InputError: for what JSON cannot hold.
    """
    try:
        text = _dumped(value, ascii_only=False)
        try:
            text.encode()
        except UnicodeEncodeError:  # half of a surrogate pair: only an escape can hold it
            text = _dumped(value, ascii_only=True)
    except (TypeError, ValueError) as error:
        raise InputError(
            wanted="JSON values in the body of an entry: text, numbers, lists, dicts with text as keys",
            got=str(error),
            remedy="convert arrays to lists and NaN to None before",
        ) from error
    return text


def now() -> str:
    """The wall clock in UTC, as entries carry it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def fresh_id() -> str:
    """A new id of 14 signs: 9 from the clock in milliseconds, 5 at random."""
    number = (time.time_ns() // 1_000_000) << 25 | int.from_bytes(os.urandom(4)) >> 7
    return "".join(_DIGITS[number >> shift & 31] for shift in range(65, -1, -5))


def _dumped(value: Any, ascii_only: bool) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=ascii_only, allow_nan=False)


def require_body(body: Mapping[str, Any]) -> dict[str, Any]:
    """`body` as a dict whose keys are text all the way down; JSON would turn other keys into text.

    Raises:
        InputError: if some key is not text.
    """
    _require_text_keys(body)
    return dict(body)


def _require_text_keys(value: Any) -> None:
    if isinstance(value, Mapping):
        for key, part in value.items():
            if not isinstance(key, str):
                raise InputError(
                    wanted="text as keys in the body of an entry", got=repr(key), remedy="write str(key)"
                )
            _require_text_keys(part)
    elif isinstance(value, list | tuple):
        for part in value:
            _require_text_keys(part)
