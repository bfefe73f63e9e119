"""What a researcher writes down, each record checked when it is built."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, ClassVar

from unweave.core.errors import InputError, nearest
from unweave.journal.kinds import a_kind

OUTCOMES = ("yes", "no", "unclear")
VERDICTS = ("supported", "refuted", "inconclusive", "abandoned")  # core.claims.Verdict's, and given up
SORTS = ("confusing", "idea", "next")
ABLATIONS = ("zero", "mean", "resample", "noise", "optimal", "none")

Number = float | int


@dataclass(frozen=True)
class Record:
    """The base of all: fields as the body of an entry. What a record is about is told to `Journal.add`."""

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        for part in fields(self):
            value = getattr(self, part.name)
            required = part.default is MISSING and part.default_factory is MISSING
            if isinstance(value, str) and required and not value.strip():
                raise InputError(
                    wanted=f"some text for the {part.name} of {a_kind(self.kind)}",
                    got=repr(value),
                    remedy="say it in a few words",
                )
            if isinstance(value, float) and not math.isfinite(value):
                raise InputError(
                    wanted=f"a finite number for the {part.name} of {a_kind(self.kind)}",
                    got=repr(value),
                    remedy="leave it out where there is none",
                )
        self.check()

    def check(self) -> None:
        """Raise what a record of this kind can't be."""

    def to_body(self) -> dict[str, Any]:
        """JSON values, without what was left out."""
        values = {part.name: getattr(self, part.name) for part in fields(self)}
        # False is left out where it is what nobody said; of what may be unknown, it says something.
        plain = {part.name for part in fields(self) if part.default is False}
        return {
            name: [*value]
            if isinstance(value, tuple)
            else dict(value)
            if isinstance(value, Mapping)
            else value
            for name, value in values.items()
            if not (value is False and name in plain) and value not in (None, "", (), {})
        }

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> Record:
        """The record of an entry's body.

        Raises:
            InputError: for a part that is missing, unknown or can't be.
        """
        known = {part.name: part for part in fields(cls)}
        for name in body:
            if name not in known:
                raise InputError(
                    wanted=f"the parts of {a_kind(cls.kind)}",
                    got=repr(name),
                    remedy=f"near it: {nearest(name, known)}",
                )
        for name, part in known.items():
            required = part.default is MISSING and part.default_factory is MISSING
            if required and name not in body:
                raise InputError(
                    wanted=f"the {name} of {a_kind(cls.kind)}", got="none", remedy=f"give {name}=…"
                )
            if name in body:
                _require_type(cls.kind, name, body[name], str(part.type))
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in body.items()}
        return cls(**values)


@dataclass(frozen=True)
class Question(Record):
    """What one wants to know. `exploratory`: to look around, without a model of what should happen."""

    kind: ClassVar[str] = "question"
    text: str
    exploratory: bool = False


@dataclass(frozen=True)
class Hypothesis(Record):
    """What might be so. About a question.

    Args:
        text: the statement.
        rival_of: the id of the hypothesis that it competes with.
        credit: whose idea it was, where not the author's.
    """

    kind: ClassVar[str] = "hypothesis"
    text: str
    rival_of: str | None = None
    credit: str | None = None


@dataclass(frozen=True)
class Prediction(Record):
    """What will be seen, said before. About a hypothesis, an experiment or a question.

    Args:
        statement: what; it comes true or it does not.
        probability: from 0 to 1, that it does.
        number: the number that is expected.
        threshold: what the number must be above or below.
        direction: "above" or "below".
        unit: of both.
        seen_so_far: what had been seen when it was made.
    """

    kind: ClassVar[str] = "prediction"
    statement: str
    probability: Number | None = None
    number: Number | None = None
    threshold: Number | None = None
    direction: str | None = None
    unit: str = ""
    seen_so_far: str = ""

    def check(self) -> None:
        """Raise for a probability outside 0 to 1, and a threshold without its side."""
        if self.probability is not None:
            probability_of(self.probability)
        _require_one_of(self, "direction", ("above", "below"))
        if (self.threshold is None) != (self.direction is None):
            raise InputError(
                wanted="a threshold and its direction together",
                got=f"threshold {self.threshold}, direction {self.direction}",
                remedy='give both, as threshold=0.5, direction="above", or neither',
            )


