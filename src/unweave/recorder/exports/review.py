"""What an export would publish, to be looked at before: what is left out, what was taken out, what looks personal."""

from __future__ import annotations

import getpass
import re
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from unweave.journal.sessions import Session, Step
from unweave.recorder.exports.obstacles import Obstacle, obstacles
from unweave.recorder.exports.passages import Words, passages, unpublished
from unweave.recorder.exports.wording import worded

_MAIL = re.compile(r"\b[\w.+-]+@[\w-]+\.[\w.-]*\w\b")
_REDACTED = re.compile(r"\[redacted ([^\]\n]{1,60})\]")
_SHORTEST = 4  # letters of a user's or machine's name that is looked for


@dataclass(frozen=True)
class Personal:
    """Something that may be nobody else's business.

    Args:
        where: "cell 3", "output of cell 3", or what was said.
        what: "home folder", "user name", "machine", "e-mail address".
        text: the place, on one line.
    """

    where: str
    what: str
    text: str


@dataclass(frozen=True)
class Review:
    """What exports of a session would hold.

    Args:
        cells: how many they show.
        private: the numbers of the cells that they leave out.
        words: how many predictions, notes and the like.
        outputs: how many, and `size` their bytes.
        size: see there.
        redacted: how often each secret was taken out before it was written.
        personal: what looks personal.
        obstacles: what would keep a notebook of it from running.
    """

    cells: int
    private: tuple[int, ...]
    words: int
    outputs: int
    size: int
    redacted: Counter[str]
    personal: tuple[Personal, ...]
    obstacles: tuple[Obstacle, ...]


def review(session: Session) -> Review:
    """Look through everything that exports of the session would hold."""
    hidden = unpublished(session)
    steps = [step for step in session.steps() if step.id not in hidden]
    redacted: Counter[str] = Counter()
    personal: list[Personal] = []
    outputs = size = 0
    signs = _signs(session)
    for where, text in _texts(session, steps):
        redacted.update(_REDACTED.findall(text))
        personal += [Personal(where, what, found) for what, found in _found(text, signs)]
    for step in steps:
        for output in step.outputs():
            outputs += 1
            size += sum(len(str(value)) for value in output.bundle().values())
    return Review(
        cells=sum(not step.narration for step in steps),
        private=tuple(step.n for step in session.steps() if step.id in hidden),
        words=sum(isinstance(p, Words) for p in passages(session)),
        outputs=outputs,
        size=size,
        redacted=redacted,
        personal=tuple(dict.fromkeys(personal)),
        obstacles=obstacles(session),
    )


def _texts(session: Session, steps: list[Step]) -> Iterator[tuple[str, str]]:
    yield "title", session.title
    for step in steps:
        yield f"cell {step.n}", step.whole_code()
        for output in step.outputs():
            texts = [
                output.text,
                *(v for m, v in output.bundle().items() if m != "text/plain" and _is_text(m)),
            ]
            yield f"output of cell {step.n}", "\n".join(map(str, texts))
        for text, _ in step.reasons():
            yield f"why of cell {step.n}", text
    for passage in passages(session):
        if isinstance(passage, Words):
            said = worded(passage)
            yield said.title, said.text


def _signs(session: Session) -> dict[str, str]:
    """What is looked for, and what it is: of this machine, and of the one that recorded."""
    host = str(session.facts.get("host", ""))
    signs = {host: "machine", socket.gethostname(): "machine"}
    with suppress(Exception):
        signs[getpass.getuser()] = "user name"
    home = str(Path.home())
    signs = {
        sign: what
        for sign, what in signs.items()
        if len(sign) >= _SHORTEST and sign not in ("root", "localhost")
    }
    return {home: "home folder", **signs} if len(home) > 1 else signs


def _found(text: str, signs: dict[str, str]) -> Iterator[tuple[str, str]]:
    for sign, what in signs.items():
        for found in re.finditer(rf"(?<![\w-]){re.escape(sign)}(?![\w-])", text):
            yield what, _around(text, found)
    for found in _MAIL.finditer(text):
        yield "e-mail address", _around(text, found)


def _around(text: str, found: re.Match[str]) -> str:
    begin, end = max(0, found.start() - 30), found.end() + 30
    return " ".join(text[begin:end].split())


def _is_text(mime: str) -> bool:
    return mime.startswith("text/") or mime == "image/svg+xml"
