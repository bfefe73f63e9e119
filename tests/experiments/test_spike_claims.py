"""The spike study's claims on studies that are planted, and its statistics by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.experiments.planted_spikes import CHANCE, LEARNED, SEEDS, STEPS, losses, run, study
from unweave.experiments.spike_study.claims import CLAIMS
from unweave.experiments.spike_study.effects import interaction, ratio, removed
from unweave.experiments.spike_study.study import RATE_OF_MIN, UNCHANGED, Study
from unweave.experiments.spike_study.trained import Trained, rate_of

BY_ID = {claim.id: claim for claim in CLAIMS}


def verdict(name: str, planted: Study) -> str:
    return BY_ID[name].tested(planted)["verdict"]


PLANTED: dict[str, tuple[str, dict[str, Any], str]] = {
    "the schedule is the cause": ("schedule", {}, "supported"),
    "the schedule does nothing": ("schedule", {"spikes": {"min, original": 20}}, "refuted"),
    "it is bad luck with batches": ("schedule", {"frozen": 10}, "inconclusive"),
    "min has no time to spike": ("schedule", {"learned": {"min, original": 1000}}, "inconclusive"),
    "one seed alone makes the difference": (
        "schedule",
        {"spikes": {"max, original": [80, 2, 2, 2, 2], "min, original": [2, 3, 2, 3, 2]}},
        "inconclusive",
    ),
    "a constant high rate spikes as well": ("level", {}, "supported"),
    "growth is what spikes": ("level", {"spikes": {"matched, original": 2}}, "refuted"),
    "there is nothing to keep": ("level", {"spikes": {"max, original": 2}}, "inconclusive"),
    "the second moment does not matter much": ("lag", {"spikes": {"max, beta2 0.999": 40}}, "supported"),
    "the second moment lags": ("lag", {"spikes": {"max, beta2 0.8": 2}}, "refuted"),
    "the lever moves nothing": ("lag", {"spikes": {"max, beta2 0.999": 20}}, "inconclusive"),
    "clipping does nothing": ("clipping", {}, "supported"),
    "clipping holds back": ("clipping", {"spikes": {"max, no clipping": 50}}, "refuted"),
    "clipping makes them": ("clipping", {"spikes": {"max, no clipping": 4}}, "refuted"),
    "nothing is clipped": ("clipping", {"clipped": {"max, original": 0.01}}, "inconclusive"),
    "small gradients make them": ("small-gradients", {"spikes": {"max, eps 1e-3": 2}}, "supported"),
    "small gradients do not": ("small-gradients", {}, "refuted"),
    "the step now": ("place", {}, "supported"),
    "the place": ("place", {"branches": {RATE_OF_MIN: 4}}, "refuted"),
    "other batches do the same": ("place", {"branches": {UNCHANGED: 1}}, "inconclusive"),
}


@pytest.mark.parametrize("case", PLANTED)
def test_a_planted_cause_gets_its_verdict(case: str):
    name, planted, wanted = PLANTED[case]
    tested = BY_ID[name].tested(study(**planted))
    assert tested["verdict"] == wanted, tested["reason"]


def test_every_claim_has_a_study_that_supports_it_and_one_that_does_not():
    for claim in CLAIMS:
        verdicts = {wanted for name, _, wanted in PLANTED.values() if name == claim.id}
        assert "supported" in verdicts
        assert "refuted" in verdicts


def test_a_model_that_learns_less_supports_nothing_about_small_gradients():
    planted = study({"max, eps 1e-3": 2})
    worse = [
        replace(r, losses=[3 * loss for loss in r.losses], chance=10.0) for r in planted.runs["max, eps 1e-3"]
    ]
    assert (
        verdict("small-gradients", replace(planted, runs={**planted.runs, "max, eps 1e-3": worse}))
        == "inconclusive"
    )


def test_a_run_that_never_learned_has_no_rate():
    never = Trained("max, original", 0, [CHANCE] * STEPS, [1.0] * STEPS, CHANCE, 1.0, STEPS)
    assert never.learned is None
    assert never.exposure == 0
    assert math.isnan(never.rate)
    planted = study()
    runs = {**planted.runs, "max, original": [never, *planted.runs["max, original"][1:]]}
    for name in ("schedule", "level", "lag", "clipping", "small-gradients"):
        assert verdict(name, replace(planted, runs=runs)) == "inconclusive", name


def test_without_branches_the_claim_about_them_is_open():
    assert verdict("place", replace(study(), branches=[])) == "inconclusive"


def test_spikes_are_counted_over_the_time_after_learning():
    early, late = run(0, spikes=20), run(0, spikes=10, learned=600)
    assert (early.learned, late.learned) == (LEARNED, 600)
    assert len(early.spikes) == 20
    assert early.rate == 20.0
    assert late.rate == 20.0
    # The mistake: counted over the whole run, learning late looks like spiking less.
    assert 1000 * len(late.spikes) / STEPS < 0.6 * 1000 * len(early.spikes) / STEPS


def test_large_spikes_are_those_above_one_percent_of_a_uniform_guess():
    both = losses(0)
    both[300], both[600] = 0.025, 0.05
    both[200:400] = [loss / 4 if loss == 0.02 else loss for loss in both[200:400]]
    trained = Trained("a", 0, both, [1.0] * STEPS, CHANCE, None, STEPS)
    assert [spike.step for spike in trained.spikes] == [300, 600]
    assert (trained.rate, trained.large_rate) == (2.0, 1.0)


def test_learning_is_fifty_steps_below_not_one():
    lucky = losses(0)
    lucky[40] = 0.01
    assert Trained("a", 0, lucky, [1.0] * STEPS, CHANCE, None, STEPS).learned == LEARNED


def test_spikes_of_a_branch_are_judged_beside_the_run_that_it_left():
    before, after = [0.1] * 100, [0.02] * 100
    after[50] = 0.06
    # The run's own loss was higher: what stands out is the one step, not the fall.
    assert rate_of(before + after, 100) == 10.0
    assert rate_of(before + [0.1] * 100, 100) == 0.0
    assert math.isnan(rate_of(before, 100))


def test_the_ratio_by_hand():
    above, below = torch.tensor([1.0, 0.0, 2.0]), torch.tensor([4.0, 2.0, 6.0])
    found = ratio(above, below)
    # R = 3/12. The ends solve (1 - 4R)^2 = t^2/3 (1 - 4R + 4R^2), the variances being 1, 4 and their covariance 2, with
    # t^2 = 4.30265^2 for two degrees of freedom: the mean below is not clearly above 0, and there are none.
    assert found.value == pytest.approx(0.25)
    assert (found.low, found.high) == (-math.inf, math.inf)
    # The mistake: a mean of ratios.
    assert (above / below).mean().item() != pytest.approx(found.value, abs=0.02)


def test_the_interval_by_hand():
    above, below = torch.tensor([3.0, 5.0, 4.0]), torch.tensor([10.0, 10.0, 10.0])
    found = ratio(above, below)
    # Where the base does not vary, it is Student's interval of the mean over the base.
    half = 4.30265 / math.sqrt(3) / 10
    assert (found.low, found.high) == (
        pytest.approx(0.4 - half, abs=1e-5),
        pytest.approx(0.4 + half, abs=1e-5),
    )
    # At its ends the paired t test of above - R below is exactly on the edge, also where the base varies.
    above, below = torch.tensor([3.0, 5.0, 4.0, 6.0]), torch.tensor([9.0, 11.0, 8.0, 13.0])
    found = ratio(above, below)
    assert found.low is not None
    assert found.high is not None
    for end in (found.low, found.high):
        residual = above - end * below
        t = abs(residual.mean() / (residual.std() / 2)).item()
        assert t == pytest.approx(3.18245, abs=1e-3)
    # The mistake: an interval as of hundreds of seeds.
    assert found.high - found.low > 1.3 * 2 * 1.96 * (above - found.value * below).std().item() / (2 * 10.25)


def test_the_intervals_hold_the_truth_about_as_often_as_they_say():
    draw = torch.Generator().manual_seed(0)
    held = 0
    for _ in range(400):
        below = torch.poisson(torch.full((5,), 20.0), generator=draw)
        above = torch.poisson(torch.full((5,), 8.0), generator=draw)
        found = removed(above, below)
        assert found.low is not None
        assert found.high is not None
        held += found.low < 0.6 < found.high
    assert 0.90 < held / 400 < 0.99


def test_a_share_of_nothing_is_not_a_number():
    zero, some = torch.zeros(5), torch.ones(5)
    assert math.isnan(removed(some, zero).value)
    assert math.isnan(removed(torch.full((5,), math.nan), some).value)
    assert removed(zero, some).value == 1.0
    assert removed(2 * some, some).value == -1.0


def test_an_interaction_is_what_is_beyond_the_sum():
    def rates(value: float) -> torch.Tensor:
        return torch.tensor([value + n for n in SEEDS])

    assert interaction(rates(9.0), rates(5.0), rates(6.0), rates(2.0)).value == 0.0
    assert interaction(rates(20.0), rates(5.0), rates(6.0), rates(2.0)).value == 11.0


def test_a_study_is_read_as_it_was_written(tmp_path: Path):
    planted = study()
    planted.save(tmp_path)
    again = Study.load(tmp_path)
    assert [c.tested(again) for c in CLAIMS] == [c.tested(planted) for c in CLAIMS]