@dataclass(frozen=True)
class Outcome(Record):
    """How a prediction came out. About the prediction; "unclear" may be followed by a clear one."""

    kind: ClassVar[str] = "outcome"
    result: str
    note: str = ""
    measured: Number | None = None

    def check(self) -> None:
        """Raise for a result that is none."""
        _require_one_of(self, "result", OUTCOMES)


@dataclass(frozen=True)
class Experiment(Record):
    """What is run, written before it runs. About a question or hypothesis.

    Args:
        title: what is done.
        config: its settings, JSON values.
        seeds: that it is run with.
        code_version: the commit, and whether files were changed since.
        data_hash: of the data.
        versions: of Python, torch and the like.
        device: that it runs on.
        ablation: its kind, where something is ablated; one of `ABLATIONS`.
        held_out: whether it measures on data that nothing was fitted or chosen on.
        exploratory: to look around: the audit does not scold it.
    """

    kind: ClassVar[str] = "experiment"
    title: str
    config: Mapping[str, Any] = field(default_factory=dict[str, Any])
    seeds: tuple[int, ...] = ()
    code_version: str = ""
    data_hash: str = ""
    versions: Mapping[str, Any] = field(default_factory=dict[str, Any])
    device: str = ""
    ablation: str | None = None
    held_out: bool | None = None
    exploratory: bool = False

    def check(self) -> None:
        """Raise for a kind of ablation that is none."""
        _require_one_of(self, "ablation", ABLATIONS)


@dataclass(frozen=True)
class Evidence(Record):
    """What was measured or seen. About a prediction, a hypothesis, an experiment or a recorded cell.

    Args:
        text: what it says; may be left out where a program wrote it.
        metric: what was measured, as "accuracy".
        value, low, high: the number and the ends of its 95% interval.
        unit: of these, as "nats".
        chance, floor, ceiling: what guessing gives, and the least and the most that the metric can be.
        n: on how many examples.
        control: what controls gave, by name; `control_kind`: which, as "random direction".
        control_kind: in words.
        ablation: the kind of ablation, one of `ABLATIONS`.
        held_out: whether the data was such that nothing was fitted or chosen on.
        seeds: that it is over.
        experiment: the id of the experiment that gave it; `step`: of the recorded cell.
        step: see there.
        picture: what `Blob.to_body()` gives.
        source: the program that wrote it, as "sweep"; `facts`: what it told, JSON values.
        facts: see there.
        failed: of what a run broke off, where it did: evidence of nothing then.
    """

    kind: ClassVar[str] = "evidence"
    text: str = ""
    metric: str = ""
    value: Number | None = None
    low: Number | None = None
    high: Number | None = None
    unit: str = ""
    chance: Number | None = None
    floor: Number | None = None
    ceiling: Number | None = None
    n: int | None = None
    control: Mapping[str, Any] = field(default_factory=dict[str, Any])
    control_kind: str = ""
    ablation: str | None = None
    held_out: bool | None = None
    seeds: tuple[int, ...] = ()
    experiment: str | None = None
    step: str | None = None
    picture: Mapping[str, Any] = field(default_factory=dict[str, Any])
    source: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict[str, Any])
    failed: str = ""

    def check(self) -> None:
        """Raise for no content, an interval that is none, and a kind of ablation that is none."""
        if not (self.text.strip() or self.source):
            raise InputError(
                wanted="some text for evidence, or the source that wrote it",
                got="neither",
                remedy="say in a few words what was seen",
            )
        _require_one_of(self, "ablation", ABLATIONS)
        if (self.low is None) != (self.high is None) or (
            self.low is not None and self.high is not None and self.low > self.high
        ):
            raise InputError(
                wanted="both ends of an interval, the lower first",
                got=f"low={self.low}, high={self.high}",
                remedy="give low and high, or neither",
            )
        if self.n is not None and self.n < 1:
            raise InputError(wanted="a number of examples", got=f"n={self.n}", remedy="count them from 1")


