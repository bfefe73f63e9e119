"""A session as one offline page: what was asked and predicted, every cell with its output, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from unweave.charts.embedding import script_json
from unweave.journal.outputs import Output
from unweave.journal.rules import settled
from unweave.journal.sessions import Session
from unweave.recorder.exports.colours import coloured
from unweave.recorder.exports.passages import Passage, Words, passages
from unweave.recorder.exports.wording import TITLES, Wording, percent, took, worded

PLOTLY = "application/vnd.plotly.v1+json"
PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")


def page(session: Session, *, head: str = "") -> str:
    """The session as HTML that opens offline.

    Everything recorded is taken to be hostile: text is escaped, HTML that a cell put out stands in a frame of its own
    that can reach neither the page nor a network. Private cells are left out.

    Args:
        head: the end of the journal's chain, which is noted at the end.
    """
    found = passages(session)
    blocks = [_block(passage, session) for passage in found]
    has_plotly = any(o["sort"] == "plotly" for b in blocks for o in b.get("outputs", ()))
    return (
        _environment()
        .get_template("session.html.j2")
        .render(
            session=session,
            title=session.title or "A recorded session",
            started="" if session.sort == "import" else session.started[:16].replace("T", " ") + " UTC",
            blocks=blocks,
            predictions=[_prediction(session, p) for p in found if _is(p, "prediction")],
            surface=[worded(p) for p in found if isinstance(p, Words) and p.entry.kind == "surface"],
            titles=TITLES,
            plotly=_plotly() if has_plotly else "",
            head=head,
        )
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("unweave.recorder.exports", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["coloured"] = coloured
    return environment


def _plotly() -> Markup:
    from plotly.offline import get_plotlyjs

    return Markup(get_plotlyjs().replace("</script", "<\\/script"))


def _is(passage: Passage, kind: str) -> bool:
    return isinstance(passage, Words) and passage.entry.kind == kind


def _prediction(session: Session, passage: Passage) -> Mapping[str, str]:
    assert isinstance(passage, Words)
    body, outcome = passage.entry.body or {}, settled(session.journal, passage.entry.id)
    return {
        "label": passage.label,
        "statement": body["statement"],
        "probability": "" if body.get("probability") is None else percent(body["probability"]),
        "outcome": "none yet" if outcome is None or outcome.body is None else outcome.body["result"],
    }


def _block(passage: Passage, session: Session) -> dict[str, Any]:
    if isinstance(passage, Words):
        said: Wording = worded(passage)
        return {"sort": "words", "words": said, "at": _at(session, passage.entry.time)}
    return {
        "sort": "cell",
        "cell": passage,
        "at": _at(session, passage.step.started),
        "took": took(passage.step.seconds),
        "outputs": [_output(output) for output in passage.step.shown()],
        "nested": passage.step.within is not None,
    }


def _at(session: Session, time: str | None) -> str:
    """How long after the session's start, as h:mm:ss; empty where nobody knows."""
    if time is None or session.sort == "import":
        return ""
    seconds = int((datetime.fromisoformat(time) - datetime.fromisoformat(session.started)).total_seconds())
    return f"{seconds // 3600}:{seconds % 3600 // 60:02d}:{seconds % 60:02d}" if seconds >= 0 else ""


def _output(output: Output) -> dict[str, Any]:
    """The richest form that a page can show without a network: a figure, a picture, HTML in a frame, text."""
    if output.error is not None:
        return {
            "sort": "error",
            "text": "\n".join(output.error[2]) or f"{output.error[0]}: {output.error[1]}",
        }
    if output.sort == "stream":
        return {"sort": output.name or "stdout", "text": output.text, "late": output.late}
    bundle = output.bundle()
    if PLOTLY in bundle:
        return {"sort": "plotly", "figure": script_json(bundle[PLOTLY])}
    for mime in PICTURES:
        if mime in bundle:
            return {"sort": "picture", "source": f"data:{mime};base64,{_line(bundle[mime])}"}
    if "image/svg+xml" in bundle:
        return {"sort": "picture", "source": _data_svg(str(bundle["image/svg+xml"]))}
    if "text/html" in bundle:
        return {"sort": "html", "html": _framed(str(bundle["text/html"]))}
    for mime in ("text/markdown", "text/latex", "text/plain"):
        if mime in bundle:
            return {"sort": "text", "text": str(bundle[mime])}
    return {"sort": "text", "text": f"[{', '.join(bundle) or 'nothing'}: not shown on a page]"}


def _line(value: Any) -> str:
    """Base64 alone: nothing in it can end the attribute that it stands in."""
    return "".join(sign for sign in str(value) if sign.isalnum() or sign in "+/=")


def _data_svg(svg: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()


def _framed(html: str) -> str:
    """A page for a frame: it tells its height to the page around it, and can fetch nothing."""
    return (
        "<!doctype html><meta charset='utf-8'>"
        "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'unsafe-inline'; img-src data: blob:; font-src data:\">"
        "<style>:root{color-scheme:light dark}body{margin:4px;font:14px system-ui,sans-serif}"
        "table{border-collapse:collapse}td,th{padding:2px 8px;text-align:right}</style>"
        f"{html}"
        "<script>new ResizeObserver(()=>parent.postMessage({height:document.body.offsetHeight+8},'*'))"
        ".observe(document.documentElement)</script>"
    )
