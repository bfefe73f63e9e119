"""Claim 4: layer 1's attention pattern depends on positions alone."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.analysis.ablation import replaced_by
from unweave.core.claims import Check, Finding, claim, judge
from unweave.core.hooks import HookPoint
from unweave.experiments.no_position.study import Study

PATTERN = "blocks.1.attn.hook_pattern"


@claim(
    id="pattern-is-positional",
    title="Layer 1's pattern is positional",
    statement="What layer 1 attends to depends on positions, not on which tokens stand there.",
    rivals=("The pattern also carries tokens: freezing it loses what they add.",),
    prediction="Frozen at its mean per position, the pattern costs nothing (in the original the loss fell from "
    "0.0056 to 0.0007), and another sequence's pattern does as well. The mean pattern shifted back by two "
    "positions does not.",
    threshold="rise of the frozen pattern < 0.01 nats (paired); of other sequences' patterns < 0.1; of the mean pattern "
    "shifted by two > 1",
    control="The mean pattern shifted back by two positions: without a large rise the test could not tell anything. The "
    "shift by one is there for the record.",
    amended="The control was first declared as a shift back by one, wanted above 1 nat. On the quick preset (seed 0) it "
    "cost 0.10: attention to self outweighs that to the previous token, so the shift puts the heaviest weight on "
    "just the right key. The shift by two was then declared, unmeasured, with the same 1.",
)
def pattern_is_positional(study: Study) -> Finding:
    mean = study.means[PATTERN]

    def from_others(pattern: Tensor, /, *, hook: HookPoint) -> Tensor:
        return pattern.roll(1, 0)

    frozen = study.rise(study.outcome([(PATTERN, replaced_by(mean))]))
    exchanged = study.rise(study.outcome([(PATTERN, from_others)]))
    by_one, by_two = (
        study.rise(study.outcome([(PATTERN, replaced_by(shifted))]))
        for shifted in (shifted_back(mean), shifted_back(shifted_back(mean)))
    )
    checks = (
        Check("rise, frozen at its mean", frozen, below=0.01),
        Check("rise, other sequences' patterns", exchanged, below=0.1),
        Check("rise, mean pattern shifted by two", by_two, above=1.0, control=True),
    )
    verdict, reason = judge(checks)
    return Finding(
        measured={"rise, frozen at its mean": frozen, "rise, other sequences' patterns": exchanged},
        control={"rise, mean pattern shifted by one": by_one, "rise, mean pattern shifted by two": by_two},
        verdict=verdict,
        reason=reason,
        checks=checks,
    )


def shifted_back(pattern: Float[Tensor, "head query key"]) -> Float[Tensor, "head query key"]:
    """Every row's attention moved one key back; what falls off at key 0 stays there."""
    shifted = torch.zeros_like(pattern)
    shifted[..., :-1] = pattern[..., 1:]
    shifted[..., 0] += pattern[..., 0]
    return shifted
