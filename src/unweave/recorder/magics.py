"""The magics of one line. Each says in one line what it wrote; a mistake says what was wanted, and writes nothing."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from functools import wraps
from typing import Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand

from unweave.core.errors import InputError
from unweave.journal import JournalError
from unweave.journal.records import OUTCOMES, probability_of
from unweave.recorder.extension import Extension
from unweave.recorder.record_magic import record
from unweave.recorder.research_log import ResearchLog, Said
from unweave.recorder.words import first_word, flag, option, require_text, unquoted

EXAMPLE = '70% "the loss falls below 0.1"'


def _told(magic: Callable[[Any, str], None]) -> Callable[[Any, str], None]:
    """A mistake, or a journal that can't be written, is told in one line instead of a traceback."""

    @wraps(magic)
    def told(self: Any, line: str) -> None:
        try:
            magic(self, line)
        except (InputError, JournalError) as error:
            raise UsageError(f"%{magic.__name__.removesuffix('_')}: {error}") from None

    return told


@magics_class
class ResearchMagics(Magics):
    """What one says while one works.

    Args:
        shell: IPython's.
        extension: of that shell.
    """

    def __init__(self, shell: Any, extension: Extension) -> None:
        super().__init__(shell)
        self._extension = extension
        self._log = ResearchLog(lambda: extension.recording, lambda: extension.last)

    @no_var_expand
    @line_magic
    @_told
    def record(self, line: str) -> None:
        """Record the session: `%record start ["title"]`, `pause`, `resume`, `stop`, `status`, `attach FILE OFFSET`."""
        record(self._extension, line)

    @no_var_expand
    @line_magic
    @_told
    def predict(self, line: str) -> None:
        """Say beforehand what you expect: `%predict 70% "the loss falls below 0.1"`."""
        word, rest = first_word(line)
        if rest.startswith("%"):
            word, rest = word + "%", rest[1:]
        if not word:
            raise InputError(
                wanted="a probability and a statement", got="neither", remedy=f"write %predict {EXAMPLE}"
            )
        probability = probability_of(word)
        said = self._log.predict(probability, require_text("predict", rest, EXAMPLE))
        self._show(said, f"{_percent(probability)}", said.entry.body["statement"] if said.entry.body else "")

    @no_var_expand
    @line_magic
    @_told
    def outcome(self, line: str) -> None:
        """Say how the last open prediction came out, or the one that is named: `%outcome P2 yes "at step 400"`."""
        word, rest = first_word(line)
        which = None
        if word and word.lower() not in OUTCOMES:
            which = word
            word, rest = first_word(rest)
        if word.lower() not in OUTCOMES:
            raise InputError(
                wanted=f"{', '.join(OUTCOMES[:-1])} or {OUTCOMES[-1]}",
                got=repr(word or which or ""),
                remedy="write %outcome yes, or %outcome P2 no",
            )
        said, prediction = self._log.outcome(which, word.lower(), unquoted(rest))
        body = prediction.body or {}
        percent = f", predicted at {_percent(body['probability'])}" if "probability" in body else ""
        self._show(said, f"{word.lower()}{percent}", body.get("statement", ""))

    @no_var_expand
    @line_magic
    @_told
    def question(self, line: str) -> None:
        """Write what you want to know: `%question "which heads copy names?"`."""
        self._show(self._log.question(require_text("question", line, '"which heads copy names?"')))

    @no_var_expand
    @line_magic
    @_told
    def hypothesis(self, line: str) -> None:
        """Write what might be so: `%hypothesis "head 5 copies names"`."""
        self._show(self._log.hypothesis(require_text("hypothesis", line, '"head 5 copies names"')))

    @no_var_expand
    @line_magic
    @_told
    def rival(self, line: str) -> None:
        """Write what else it could be: `%rival "it copies any capital"`, or of an earlier one, `%rival H1 "…"`."""
        word, rest = first_word(line)
        named = word[:1] in "Hh" and word[1:].isdecimal()
        text = require_text("rival", rest if named else line, '"it copies any capital"')
        said, _ = self._log.rival(text, word if named else None)
        self._show(said)

    @no_var_expand
    @line_magic
    @_told
    def confusing(self, line: str) -> None:
        """Write what you don't understand: `%confusing "why is the loss below uniform?"`."""
        self._show(
            self._log.surface("confusing", require_text("confusing", line, '"why is the loss so low?"'))
        )

    @no_var_expand
    @line_magic
    @_told
    def idea(self, line: str) -> None:
        """Write an idea: `%idea "ablate all but two heads"`."""
        self._show(self._log.surface("idea", require_text("idea", line, '"ablate all but two heads"')))

    @no_var_expand
    @line_magic
    @_told
    def next(self, line: str) -> None:
        """Write what to look at next: `%next "the same without layer norm"`."""
        self._show(self._log.surface("next", require_text("next", line, '"the same without layer norm"')))

    @no_var_expand
    @line_magic
    @_told
    def note(self, line: str) -> None:
        """Write anything else: `%note "took longer than I thought"`."""
        self._show(self._log.note(require_text("note", line, '"took longer than I thought"')))

    @no_var_expand
    @line_magic
    @_told
    def why(self, line: str) -> None:
        """Say what this cell does and why it is what you wanted; alone in a cell, of the one before.

        `%why "norms first: they bound what a head can write"`. `%why --assistant` marks code that an assistant filled in.
        `%why --cell 3 "…"` is about another cell, also after `%record stop`.
        """
        cell, text = option(line, "--cell")
        assistant, text = flag(text, "--assistant")
        text = unquoted(text)
        if not (text or assistant):
            require_text("why", text, '"norms first: they bound what a head can write"')
        n, step = self._meant("why", cell)
        self._log.add("why", {"text": text, "assistant": assistant}, step)
        self._print(f"why, of cell {n}{' (assistant)' if assistant else ''}{': ' + text if text else ''}")

    @no_var_expand
    @line_magic
    @_told
    def private(self, line: str) -> None:
        """Leave this cell out of all exports; alone in a cell, the one before. `%private off` takes it back.

        `%private --cell 3` is about another cell, also after `%record stop`.
        """
        cell, word = option(line, "--cell")
        word = word.lower()
        if word not in ("", "on", "off"):
            raise InputError(wanted="on, off or nothing", got=repr(word), remedy="write %private")
        n, step = self._meant("private", cell)
        self._log.add("private", {"private": word != "off"}, step)
        left = "is in exports again" if word == "off" else "stays out of exports; it is in the journal"
        self._print(f"cell {n} {left}")

    def _meant(self, magic: str, cell: str | None) -> tuple[int, str]:
        """The number and id of the cell that is named; else of the one that the magic stands in, or of the last before."""
        if cell is not None:
            steps = self._log.steps()
            for n, step in steps:
                if cell == str(n):
                    return n, step
            last = f"cells 1 to {len(steps)}" if steps else "no cell"
            raise InputError(
                wanted="the number of a recorded cell", got=repr(cell), remedy=f"there is {last}"
            )
        recording = self._extension.recording or self._extension.last
        if recording is None:
            raise InputError(
                wanted=f"a recording for %{magic}, which is about a cell",
                got="none",
                remedy="write %record start first",
            )
        doing = recording.steps.doing
        if doing is None or doing.id is None:
            raise InputError(
                wanted=f"a cell for %{magic} to be about",
                got="none recorded so far",
                remedy=f"write %{magic} into the cell, or after it",
            )
        return doing.n, doing.id

    def _show(self, said: Said, facts: str = "", text: str | None = None) -> None:
        """Show what was written: a line, and in Jupyter a chip, since it is to be seen above its result."""
        body = said.entry.body or {}
        text = str(body.get("text", "")) if text is None else text
        kind = body.get("sort") or said.entry.kind
        kind = "rival" if body.get("rival_of") else kind
        name = " ".join(part for part in (kind, said.label) if part)
        line = " · ".join(part for part in (name, facts, text) if part)
        if said.entry.kind in ("prediction", "outcome") and self._extension.kernel:
            self._extension.shell.display_pub.publish(
                {"text/plain": line, "text/html": _chip(name, facts, text)}, {}
            )
        else:
            self._print(line)

    def _print(self, line: str) -> None:
        sys.stdout.write(line + "\n")


def _percent(probability: float) -> str:
    return f"{100 * probability:g}%"


def _chip(name: str, facts: str, text: str) -> str:
    return (
        '<div style="border-left:4px solid #0072b2;padding:2px 10px;font:13px sans-serif">'
        f"<b>{html.escape(name)}</b> {html.escape(facts)}<br>{html.escape(text)}</div>"
    )
