"""Records: checked when built, and against what the journal already holds."""

from __future__ import annotations

import pytest

from unweave.core.errors import InputError
from unweave.journal import (
    Comment,
    Evidence,
    Experiment,
    Hypothesis,
    Journal,
    Judgement,
    Note,
    Outcome,
    Prediction,
    Question,
    Resolved,
    SurfaceItem,
    probability_of,
)
from unweave.journal.records import RECORDS

WHOLE = [
    Question("How does it count?", exploratory=True),
    Hypothesis("By attending evenly.", credit="a reader"),
    Prediction("Loss rises above 1", 0.7, 1.5, 1.0, "above", "nats", "the pattern of layer 0"),
    Outcome("yes", "it did", 1.6),
    Experiment("ablate 0.0", {"lr": 0.1}, (0, 1), "abc", "def", {"torch": "2"}, "cpu", "mean", True),
    Evidence(
        "loss is 1.6", "loss", 1.6, 1.4, 1.8, "nats", 3.0, 0.0, 3.0, 128, {"random": 0.1}, "random heads"
    ),
    Judgement("supported", "all thresholds are met"),
    SurfaceItem("confusing", "why is BOS special?"),
    Resolved("it is a sink"),
    Note("x"),
    Comment("try k=2", "Ada", 12.5),
]


@pytest.mark.parametrize("record", WHOLE, ids=lambda record: record.kind)
def test_a_record_comes_back_from_its_body(record):
    assert RECORDS[record.kind].from_body(record.to_body()) == record


@pytest.mark.parametrize(
    ("text", "number"),
    [("70%", 0.7), ("0.7", 0.7), (0.7, 0.7), (0, 0.0), (" 100% ", 1.0)],
)
def test_a_probability_is_read(text, number: float):
    assert probability_of(text) == pytest.approx(number)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("130%", "wanted a probability from 0% to 100%; got 130%; write 70% or a number from 0 to 1"),
        ("70", "got 70; write 70% or a number from 0 to 1"),
        (-0.1, "got -0.1"),
        ("likely", "got likely"),
        (float("nan"), "got nan"),
    ],
)
def test_what_is_no_probability_is_refused(text, said: str):
    with pytest.raises(InputError) as told:
        probability_of(text)
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Prediction("it works", 1.3), "wanted a probability from 0% to 100%; got 1.3"),
        (lambda: Prediction("loss", threshold=1.0), "wanted a threshold and its direction together"),
        (
            lambda: Prediction("loss", threshold=1.0, direction="over"),
            "one of above, below; got 'over'; near it:",
        ),
        (
            lambda: Prediction("x", number=float("inf")),
            "wanted a finite number for the number of a prediction",
        ),
        (lambda: Question("  "), "wanted some text for the text of a question"),
        (
            lambda: Outcome("maybe"),
            "the result of a record of kind outcome to be one of yes, no, unclear",
        ),
        (lambda: Judgement("true", "x"), "one of supported, refuted, inconclusive, abandoned; got 'true'"),
        (lambda: SurfaceItem("odd", "x"), "one of confusing, idea, next"),
        (lambda: Evidence("x", low=1.0), "wanted both ends of an interval"),
        (lambda: Evidence("x", low=2.0, high=1.0), "the lower first; got low=2.0, high=1.0"),
        (lambda: Evidence("x", n=0), "wanted a number of examples"),
        (lambda: Evidence("x", ablation="mena"), "near it: mean"),
    ],
)
def test_what_a_record_cannot_be_is_refused(build, said: str):
    with pytest.raises(InputError) as told:
        build()
    assert said in str(told.value)


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("note", {}, "wanted the text of a note; got none; give text=…"),
        ("note", {"txt": "x"}, "wanted the parts of a note; got 'txt'; near it: text"),
        ("prediction", {"statement": "x", "probability": "70%"}, "wanted Number | None for the probability"),
        ("prediction", {"statement": "x", "probability": True}, "wanted Number | None for the probability"),
        ("prediction", {"statement": "x", "probability": 1.3}, "got 1.3"),
    ],
)
def test_a_raw_body_is_held_to_the_same(journal: Journal, kind: str, body: dict, said: str):
    with pytest.raises(InputError) as told:
        journal.append(kind, body)
    assert said in str(told.value)
    assert journal.head.seq == 0


def test_an_outcome_needs_its_prediction(journal: Journal):
    note = journal.add(Note("x"))
    for about, said in (
        (None, "wanted an outcome's about to name a prediction; got none; make the prediction first"),
        ("nothing", "got 'nothing', which is none in this journal"),
        (note.id, f"got '{note.id}', a note"),
        ("1", "got '1', which is none in this journal"),  # numbers are for people
    ):
        with pytest.raises(InputError) as told:
            journal.add(Outcome("yes"), about=about)
        assert said in str(told.value)
    assert journal.head.seq == 1


def test_a_prediction_is_locked_once_it_came_out(journal: Journal):
    prediction = journal.add(Prediction("it works", 0.7))
    journal.add(Outcome("unclear"), about=prediction.id)
    journal.add(Outcome("yes"), about=prediction.id)  # what was unclear may become clear
    for second in ("no", "yes", "unclear"):
        with pytest.raises(
            InputError, match="wanted one outcome of a prediction; got a second one; it came out yes"
        ):
            journal.add(Outcome(second), about=prediction.id)


def test_a_surface_item_is_resolved_once(journal: Journal):
    item = journal.add(SurfaceItem("confusing", "why?"))
    journal.add(Resolved("because"), about=item.id)
    with pytest.raises(InputError, match="wanted one resolution of a surface item"):
        journal.add(Resolved("because of this"), about=item.id)


def test_ids_inside_a_record_must_name_what_they_say(journal: Journal):
    note = journal.add(Note("x"))
    with pytest.raises(
        InputError, match=f"wanted a hypothesis's rival_of to name a hypothesis; got '{note.id}', a note"
    ):
        journal.add(Hypothesis("y", rival_of=note.id))
    with pytest.raises(InputError, match="wanted an evidence's experiment to name an experiment"):
        journal.add(Evidence("y", experiment="none"))
    first = journal.add(Hypothesis("z"))
    journal.add(Hypothesis("y", rival_of=first.id))


def test_that_nothing_was_held_out_is_said_and_not_left_out():
    assert Evidence("x", held_out=False).to_body() == {"text": "x", "held_out": False}
    assert Evidence("x").to_body() == {"text": "x"}
    # Nobody has to say that it is no exploration.
    assert Question("q").to_body() == {"text": "q"}
