"""What is printed, gathered for a moment: a thousand prints are a few entries, and no secret is cut in two."""

from __future__ import annotations

from unweave.journal.redaction import Redactor
from unweave.journal.terminal_text import collapse

SOON_S = 0.25  # until what was printed is written
REWRITTEN_S = 1.0  # the same of a line that is written again and again: a progress bar
LARGE = 256 * 1024  # signs that are written at once, however little time has passed
LONGEST_HELD = 64 * 1024  # signs that are held back because they may be the first part of a secret

_KEY = "-----BEGIN "
_KEY_END = "-----END "


class StreamBuffer:
    """One stream of one step.

    Args:
        redactor: tells where a secret may have been begun.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._parts: list[str] = []
        self._held = ""
        self._size = 0
        self._rewrites = True
        self._in_key = False

    def add(self, text: str) -> bool:
        """Take text; whether it is the first since the last `take`."""
        first = not self._parts
        self._parts.append(text)
        self._size += len(text)
        self._rewrites = self._rewrites and "\n" not in text and (not first or text.startswith("\r"))
        return first

    @property
    def large(self) -> bool:
        """Whether it holds so much that it should be written now."""
        return self._size >= LARGE

    @property
    def holds(self) -> bool:
        """Whether something was held back by the last `take`."""
        return bool(self._held)

    @property
    def delay(self) -> float:
        """Seconds after the first text until it should be written."""
        return REWRITTEN_S if self._rewrites else SOON_S

    def take(self, final: bool = False) -> str:
        """What can be written: all, but for an end that may be the first part of a secret.

        Args:
            final: take that too.
        """
        text = collapse(self._held + "".join(self._parts))
        self._parts, self._size, self._rewrites = [], 0, True
        if self._in_key:
            text = self._without_key(text)
        safe = len(text) if final else self._redactor.open_end(text)
        self._held, ready = text[safe:], text[:safe]
        if len(self._held) > LONGEST_HELD:
            ready, self._held, self._in_key = text, "", _KEY in self._held
        return ready

    def _without_key(self, text: str) -> str:
        """The rest of a private key of which a first part has been taken out."""
        before, end, after = text.partition(_KEY_END)
        if not end:
            # Its end may be cut in two as well.
            self._held = before[-len(_KEY_END) :]
            return ""
        self._in_key = False
        return after.partition("\n")[2]
