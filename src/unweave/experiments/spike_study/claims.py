"""The claims of the study, written before its first run.

What was known: the stored run of the original has 36 clusters above 0.1; our own repetition at full size
(docs/no-position.md) has 35 with `max` and none with `min` late in training, on one and three seeds. Of the smaller
task one training was seen (seed 100, `max, original`). So the first claim is a replication; the others are predictions.
"""

from __future__ import annotations

import torch

from unweave.analysis.intervals import over_seeds
from unweave.core.claims import Check, Claim, Estimate, Finding, claim, judge
from unweave.experiments.spike_study.cells import DAMPED, FASTER, ORIGINAL, SLOWER, UNCLIPPED
from unweave.experiments.spike_study.effects import difference, ratio, removed
from unweave.experiments.spike_study.study import BRANCH_FASTER, RATE_OF_MIN, UNCHANGED, Study

PER_1000 = "per 1000 steps"


def _cells(schedule: str, *settings: str) -> list[str]:
    return [f"{schedule}, {setting}" for setting in settings]


(MAX_ORIGINAL, MAX_FASTER, MAX_UNCLIPPED, MAX_DAMPED, MAX_SLOWER) = _cells(
    "max", ORIGINAL, FASTER, UNCLIPPED, DAMPED, SLOWER
)
MIN_ORIGINAL, MATCHED = f"min, {ORIGINAL}", f"matched, {ORIGINAL}"


@claim(
    id="schedule",
    title="The slip in the schedule is most of the cause",
    statement="With min in the place of max, and everything else the same, more than half of the spikes are gone.",
    rivals=(
        "The spikes are Adam's, at any rate: the stored run has them with the corrected schedule, it was thought.",
        "They are bad luck with batches, which a finished model has as well.",
        "With min the model learns later, and so has less time to spike.",
    ),
    prediction="min removes more than half of the spikes per 1000 steps after learning.",
    threshold="share removed > 0.5, its whole interval over seeds",
    control="The finished models of max, trained no further and shown more batches, have less than a quarter of the rate; "
    "every run of both has learned with an eighth of its steps to go.",
)
def schedule(study: Study) -> Finding:
    high, low = study.rates(MAX_ORIGINAL), study.rates(MIN_ORIGINAL)
    share = removed(low, high)
    frozen = ratio(study.frozen_rates(MAX_ORIGINAL), high)
    left = Estimate(study.shortest(MAX_ORIGINAL, MIN_ORIGINAL) / study.steps)
    checks = (
        Check("share removed by min", share, above=0.5),
        Check("rate of finished models over that of training", frozen, below=0.25, control=True),
        Check("shortest time after learning, of the run", left, above=0.125, control=True),
    )
    return Finding(
        {
            "share removed by min": share,
            "spikes with max": over_seeds(high, PER_1000),
            "spikes with min": over_seeds(low, PER_1000),
            "difference": difference(high, low),
        },
        {
            "finished models of max": over_seeds(study.frozen_rates(MAX_ORIGINAL), "per 1000 batches"),
            "finished models of min": over_seeds(study.frozen_rates(MIN_ORIGINAL), "per 1000 batches"),
            "shortest time after learning, of the run": left,
        },
        *judge(checks),
        checks,
    )


@claim(
    id="level",
    title="It is the rate, not its growth",
    statement="A constant rate with the same sum over the run spikes at least half as much more than min as max does.",
    rivals=(
        "A rate that keeps growing spikes because the weights never settle at it: at a constant one they would.",
    ),
    prediction="matched keeps more than half of the difference between max and min.",
    threshold="(matched - min) / (max - min) > 0.5, its whole interval over seeds",
    control="There is a difference to keep: max spikes more than min.",
)
def level(study: Study) -> Finding:
    high, low, matched = (study.rates(cell) for cell in (MAX_ORIGINAL, MIN_ORIGINAL, MATCHED))
    kept = ratio(matched - low, high - low)
    gap = difference(high, low)
    checks = (
        Check("share of the difference that matched keeps", kept, above=0.5),
        Check("max over min", gap, above=0.0, control=True),
    )
    return Finding(
        {
            "share of the difference that matched keeps": kept,
            "spikes with matched": over_seeds(matched, PER_1000),
            "matched over min": difference(matched, low),
        },
        {"max over min": gap},
        *judge(checks),
        checks,
    )


@claim(
    id="lag",
    title="A second moment that lags is not most of it",
    statement="With a second moment that remembers 5 steps (beta2 0.8) in place of 20, under max, more than half of the spikes "
    "stay.",
    rivals=("Adam's second moment is out of date when gradients grow, and the step is then too large.",),
    prediction="beta2 0.8 removes less than half of the spikes.",
    threshold="share removed < 0.5, its whole interval over seeds",
    control="The lever moves something: with beta2 0.999, a memory of 1000 steps, there are more spikes than with 0.8.",
)
def lag(study: Study) -> Finding:
    original, faster, slower = (study.rates(cell) for cell in (MAX_ORIGINAL, MAX_FASTER, MAX_SLOWER))
    share, lever = removed(faster, original), difference(slower, faster)
    checks = (
        Check("share removed by beta2 0.8", share, below=0.5),
        Check("beta2 0.999 over beta2 0.8", lever, above=0.0, control=True),
    )
    return Finding(
        {
            "share removed by beta2 0.8": share,
            "spikes with beta2 0.8": over_seeds(faster, PER_1000),
            "spikes with beta2 0.95": over_seeds(original, PER_1000),
        },
        {"spikes with beta2 0.999": over_seeds(slower, PER_1000), "beta2 0.999 over beta2 0.8": lever},
        *judge(checks),
        checks,
    )


