"""What a page is made of: text, pictures, tables, cards and claims, each checked when built."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, Literal, NamedTuple, final, get_args

import plotly.graph_objects as go

from unweave.charts.viewers.viewer import Viewer
from unweave.core.errors import InputError

Verdict = Literal["supported", "refuted", "inconclusive"]
ColumnKind = Literal["text", "number", "verdict"]
Cell = str | int | float | None

VERDICTS: Final[tuple[str, ...]] = get_args(Verdict)
#: Beside the word, so that no verdict is told by its colour alone.
VERDICT_SYMBOLS: Final = {"supported": "✓", "refuted": "✗", "inconclusive": "?"}
COLUMN_KINDS: Final[tuple[str, ...]] = get_args(ColumnKind)
_ANCHOR: Final = re.compile(r"[a-z][a-z0-9-]*")


@final
@dataclass(frozen=True)
class Text:
    """Paragraphs, parted by blank lines; **bold**, `code` and [links](https://...) only."""

    kind: ClassVar[str] = "text"
    text: str


@final
@dataclass(frozen=True)
class Picture:
    """A figure with the sentence under it.

    Attributes:
        figure: any plotly figure; those of `unweave.charts` also fit themselves to a phone.
        caption: what to notice, with the same markup as `Text`.
        alt: what it shows, in words, for a reader who cannot see it; required.
    """

    kind: ClassVar[str] = "picture"
    figure: go.Figure
    caption: str
    alt: str

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise InputError(
                wanted="a picture's alt text",
                got=repr(self.alt),
                remedy="say in a sentence what the figure shows",
            )


@final
@dataclass(frozen=True)
class Table:
    """Rows under named columns.

    Attributes:
        columns: their names.
        rows: cells; a float shows four significant digits, None an em dash.
        caption: what the table holds, with the same markup as `Text`.
        kinds: "text", "number" (right-aligned) or "verdict" (a badge) for each column; all
            text by default.
    """

    kind: ClassVar[str] = "table"
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str
    kinds: Sequence[ColumnKind] = ()

    def __post_init__(self) -> None:
        width = len(self.columns)
        kinds = self.kinds or ("text",) * width
        object.__setattr__(self, "kinds", tuple(kinds))
        if len(kinds) != width or set(kinds) - set(COLUMN_KINDS):
            raise InputError(
                wanted=f"{width} column kinds out of {', '.join(COLUMN_KINDS)}",
                got=", ".join(kinds),
                remedy="name one kind for each column, or none at all",
            )
        for number, row in enumerate(self.rows):
            if len(row) != width:
                raise InputError(
                    wanted=f"rows of {width} cells ({', '.join(self.columns)})",
                    got=f"{len(row)} in row {number}",
                    remedy="give one cell a column, None where nothing is known",
                )
            for kind, cell in zip(kinds, row, strict=True):
                if kind == "verdict":
                    require_verdict(cell)


class Card(NamedTuple):
    """One number to remember: what it is, its value, and a note such as its interval."""

    label: str
    value: str
    note: str = ""


@final
@dataclass(frozen=True)
class Cards:
    """A row of cards: (label, value, note) each."""

    kind: ClassVar[str] = "cards"
    cards: Sequence[tuple[str, str, str] | Card]

    def __post_init__(self) -> None:
        object.__setattr__(self, "cards", tuple(Card(*card) for card in self.cards))


class Measured(NamedTuple):
    """A measured number as it is to be read: name, value, interval and unit."""

    name: str
    value: str
    interval: str = ""
    unit: str = ""


@final
@dataclass(frozen=True)
class ClaimCard:
    """A claim with its rivals, what it predicted, what was measured, and the verdict.

    Attributes:
        id: short name such as "C1"; also the anchor `claim-c1`.
        title: a few words.
        statement: the claim as a sentence.
        rivals: other accounts of the same behaviour.
        prediction: what the claim says will be measured, written before measuring.
        threshold: what would count for and against it.
        measured: (name, value, interval, unit) rows.
        controls: likewise, of the control measurements.
        verdict: "supported", "refuted" or "inconclusive".
        reason: why, in a sentence or two.
        control_design: what the control is, and what it would show.
        amended: what was changed after results had been seen, and why; shown apart.
    """

    kind: ClassVar[str] = "claim"
    id: str
    title: str
    statement: str
    rivals: Sequence[str]
    prediction: str
    threshold: str
    measured: Sequence[tuple[str, str, str, str] | Measured]
    controls: Sequence[tuple[str, str, str, str] | Measured]
    verdict: Verdict
    reason: str
    control_design: str = ""
    amended: str = ""
    anchor: str = field(init=False, default="")

    def __post_init__(self) -> None:
        require_verdict(self.verdict)
        anchor = "claim-" + re.sub(r"[^a-z0-9]+", "-", self.id.lower()).strip("-")
        object.__setattr__(self, "anchor", anchor)
        for rows in ("measured", "controls"):
            object.__setattr__(self, rows, tuple(Measured(*row) for row in getattr(self, rows)))


@final
@dataclass(frozen=True)
class View:
    """An inline viewer with the sentence under it.

    Attributes:
        viewer: such as `unweave.charts.attention_patterns(...)`.
        caption: what to notice, with the same markup as `Text`.
    """

    kind: ClassVar[str] = "view"
    viewer: Viewer
    caption: str


Block = Text | Picture | Table | Cards | ClaimCard | View


@final
@dataclass(frozen=True)
class Section:
    """A part of the page under one heading.

    Attributes:
        title: the heading, also in the table of contents.
        anchor: its id in the page: lower-case letters, digits and hyphens.
        blocks: what it holds, in order.
    """

    title: str
    anchor: str
    blocks: Sequence[Block]

    def __post_init__(self) -> None:
        if not _ANCHOR.fullmatch(self.anchor):
            raise InputError(
                wanted="an anchor of lower-case letters, digits and hyphens, a letter first",
                got=repr(self.anchor),
                remedy="for example 'attention-patterns'",
            )


def require_verdict(value: Any) -> None:
    """Refuse what is no verdict.

    Raises:
        InputError: `value` is none of the three words.
    """
    if value not in VERDICTS:
        raise InputError(
            wanted=f"a verdict: {', '.join(VERDICTS)}",
            got=repr(value),
            remedy="write the word itself; the page adds the symbol and the colour",
        )