@dataclass(frozen=True)
class Judgement(Record):
    """What became of a hypothesis, and why. About the hypothesis; a later one replaces it."""

    kind: ClassVar[str] = "verdict"
    verdict: str
    reason: str

    def check(self) -> None:
        """Raise for a verdict that is none."""
        _require_one_of(self, "verdict", VERDICTS)


@dataclass(frozen=True)
class SurfaceItem(Record):
    """Something that sticks out: confusing, an idea, or what to look at next."""

    kind: ClassVar[str] = "surface"
    sort: str
    text: str

    def check(self) -> None:
        """Raise for a sort that is none."""
        _require_one_of(self, "sort", SORTS)


@dataclass(frozen=True)
class Resolved(Record):
    """What settled a surface item: a sentence, or the id of an entry. About the item."""

    kind: ClassVar[str] = "resolved"
    by: str


@dataclass(frozen=True)
class Note(Record):
    """Anything else."""

    kind: ClassVar[str] = "note"
    text: str


@dataclass(frozen=True)
class Comment(Record):
    """What a reader said. About an entry, or about the moment `at`.

    Args:
        text: what.
        person: who, if they want to be named.
        at: the time that it refers to: seconds into the session, or UTC as entries have it.
    """

    kind: ClassVar[str] = "comment"
    text: str
    person: str | None = None
    at: str | Number | None = None


@dataclass(frozen=True)
class Adoption(Record):
    """That a comment was taken up as a rival. About the comment; `rival` is the hypothesis made of it."""

    kind: ClassVar[str] = "adoption"
    rival: str


RECORDS: dict[str, type[Record]] = {
    record.kind: record
    for record in (
        *(Question, Hypothesis, Prediction, Outcome, Experiment, Evidence, Judgement, SurfaceItem),
        *(Resolved, Note, Comment, Adoption),
    )
}


def probability_of(value: str | Number) -> float:
    """A probability from "70%", "0.7" or 0.7.

    Raises:
        InputError: if it is none.
    """
    text = str(value).strip()
    try:
        number = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        number = math.nan
    if not 0 <= number <= 1:
        percent = (
            "" if text.endswith("%") or math.isnan(number) or not 1 < number <= 100 else f"{number:g}% or "
        )
        raise InputError(
            wanted="a probability from 0% to 100%",
            got=text if isinstance(value, str) else repr(value),
            remedy=f"write {percent or '70% or '}a number from 0 to 1",
        )
    return number


_TYPES: dict[str, tuple[type, ...]] = {
    "str": (str,),
    "bool": (bool,),
    "int": (int,),
    "Number": (int, float),
    "Mapping[str, Any]": (dict,),
    "tuple[int, ...]": (list, tuple),
    "None": (type(None),),
}


def _require_type(kind: str, name: str, value: Any, annotation: str) -> None:
    wanted = [part.strip() for part in annotation.split("|")]
    allowed = tuple(type_ for part in wanted for type_ in _TYPES[part])
    # True is an int to Python, and no number to anybody else.
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        raise InputError(
            wanted=f"{annotation} for the {name} of {a_kind(kind)}",
            got=repr(value),
            remedy="convert it before",
        )


def _require_one_of(record: Record, name: str, known: tuple[str, ...]) -> None:
    value = getattr(record, name)
    if value is not None and value not in known:
        raise InputError(
            wanted=f"the {name} of a record of kind {record.kind} to be one of {', '.join(known)}",
            got=repr(value),
            remedy=f"near it: {nearest(str(value), known, 1)}",
        )