@claim(
    id="clipping",
    title="Clipping neither makes the spikes nor holds them back",
    statement="Without clipping, under max, there are between half and twice as many spikes.",
    rivals=(
        "Clipping holds spikes back: without it there are more than twice as many.",
        "Clipping makes them, by hiding large gradients from the second moment: without it there are less than half.",
    ),
    prediction="The rate without clipping over that with it lies between 0.5 and 2.",
    threshold="ratio > 0.5 and < 2, its whole interval over seeds",
    control="The clip is at work: more than 5% of the steps after learning are clipped.",
)
def clipping(study: Study) -> Finding:
    original, unclipped = study.rates(MAX_ORIGINAL), study.rates(MAX_UNCLIPPED)
    found = ratio(unclipped, original)
    at_work = over_seeds(torch.tensor([run.clipped for run in study.runs[MAX_ORIGINAL]], dtype=torch.float64))
    checks = (
        Check("spikes without clipping over those with it", found, above=0.5),
        Check("spikes without clipping over those with it", found, below=2.0),
        Check("share of steps that are clipped", at_work, above=0.05, control=True),
    )
    return Finding(
        {
            "spikes without clipping over those with it": found,
            "spikes without clipping": over_seeds(unclipped, PER_1000),
            "spikes with clipping": over_seeds(original, PER_1000),
        },
        {"share of steps that are clipped": at_work},
        *judge(checks),
        checks,
    )


@claim(
    id="small-gradients",
    title="Small gradients made into full-sized steps",
    statement="With eps at the size of a gradient, so that a small one makes a small step, more than half of the spikes under "
    "max are gone.",
    rivals=(
        "The steps are too large for the curvature also where gradients are large.",
        "eps only slows learning.",
    ),
    prediction="eps 1e-3 removes more than half of the spikes.",
    threshold="share removed > 0.5, its whole interval over seeds",
    control="It does not merely learn less: the loss at the end is less than twice the original's.",
)
def small_gradients(study: Study) -> Finding:
    original, damped = study.rates(MAX_ORIGINAL), study.rates(MAX_DAMPED)
    share = removed(damped, original)
    damped_end, original_end = (
        torch.tensor([run.final for run in study.runs[cell]], dtype=torch.float64)
        for cell in (MAX_DAMPED, MAX_ORIGINAL)
    )
    end = ratio(damped_end, original_end)
    checks = (
        Check("share removed by eps 1e-3", share, above=0.5),
        Check("loss at the end over the original's", end, below=2.0, control=True),
    )
    return Finding(
        {"share removed by eps 1e-3": share, "spikes with eps 1e-3": over_seeds(damped, PER_1000)},
        {"loss at the end over the original's": end},
        *judge(checks),
        checks,
    )


@claim(
    id="place",
    title="The step now, not the place that it has come to",
    statement="A run of max that goes on at the rate of min, late, from where it is, loses more than half of its spikes at once.",
    rivals=(
        "The high rate has driven the weights to where any rate spikes: large attention logits, say.",
        "Going on with any change, other batches for one, would do the same.",
    ),
    prediction="From the same checkpoints and on the same batches, branches at the rate of min have less than half of the spikes "
    "of branches in which nothing else is changed.",
    threshold="share removed > 0.5, its whole interval over seeds",
    control="Other batches alone change little: unchanged branches have more than half of the rate of the runs themselves from "
    "there on.",
)
def place(study: Study) -> Finding:
    unchanged, low, faster = (study.branch_rates(k) for k in (UNCHANGED, RATE_OF_MIN, BRANCH_FASTER))
    since = min((branch.since for branch in study.branches), default=study.steps)
    own = study.own_rates(MAX_ORIGINAL, since)
    share, same = removed(low, unchanged), ratio(unchanged, own)
    checks = (
        Check("share removed by the rate of min", share, above=0.5),
        Check("unchanged branches over the runs themselves", same, above=0.5, control=True),
    )
    return Finding(
        {
            "share removed by the rate of min": share,
            "spikes of unchanged branches": over_seeds(unchanged, PER_1000),
            "spikes at the rate of min": over_seeds(low, PER_1000),
            "share removed by beta2 0.8": removed(faster, unchanged),
        },
        {
            "unchanged branches over the runs themselves": same,
            "the runs themselves, from there on": over_seeds(own, PER_1000),
        },
        *judge(checks),
        checks,
    )


CLAIMS: tuple[Claim, ...] = (schedule, level, lag, clipping, small_gradients, place)
