"""A session as JSON: every entry, blobs within, and the facts that the chain is checked with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unweave.journal.kinds import RESEARCH
from unweave.journal.sessions import Session, Step
from unweave.recorder.exports.passages import unpublished

FORMAT = {"name": "unweave.session", "version": 1}
# Where it was recorded is nobody else's business, and says nothing about what came out.
LEFT_OUT = ("host", "pid", "process_started", "directory", "machine", "program")


def plain(session: Session, *, head: str = "") -> dict[str, Any]:
    """The session as JSON values: facts, steps with their outputs, and all else that was said.

    Private steps are left out, with their outputs and reasons; so the entries' chain is not whole, and is not
    given. `head` is the end of the whole journal's chain, which an owner of the journal can be asked to show.
    """
    hidden = unpublished(session)
    shown = [step for step in session.steps() if step.id not in hidden]
    said = [
        {"id": e.id, "kind": e.kind, "about": e.about, "time": e.time, "body": e.body}
        for e in session.timeline()
        if e.kind in RESEARCH and e.id not in hidden
    ]
    return {
        "format": FORMAT,
        "session": {
            **{name: getattr(session, name) for name in ("id", "title", "sort", "state", "started", "ended")},
            "facts": {name: value for name, value in session.facts.items() if name not in LEFT_OUT},
        },
        "steps": [_step(step) for step in shown],
        "said": said,
        "attachments": [{**media, "path": Path(media["path"]).name} for media in session.attachments()],
        "left_out": {"private_steps": session.step_count - len(shown)},
        "journal_head": head,
    }


def _step(step: Step) -> Mapping[str, Any]:
    names = ("id", "n", "status", "execution_count", "started", "ended", "seconds", "within", "narration")
    return {
        **{name: getattr(step, name) for name in names},
        "code": step.whole_code(),
        "facts": dict(step.facts),
        "reasons": [{"text": text, "assistant": assistant} for text, assistant in step.reasons()],
        "outputs": [
            {
                "n": output.n,
                "sort": output.sort,
                "time": output.time,
                "name": output.name,
                "late": output.late,
                "metadata": dict(output.metadata),
                "error": None
                if output.error is None
                else [output.error[0], output.error[1], [*output.error[2]]],
                "data": output.bundle(),
            }
            for output in step.outputs()
        ],
    }
