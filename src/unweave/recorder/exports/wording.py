"""Records of the research log as a title, a text and facts, and these as markdown."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from unweave.recorder.exports.passages import Words

TITLES = {"confusing": "Confusing", "idea": "Idea", "next": "Next"}
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~$])")


@dataclass(frozen=True)
class Wording:
    """A record in words.

    Args:
        sort: of it: "prediction", "outcome", "confusing", …
        title: what it is, with its label: "Prediction P1, 70%".
        text: what it says.
        facts: further sentences.
    """

    sort: str
    title: str
    text: str
    facts: tuple[str, ...] = ()


def worded(words: Words) -> Wording:
    """What a record says."""
    entry, body = words.entry, words.entry.body or {}
    title = " ".join(part for part in (_title(entry.kind, body), words.label) if part)
    about = f" of {words.about}" if words.about and entry.kind in ("outcome", "verdict") else ""
    sort = str(body.get("sort", entry.kind)) if entry.kind == "surface" else entry.kind
    match entry.kind:
        case "prediction":
            said = "" if body.get("probability") is None else f", {percent(body['probability'])}"
            return Wording(sort, title + said, body["statement"], _of_prediction(body))
        case "outcome":
            measured = () if body.get("measured") is None else (f"measured: {body['measured']:g}",)
            return Wording(sort, f"{title}{about}: {body['result']}", body.get("note", ""), measured)
        case "verdict":
            return Wording(sort, f"{title}{about}: {body['verdict']}", body["reason"])
        case "experiment":
            return Wording(
                sort, title, body["title"], _facts(body, ("seeds", "ablation", "device", "code_version"))
            )
        case "evidence":
            text = body.get("text") or f"told by a {body.get('source') or 'program'}"
            return Wording(sort, title, text, _of_evidence(body))
        case "resolved":
            return Wording(sort, title, body["by"])
        case "comment":
            return Wording(sort, f"{title} by {body.get('person') or 'a reader'}", body["text"])
        case "adoption":
            return Wording(sort, title, "A reader's comment was taken up as a rival.")
        case _:
            return Wording(sort, title, body.get("text", ""))


def markdown(words: Words) -> str:
    """A record as a quoted paragraph of markdown."""
    said = worded(words)
    text = f"**{escaped(said.title)}**" + (f" — {escaped(said.text)}" if said.text else "")
    return "\n".join(
        "> " + line for line in (text + "".join(f"  \n{escaped(f)}" for f in said.facts)).split("\n")
    )


def why(text: str, assistant: bool) -> str:
    """What was said of why, as markdown."""
    by = " (code by an assistant)" if assistant else ""
    return f"*Why{by}:* {escaped(text)}" if text else f"*Code{by}.*"


def escaped(text: str) -> str:
    """Text that markdown shows as it stands, on one line or several; no HTML, no formulas, no links in it."""
    return _SPECIAL.sub(r"\\\1", text)


def took(seconds: float | None) -> str:
    """How long something took, in a unit that fits; empty where nobody knows."""
    if seconds is None:
        return ""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    return f"{seconds:.1f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def percent(probability: float) -> str:
    """A probability in per cent, with no more digits than it has."""
    return f"{probability * 100:.10g}%"


def _title(kind: str, body: Mapping[str, Any]) -> str:
    if kind == "surface":
        return TITLES[body["sort"]]
    if kind == "hypothesis" and body.get("rival_of"):
        credit = f", after {body['credit']}" if body.get("credit") else ""
        return f"Rival hypothesis{credit}"
    return {"adoption": "Adopted", "verdict": "Verdict"}.get(kind, kind.capitalize())


def _of_prediction(body: Mapping[str, Any]) -> tuple[str, ...]:
    facts: list[str] = []
    unit = f" {body['unit']}" if body.get("unit") else ""
    if body.get("number") is not None:
        facts.append(f"expected: {body['number']:g}{unit}")
    if body.get("threshold") is not None:
        facts.append(f"{body['direction']} {body['threshold']:g}{unit}")
    if body.get("seen_so_far"):
        facts.append(f"seen so far: {body['seen_so_far']}")
    return tuple(facts)


def _of_evidence(body: Mapping[str, Any]) -> tuple[str, ...]:
    facts: list[str] = []
    if body.get("value") is not None:
        low, high = body.get("low"), body.get("high")
        interval = "" if low is None or high is None else f" [{low:.4g}, {high:.4g}]"
        metric, unit = body.get("metric") or "value", f" {body['unit']}" if body.get("unit") else ""
        facts.append(f"{metric}: {body['value']:.4g}{interval}{unit}")
    if body.get("control"):
        facts.append("control: " + ", ".join(f"{name} {value}" for name, value in body["control"].items()))
    if body.get("failed"):
        facts.append(f"broke off: {body['failed']}")
    return (*facts, *_facts(body, ("control_kind", "ablation", "seeds", "n")))


def _facts(body: Mapping[str, Any], names: tuple[str, ...]) -> tuple[str, ...]:
    given = {name: body[name] for name in names if body.get(name)}
    return tuple(
        f"{name.replace('_', ' ')}: {', '.join(map(str, v)) if isinstance(v, list) else v}"
        for name, v in given.items()
    )
