"""Claims as records: said before the run, settled after it, by an experiment so small that it is one sum."""

from __future__ import annotations

from typing import Any

import pytest

from unweave.core.claims import Check, Claim, Estimate, Finding, judge
from unweave.core.errors import InputError
from unweave.journal import Experiment, Journal, audit, ledger, verify
from unweave.journal.claims import broke_off, declare, settle


def measure(study: list[float]) -> Finding:
    mean = Estimate(sum(study) / len(study), min(study), max(study), "nats")
    checks = (Check("mean", mean, above=1.0), Check("control", Estimate(0.0), below=0.5, control=True))
    verdict, reason = judge(checks)
    return Finding({"mean": mean}, {"none": Estimate(0.0)}, verdict, reason, checks)


def claim(id: str, **changed: Any) -> Claim:
    parts = {
        "title": "It is large",
        "statement": "The mean is above 1.",
        "rivals": ("It is small.", "It is noise."),
        "prediction": "The mean lies above 1.",
        "threshold": "the whole interval above 1",
        "control": "zeros",
        "test": measure,
        **changed,
    }
    return Claim(id=id, **parts)


def test_claims_are_written_before_and_settled_after(journal: Journal):
    claims = (claim("a"), claim("b", amended="the threshold was 2; changed after seed 0"))
    declared = declare(journal, Experiment("sum", seeds=(0,)), claims)
    assert [entry.kind for entry in journal.entries()] == [
        "experiment",
        *["hypothesis", "hypothesis", "hypothesis", "prediction"] * 2,
    ]
    before = journal.head.seq
    tested = [claims[0].tested([2.0, 3.0]), claims[1].tested([0.0, 3.0])]
    settle(journal, declared, tested, seeds=(0,))
    assert [entry.kind for entry in journal.entries(after=before)] == ["evidence", "outcome", "verdict"] * 2
    outcomes = [entry.body for entry in journal.entries("outcome")]
    assert [(one or {})["result"] for one in outcomes] == ["yes", "unclear"]
    verdicts = [*journal.entries("verdict")]
    assert [(one.about, (one.body or {})["verdict"]) for one in verdicts] == [
        (declared.hypotheses["a"], "supported"),
        (declared.hypotheses["b"], "inconclusive"),
    ]
    evidence = next(journal.entries("evidence")).body or {}
    assert (evidence["value"], evidence["low"], evidence["high"], evidence["unit"]) == (2.5, 2.0, 3.0, "nats")
    assert evidence["control"] == {"none": 0.0}
    assert evidence["experiment"] == declared.experiment
    rivals = [(entry.body or {}).get("rival_of") for entry in journal.entries("hypothesis")]
    assert rivals[:3] == [None, declared.hypotheses["a"], declared.hypotheses["a"]]
    amended = [entry.body or {} for entry in journal.entries("prediction")][1]
    assert amended["seen_so_far"] == "the threshold was 2; changed after seed 0"
    checked = verify(journal)
    assert checked.ok
    assert checked.late == ()
    assert {advice.rule for advice in audit(journal).advice} == {"one seed", "no held-out data"}


def test_a_claim_that_was_not_declared_is_no_prediction(journal: Journal):
    declared = declare(journal, Experiment("sum"), (claim("a"),))
    before = journal.head
    with pytest.raises(InputError, match="wanted claims that were declared before their run; got b"):
        settle(journal, declared, [claim("a").tested([2.0]), claim("b").tested([2.0])])
    assert journal.head == before


def test_a_run_that_breaks_off_leaves_its_predictions_open(journal: Journal):
    declared = declare(journal, Experiment("sum"), (claim("a"),))
    broke_off(journal, declared, "KeyboardInterrupt")
    found = ledger(journal)
    assert [(one.what, one.how) for one in found.failures] == [("sum", "KeyboardInterrupt")]
    assert "prediction without outcome" in {one.sort for one in found.loose}


def test_a_measurement_that_is_no_number_is_left_out(journal: Journal):
    def nothing(_: Any) -> Finding:
        gone = Estimate(float("nan"))
        checks = (Check("mean", gone, above=1.0),)
        return Finding({"mean": gone}, {}, *judge(checks), checks)

    odd = claim("a", test=nothing)
    settle(journal, declare(journal, Experiment("sum"), (odd,)), [odd.tested(None)])
    assert "value" not in (next(journal.entries("evidence")).body or {})
