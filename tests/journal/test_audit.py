"""Each rule where it speaks, and where it is quiet."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from unweave.journal import (
    Evidence,
    Experiment,
    Hypothesis,
    Journal,
    Judgement,
    Outcome,
    Prediction,
    Question,
    audit,
)
from unweave.journal.audit import RULES

GOOD = {"control": {"random": 0.5}, "n": 64, "held_out": True, "seeds": (0, 1, 2)}


def supported(
    journal: Journal, *evidence: Evidence, experiment: Experiment | None = None, exploratory: bool = False
) -> None:
    """A hypothesis with this evidence, and a verdict for it."""
    question = journal.add(Question("?", exploratory))
    hypothesis = journal.add(Hypothesis("h"), about=question.id)
    run = journal.add(experiment, about=hypothesis.id) if experiment else None
    for one in evidence:
        journal.add(one, about=run.id if run else hypothesis.id)
    journal.add(Judgement("supported", "so it is"), about=hypothesis.id)


def refuted(journal: Journal, evidence: Evidence) -> None:
    hypothesis = journal.add(Hypothesis("h"))
    journal.add(evidence, about=hypothesis.id)
    journal.add(Judgement("refuted", "so it is not"), about=hypothesis.id)


def with_(**changed: object) -> Evidence:
    plain = {"text": "so it is", "metric": "logit difference", "value": 2.0, **GOOD}
    return Evidence(**{**plain, **changed})  # type: ignore[arg-type]


def late(journal: Journal) -> None:
    run = journal.add(Experiment("x"))
    journal.add(Evidence("seen"), about=run.id)
    journal.add(Prediction("it will be so"), about=run.id)


def in_time(journal: Journal) -> None:
    run = journal.add(Experiment("x"))
    journal.add(Prediction("it will be so"), about=run.id)
    journal.add(Evidence("seen"), about=run.id)


def cell(journal: Journal, narration: bool = False) -> None:
    body = {"n": 1, "code": "run()", **({"narration": True} if narration else {})}
    step = journal.append("step_started", body, session="s")
    journal.append("step_ended", {"status": "ok"}, session="s", about=step.id)


def at_once(journal: Journal) -> None:
    """The result on the screen, then %predict and %outcome in cells of their own."""
    journal.append("session_started", {"title": "", "sort": "script"}, session="s")
    cell(journal)
    prediction = journal.add(Prediction("x"), session="s")
    cell(journal, narration=True)
    journal.add(Outcome("yes"), about=prediction.id, session="s")


def run_between(journal: Journal) -> None:
    journal.append("session_started", {"title": "", "sort": "script"}, session="s")
    cell(journal)
    prediction = journal.add(Prediction("x"), session="s")
    cell(journal)
    cell(journal, narration=True)
    journal.add(Outcome("yes"), about=prediction.id, session="s")


def on_top_of_its_cell(journal: Journal) -> None:
    journal.append("session_started", {"title": "", "sort": "script"}, session="s")
    step = journal.append("step_started", {"n": 1, "code": "%predict 70% x\nrun()"}, session="s")
    prediction = journal.add(Prediction("x"), session="s")
    journal.append("step_ended", {"status": "ok"}, session="s", about=step.id)
    journal.add(Outcome("yes"), about=prediction.id, session="s")


def one(**changed: object) -> Callable[[Journal], None]:
    return lambda journal: supported(journal, with_(**changed))


CASES: list[tuple[str, Callable[[Journal], None], Callable[[Journal], None]]] = [
    ("prediction after result", late, in_time),
    ("prediction after result", at_once, run_between),
    ("prediction after result", at_once, on_top_of_its_cell),
    ("no control", one(control={}), one()),
    ("no control", one(control={}), one(control={}, control_kind="random directions")),
    ("one seed", one(seeds=(3,)), one()),
    ("one seed", one(seeds=(3,)), lambda journal: supported(journal, with_(seeds=(0,)), with_(seeds=(1,)))),
    (
        "one seed",
        lambda journal: supported(journal, with_(seeds=()), experiment=Experiment("x", seeds=(0,))),
        lambda journal: supported(journal, with_(seeds=()), experiment=Experiment("x", seeds=(0, 1))),
    ),
    ("one seed", one(seeds=(3,)), lambda journal: refuted(journal, with_(seeds=(3,)))),
    (
        "ablation kind unstated",
        lambda journal: supported(journal, Evidence("Ablating 0.1 hurts", **GOOD)),  # type: ignore[arg-type]
        lambda journal: supported(journal, Evidence("Ablating 0.1 hurts", ablation="mean", **GOOD)),  # type: ignore[arg-type]
    ),
    (
        "ablation kind unstated",
        lambda journal: supported(journal, Evidence("the ablation hurts", **GOOD)),  # type: ignore[arg-type]
        lambda journal: supported(journal, Evidence("the mean ablation hurts", **GOOD)),  # type: ignore[arg-type]
    ),
    (
        "ablation kind unstated",
        lambda journal: supported(journal, Evidence("ablation hurts", **GOOD), experiment=Experiment("x")),  # type: ignore[arg-type]
        lambda journal: supported(
            journal,
            Evidence("ablation hurts", **GOOD),  # type: ignore[arg-type]
            experiment=Experiment("x", ablation="resample"),
        ),
    ),
    (
        "probe without a control task",
        lambda journal: supported(journal, Evidence("A linear probe finds it", **GOOD)),  # type: ignore[arg-type]
        lambda journal: supported(
            journal,
            Evidence("A linear probe finds it", **{**GOOD, "control": {"control task": 0.5}}),  # type: ignore[arg-type]
        ),
    ),
    (
        "probe without a control task",
        lambda journal: supported(journal, Evidence("Probing finds it", **GOOD)),  # type: ignore[arg-type]
        lambda journal: supported(journal, Evidence("The problem is the same", **GOOD)),  # type: ignore[arg-type]
    ),
    (
        "metric at floor or ceiling",
        one(metric="accuracy", value=0.995),
        one(metric="accuracy", value=0.9),
    ),
    (
        "metric at floor or ceiling",
        one(value=0.02, floor=0.0, ceiling=3.0),
        one(value=1.0, floor=0.0, ceiling=3.0),
    ),
    ("metric at floor or ceiling", one(value=0.0, floor=0.0), one(value=0.02, floor=0.0)),
    (
        "loss above uniform",
        one(metric="loss", value=4.0, chance=3.4),
        one(metric="loss", value=3.0, chance=3.4),
    ),
    (
        "loss above uniform",
        one(metric="loss", value=4.0, chance=3.4),
        one(metric="rank", value=4.0, chance=3.4),
    ),
    ("key claim from one example", one(n=1), one(n=2)),
    ("key claim from one example", one(n=1), lambda journal: supported(journal, with_(n=1), with_(n=30))),
    ("key claim from one example", one(n=1), lambda journal: refuted(journal, with_(n=1))),
    ("no held-out data", one(held_out=None), one()),
    (
        "no held-out data",
        lambda journal: supported(journal, with_(held_out=None), experiment=Experiment("x", held_out=False)),
        lambda journal: supported(journal, with_(held_out=None), experiment=Experiment("x", held_out=True)),
    ),
]


def spoken(journal: Journal) -> set[str]:
    return {advice.rule for advice in audit(journal).advice}


@pytest.mark.parametrize(
    ("rule", "speaks", "quiet"), CASES, ids=[f"{n}-{case[0]}" for n, case in enumerate(CASES)]
)
def test_a_rule_speaks_and_is_quiet(journal: Journal, rule: str, speaks: Callable, quiet: Callable):
    quiet(journal)
    assert rule not in spoken(journal)
    speaks(journal)
    # Nothing else is scolded by the way, but for what a bare experiment leaves open.
    assert rule in spoken(journal)


def test_every_rule_is_tried():
    assert {case[0] for case in CASES} == {rule.name for rule in RULES}


def test_good_work_is_left_alone(journal: Journal):
    supported(journal, with_(), with_())
    in_time(journal)
    assert audit(journal).advice == ()


def test_exploratory_work_is_not_scolded(journal: Journal):
    bad = {"control": {}, "n": 1, "seeds": (0,), "held_out": None}
    supported(journal, with_(**bad), exploratory=True)
    assert spoken(journal) == set()
    supported(journal, with_(**bad), experiment=Experiment("x", exploratory=True))
    # The evidence hangs on the marked experiment; the verdict claims more than looking around.
    assert spoken(journal) == {"one seed", "key claim from one example", "no held-out data"}
    journal.append("session_started", {"title": "", "sort": "script", "exploratory": True}, session="s")
    journal.add(with_(**bad), session="s")
    assert "no control" not in spoken(journal)
    journal.add(with_(**bad))
    assert "no control" in spoken(journal)
    assert audit(journal).exploratory > 4


def test_a_question_marks_what_follows_it_in_its_session(journal: Journal):
    journal.add(Question("what is in there?", exploratory=True), session="s")
    journal.add(with_(control={}), session="s")
    assert spoken(journal) == set()
    journal.add(Question("does it copy?"), session="s")
    journal.add(with_(control={}), session="s")
    assert spoken(journal) == {"no control"}


def test_advice_names_its_entry_its_reference_and_its_mend(journal: Journal):
    supported(journal, with_(n=1))
    advice = next(one for one in audit(journal).advice if one.rule == "key claim from one example")
    assert advice.entry.kind == "verdict"
    assert "Bolukbasi" in advice.reference
    assert "30 inputs" in advice.mend
    assert advice.to_dict()["seq"] == advice.entry.seq


def test_a_purged_entry_stops_no_audit(journal: Journal):
    from unweave.journal import purge

    supported(journal, with_(n=1))
    purge(journal, [entry.id for entry in journal.entries(("evidence", "hypothesis"))], "x")
    assert spoken(journal) == set()
