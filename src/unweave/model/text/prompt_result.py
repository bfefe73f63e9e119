"""What a model thinks of the answers to a prompt, and how that is shown."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator
from dataclasses import dataclass

# Colours are the page's own, so that it reads on light and dark ones.
_TABLE = "border-collapse:collapse;font-variant-numeric:tabular-nums;margin:0 0 .8em"
_NUMBER, _TOKEN = "text-align:right;padding:.1em .8em .1em 0", "text-align:left;padding:.1em .8em .1em 0"
_HEAD = "font-weight:normal;opacity:.7;border-bottom:1px solid"


@dataclass(frozen=True)
class Guess:
    """A token in the place of the next one.

    Args:
        rank: how many tokens have a larger logit; 0 is the prediction.
        probability: by softmax over the whole vocabulary.
    """

    token: int
    text: str
    rank: int
    probability: float
    logit: float


@dataclass(frozen=True)
class Step:
    """One token of an answer, and the likeliest tokens in its place, the likeliest first."""

    answer: Guess
    top: tuple[Guess, ...]


@dataclass(frozen=True)
class AnswerTest:
    """An answer, token by token, each after those before it."""

    text: str
    steps: tuple[Step, ...]

    @property
    def tokens(self) -> tuple[int, ...]:
        """Its tokens."""
        return tuple(step.answer.token for step in self.steps)

    @property
    def ranks(self) -> tuple[int, ...]:
        """The rank of each of its tokens."""
        return tuple(step.answer.rank for step in self.steps)

    @property
    def probability(self) -> float:
        """That of the whole answer: the product over its tokens."""
        return math.prod(step.answer.probability for step in self.steps)


@dataclass(frozen=True, repr=False)
class PromptTest:
    """What `test_prompt` found; printed or as a cell's last line it is a table.

    Args:
        prompt: its tokens, as texts.
        answers: in the order that they were given in.
        details: whether the likeliest tokens are shown: at each token of one answer, of several at the first.
    """

    prompt: tuple[str, ...]
    answers: tuple[AnswerTest, ...]
    details: bool = True

    @property
    def ranks(self) -> list[list[tuple[str, int]]]:
        """By answer: each of its tokens, and that one's rank."""
        return [[(step.answer.text, step.answer.rank) for step in answer.steps] for answer in self.answers]

    def __str__(self) -> str:
        lines = [f"Prompt: {' '.join(map(_quoted, self.prompt))}"]
        for title, guesses in self._tables():
            width = max(len(_quoted(guess.text)) for guess in guesses)
            lines += [
                "",
                *([title] if title else []),
                f"{'Rank':>6}  {'Prob':>8}  {'Logit':>7}  {'Token':<{width}}".rstrip(),
            ]
            lines += [
                f"{guess.rank:>6}  {_percent(guess.probability)}  {guess.logit:>7.2f}  {_quoted(guess.text)}"
                for guess in guesses
            ]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """The same for notebooks."""
        parts = [f"<div><div style='margin:0 0 .6em'>{' '.join(map(_code, self.prompt))}</div>"]
        for title, guesses in self._tables():
            head = "".join(
                f"<th style='{style};{_HEAD}'>{name}</th>"
                for name, style in (
                    ("Rank", _NUMBER),
                    ("Prob", _NUMBER),
                    ("Logit", _NUMBER),
                    ("Token", _TOKEN),
                )
            )
            rows = "".join(
                f"<tr style='background:none'><td style='{_NUMBER}'>{guess.rank}</td>"
                f"<td style='{_NUMBER}'>{_percent(guess.probability).strip()}</td>"
                f"<td style='{_NUMBER}'>{guess.logit:.2f}</td>"
                f"<td style='{_TOKEN}'>{_code(guess.text)}</td></tr>"
                for guess in guesses
            )
            parts.append(f"<div><b>{html.escape(title)}</b></div>" if title else "")
            parts.append(f"<table style='{_TABLE}'><tr style='background:none'>{head}</tr>{rows}</table>")
        return "".join([*parts, "</div>"])

    def _tables(self) -> Iterator[tuple[str, tuple[Guess, ...]]]:
        """A title and the rows of each table."""
        first = tuple(answer.steps[0].answer for answer in self.answers)
        longer = [answer for answer in self.answers if len(answer.steps) > 1]
        if len(self.answers) > 1:
            yield "Answers" + (", their first tokens" if longer else ""), first
        for answer in longer if len(self.answers) > 1 else self.answers:
            whole = "" if len(answer.steps) == 1 else f", {_percent(answer.probability).strip()} in all"
            yield f"Answer {_quoted(answer.text)}{whole}", tuple(step.answer for step in answer.steps)
        if not self.details:
            return
        # It is the same whatever the answer.
        top = next(step.top for answer in self.answers for step in answer.steps)
        if top:
            yield "Likeliest next tokens", top
        for answer in self.answers if len(self.answers) == 1 else ():
            read = ""
            for before, step in zip(answer.steps, answer.steps[1:], strict=False):
                read += before.answer.text
                if step.top:
                    yield f"Likeliest after {_quoted(read)}", step.top


def _quoted(text: str) -> str:
    """`text` between bars, with line breaks and the like written out."""
    return f"|{repr(text)[1:-1]}|"


def _code(text: str) -> str:
    shown = html.escape(repr(text)[1:-1]).replace(" ", "&nbsp;")
    return f"<code style='border:1px solid;border-radius:.2em;padding:0 .2em;background:none;color:inherit'>{shown}</code>"


def _percent(probability: float) -> str:
    """8 wide; what would read as 0 in powers of ten."""
    if 0 < probability < 5e-5:
        return f"{probability:>8.1e}"
    return f"{probability:>8.2%}"
