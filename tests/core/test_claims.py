from __future__ import annotations

import json
import math

import pytest

from unweave.core.claims import Check, Claim, Estimate, Finding, Verdict, claim, judge

NAN = float("nan")


@pytest.mark.parametrize(
    ("estimate", "outcome_above", "outcome_below"),
    [
        # (value, low, high) against a threshold of 1
        ((2.0, 1.5, 2.5), "passed", "failed"),
        ((0.5, 0.2, 0.8), "failed", "passed"),
        ((1.2, 0.9, 1.5), "unclear", "unclear"),
        ((0.8, 0.5, 1.1), "unclear", "unclear"),
        ((2.0, None, None), "passed", "failed"),
        ((0.5, None, None), "failed", "passed"),
        # At the threshold is neither above nor below it.
        ((1.0, None, None), "failed", "failed"),
        ((1.5, 1.0, 2.0), "unclear", "failed"),
        ((0.5, 0.0, 1.0), "failed", "unclear"),
        ((NAN, None, None), "unclear", "unclear"),
        ((NAN, 2.0, 3.0), "unclear", "unclear"),
    ],
)
def test_the_whole_interval_must_lie_beyond_the_threshold(
    estimate: tuple, outcome_above: str, outcome_below: str
):
    measured = Estimate(*estimate)
    assert Check("x", measured, above=1.0).outcome == outcome_above
    assert Check("x", measured, below=1.0).outcome == outcome_below


@pytest.mark.parametrize("thresholds", [{}, {"above": 1.0, "below": 2.0}])
def test_a_check_has_one_threshold(thresholds: dict):
    with pytest.raises(AssertionError):
        Check("x", Estimate(1.0), **thresholds)


def check(outcome: str, control: bool = False) -> Check:
    value = {"passed": (2.0,), "failed": (0.5,), "unclear": (1.0, 0.5, 1.5)}[outcome]
    return Check(f"{outcome} one", Estimate(*value), above=1.0, control=control)


@pytest.mark.parametrize(
    ("own", "control", "verdict"),
    [
        (["passed"], [], Verdict.SUPPORTED),
        (["passed", "passed"], ["passed"], Verdict.SUPPORTED),
        (["passed", "failed"], ["passed"], Verdict.REFUTED),
        (["unclear", "failed"], ["passed"], Verdict.REFUTED),
        (["passed", "unclear"], ["passed"], Verdict.INCONCLUSIVE),
        # Without its control a test says nothing, either way.
        (["passed"], ["failed"], Verdict.INCONCLUSIVE),
        (["failed"], ["failed"], Verdict.INCONCLUSIVE),
        (["failed"], ["passed", "unclear"], Verdict.INCONCLUSIVE),
    ],
)
def test_the_verdict_of_several_checks(own: list[str], control: list[str], verdict: Verdict):
    checks = [*(check(outcome) for outcome in own), *(check(outcome, control=True) for outcome in control)]
    assert judge(tuple(checks))[0] == verdict
    assert judge(tuple(reversed(checks)))[0] == verdict


def test_the_reason_names_what_decided():
    assert judge((check("passed"), check("failed"))) == (
        Verdict.REFUTED,
        "failed one is 0.5, wanted above 1",
    )
    assert judge((check("failed"), check("unclear", control=True)))[1] == (
        "control: unclear one is 1, wanted above 1"
    )
    assert judge((check("passed"), check("passed")))[1] == "all 2 thresholds, set beforehand, are met"


@pytest.mark.parametrize("checks", [(), (check("passed", control=True),)])
def test_nothing_is_supported_by_no_check_of_its_own(checks: tuple[Check, ...]):
    with pytest.raises(AssertionError):
        judge(checks)


def declared(finding: Finding) -> Claim:
    said = {name: name for name in ("id", "title", "statement", "prediction", "threshold", "control")}
    return claim(**said, rivals=("a", "b"))(lambda study: finding)


def test_a_record_is_json_whatever_was_measured():
    checks = (Check("c", Estimate(1 / 3, 0.25, math.inf, "nats"), below=0.5),)
    finding = Finding(
        {"m": Estimate(NAN)}, {"k": Estimate(2.0)}, Verdict.INCONCLUSIVE, "because", checks, {"n": 3}
    )
    record = json.loads(json.dumps(declared(finding).tested(None), allow_nan=False))
    assert record["verdict"] == "inconclusive"
    assert (record["control_design"], record["rivals"], record["reason"]) == (
        "control",
        ["a", "b"],
        "because",
    )
    assert record["measured"] == [{"name": "m", "value": None, "interval": None, "unit": ""}]
    assert record["control"] == [{"name": "k", "value": 2.0, "interval": None, "unit": ""}]
    assert record["checks"] == [
        {
            "name": "c",
            "value": 0.333333,
            "interval": [0.25, None],
            "unit": "nats",
            "wanted": "below 0.5",
            "outcome": "unclear",
            "control": False,
        }
    ]
    assert record["details"] == {"n": 3}


def test_a_claim_measures_what_it_is_given():
    seen: list[object] = []

    def test(study: object) -> Finding:
        seen.append(study)
        return Finding({}, {}, Verdict.SUPPORTED, "")

    said = dict.fromkeys(("id", "title", "statement", "prediction", "threshold", "control"), "")
    claim(**said, rivals=())(test).tested("the study")
    assert seen == ["the study"]
