"""Writing a session into the journal, entry by entry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unweave.core.errors import InputError
from unweave.journal.entries import Entry, fresh_id
from unweave.journal.outputs import SORTS, stored, stored_value
from unweave.journal.store import Journal

STATUSES = ("ok", "error", "interrupted")


class SessionLog:
    """Appends the entries of one session; each call commits, unless a transaction of the journal is open.

    Nothing here takes secrets out: hand in what a `Redactor` has seen.

    Args:
        journal: open for writing.
        id: of the session.
    """

    def __init__(self, journal: Journal, id: str) -> None:
        self.journal, self.id = journal, id

    @classmethod
    def begin(
        cls, journal: Journal, *, title: str, sort: str, facts: Mapping[str, Any], id: str | None = None
    ) -> SessionLog:
        """Begin a session.

        Args:
            title: may be empty.
            sort: where its steps come from: "kernel", "terminal", "script" or "import".
            facts: JSON values: "host", "pid" and "process_started" tell readers whether it is still being
                written; then "directory", "versions", "machine".
            id: a new one by default.
        """
        log = cls(journal, id or fresh_id())
        log._append("session_started", {"title": title, "sort": sort, **facts}, durable=True)
        return log

    def step_started(self, *, n: int, code: str, facts: Mapping[str, Any]) -> Entry:
        """A step is about to run.

        Args:
            n: its number in the session, from 1.
            code: as it was typed.
            facts: JSON values: "at", "monotonic_ns", "execution_count", "parent_msg_id", "cell_id", "within" (the
                step that runs this one), "narration" (nothing but magics of the journal), "version",
                "changed", "seeds", "device".
        """
        code = stored_value("text/x-python", code, self.journal.blobs)
        return self._append("step_started", {"n": n, "code": code, **facts})

    def output(
        self, step: str, *, n: int, sort: str, data: Mapping[str, Any], facts: Mapping[str, Any] | None = None
    ) -> Entry:
        """An output of a step.

        Args:
            step: the id of the step's entry.
            n: its place among the step's outputs, from 1.
            sort: one of `SORTS`.
            data: the MIME bundle; of a stream, {"text/plain": text}; of an error, empty.
            facts: "name", "metadata", "display_id", "execution_count", "error" (name, value, traceback), "at",
                "monotonic_ns", "late", "redacted".

        Raises:
            InputError: for a sort that isn't.
        """
        if sort not in SORTS:
            raise InputError(
                wanted=f"one of {', '.join(SORTS)}", got=repr(sort), remedy="name the output's sort"
            )
        facts = dict(facts or {})
        if "error" in facts:
            lines = stored_value("application/json", [*facts["error"]["traceback"]], self.journal.blobs)
            facts["error"] = {**facts["error"], "traceback": lines}
        return self._append(
            "output", {"n": n, "sort": sort, "data": stored(data, self.journal.blobs), **facts}, about=step
        )

    def step_ended(self, step: str, *, status: str, facts: Mapping[str, Any] | None = None) -> Entry:
        """A step has ended.

        Args:
            step: the id of its entry.
            status: "ok", "error" or "interrupted".
            facts: "at", "monotonic_ns".

        Raises:
            InputError: for another status.
        """
        if status not in STATUSES:
            raise InputError(
                wanted=f"one of {', '.join(STATUSES)}", got=repr(status), remedy="say how it ended"
            )
        return self._append("step_ended", {"status": status, **(facts or {})}, about=step)

    def paused(self, facts: Mapping[str, Any] | None = None) -> Entry:
        """What runs from now on is not recorded."""
        return self._append("session_paused", facts or {}, durable=True)

    def resumed(self, facts: Mapping[str, Any] | None = None) -> Entry:
        """Steps are recorded again."""
        return self._append("session_resumed", facts or {}, durable=True)

    def degraded(self, reason: str, facts: Mapping[str, Any] | None = None) -> Entry:
        """Something could not be recorded, and why."""
        return self._append("session_degraded", {"reason": reason, **(facts or {})}, durable=True)

    def stopped(self, facts: Mapping[str, Any] | None = None) -> Entry:
        """The session is over."""
        return self._append("session_stopped", facts or {}, durable=True)

    def why(self, step: str, text: str, *, assistant: bool = False) -> Entry:
        """What a step does and why it is what was wanted; or that an assistant filled its code in."""
        return self._append("why", {"text": text, "assistant": assistant}, about=step)

    def private(self, step: str, private: bool = True) -> Entry:
        """A step is to be left out of all exports, or after all not."""
        return self._append("private", {"private": private}, about=step)

    def attach(
        self, media: Path, *, offset_s: float, sha256: str, size: int, mime: str, note: str = ""
    ) -> Entry:
        """A video or voice recording made elsewhere; the file stays where it is.

        Args:
            media: its path.
            offset_s: seconds from the session's start to the recording's: negative if that began earlier.
            sha256: of the file, by which it is known again.
            size: in bytes.
            mime: its type.
            note: what it is.
        """
        body = {
            "path": str(media),
            "offset_s": offset_s,
            "sha256": sha256,
            "size": size,
            "mime": mime,
            "note": note,
        }
        return self._append("attachment", body, durable=True)

    def _append(
        self, kind: str, body: Mapping[str, Any], about: str | None = None, durable: bool = False
    ) -> Entry:
        return self.journal.append(kind, body, session=self.id, about=about, durable=durable)
