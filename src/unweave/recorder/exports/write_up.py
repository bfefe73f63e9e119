"""The skeleton of a write-up, as markdown: questions, hypotheses, predictions, evidence, what is open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from unweave.journal import Entry
from unweave.journal.rules import settled
from unweave.journal.sessions import Session
from unweave.recorder.exports.colours import uncoloured
from unweave.recorder.exports.passages import Cell, Words, passages
from unweave.recorder.exports.wording import escaped, markdown, percent, why, worded


def write_up(session: Session, *, head: str = "") -> str:
    """The session as markdown to write on from.

    First what was asked, claimed, predicted and found, in tables and lists; then the cells with their reasons and what
    they printed. Pictures stay in the notebook and the page. Private cells are left out.

    Args:
        head: the end of the journal's chain, which is noted at the end.
    """
    found = passages(session)
    words = [passage for passage in found if isinstance(passage, Words)]
    parts = [
        f"# {escaped(session.title or 'A recorded session')}",
        f"Recorded from {session.started}; {session.step_count} cells, {session.failed} of them failed.",
        _listed("Questions", words, ("question",)),
        _hypotheses(words),
        _predictions(session, words),
        _listed("Evidence", words, ("evidence",)),
        _surface(session, words),
        _listed("Notes and comments", words, ("note", "comment")),
        "## What was done",
        *(_told(passage) for passage in found),
        f"---\n\nSession `{session.id}`" + (f", head of the journal's chain `{head}`." if head else "."),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _listed(title: str, words: Sequence[Words], kinds: tuple[str, ...]) -> str:
    chosen = [worded(one) for one in words if one.entry.kind in kinds]
    lines = [
        f"- {escaped(': '.join(filter(None, (one.title, one.text))))}" + _facts(one.facts) for one in chosen
    ]
    return _section(title, lines)


def _hypotheses(words: Sequence[Words]) -> str:
    """Each hypothesis with its rivals and its last verdict."""
    all_of = [one for one in words if one.entry.kind == "hypothesis" and one.entry.body]
    verdicts = {one.entry.about: one for one in words if one.entry.kind == "verdict"}
    lines: list[str] = []
    for one in all_of:
        assert one.entry.body is not None
        if one.entry.body.get("rival_of"):
            continue
        lines += [f"- {_hypothesis(one, verdicts)}"]
        rivals = [r for r in all_of if r.entry.body and r.entry.body.get("rival_of") == one.entry.id]
        lines += [f"  - {_hypothesis(rival, verdicts)}" for rival in rivals]
        lines += [] if rivals else ["  - *no rival was written down: what else could it be?*"]
    return _section("Hypotheses", lines)


def _hypothesis(one: Words, verdicts: dict[str | None, Words]) -> str:
    said, verdict = worded(one), verdicts.get(one.entry.id)
    text = f"{escaped(said.title)}: {escaped(said.text)}"
    if verdict is None or verdict.entry.body is None:
        return text
    return f"{text} **{verdict.entry.body['verdict']}**: {escaped(verdict.entry.body['reason'])}"


def _predictions(session: Session, words: Sequence[Words]) -> str:
    rows: list[str] = []
    for one in words:
        if one.entry.kind != "prediction" or one.entry.body is None:
            continue
        body, outcome = one.entry.body, settled(session.journal, one.entry.id)
        probability = "" if body.get("probability") is None else percent(body["probability"])
        result = "*none*" if outcome is None or outcome.body is None else outcome.body["result"]
        cells = (one.label, body["statement"], probability)
        rows.append("| " + " | ".join(escaped(" ".join(cell.split())) for cell in cells) + f" | {result} |")
    head = ["| | predicted | probability | outcome |", "|---|---|---|---|"] if rows else []
    return _section("Predictions", [*head, *rows])


def _surface(session: Session, words: Iterable[Words]) -> str:
    """What is confusing, ideas, and what to look at next; what was settled, with what settled it."""
    resolved: dict[str | None, Entry] = {entry.about: entry for entry in session.journal.entries("resolved")}
    lines: list[str] = []
    for one in words:
        if one.entry.kind == "surface":
            said, by = worded(one), resolved.get(one.entry.id)
            end = "" if by is None or by.body is None else f" — settled: {escaped(by.body['by'])}"
            lines.append(f"- [{'x' if end else ' '}] **{said.title}**: {escaped(said.text)}{end}")
    return _section("Surface area", lines)


def _told(passage: Cell | Words) -> str:
    if isinstance(passage, Words):
        return markdown(passage)
    step = passage.step
    took = "" if step.seconds is None else f", {step.seconds:.3g} s"
    above = "".join(f"{why(text, assistant)}\n\n" for text, assistant in passage.reasons)
    return f"**Cell {step.n}** ({step.status}{took})\n\n{above}{_fenced(passage.code, 'python')}{_printed(passage)}"


def _printed(cell: Cell) -> str:
    texts = [text for output in cell.step.shown() if (text := output.text.strip())]
    return "\n\n" + _fenced("\n".join(texts), "text") if texts else ""


def _fenced(text: str, language: str) -> str:
    longest = max((len(run) for run in text.split("\n") if run and set(run.strip()) == {"`"}), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{uncoloured(text)}\n{fence}"


def _facts(facts: tuple[str, ...]) -> str:
    return f" ({escaped('; '.join(facts))})" if facts else ""


def _section(title: str, lines: Sequence[str]) -> str:
    return f"## {title}\n\n" + "\n".join(lines) if lines else ""
