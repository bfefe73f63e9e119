"""The original notebook's figures, and how a run compares with them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@cache
def original() -> dict[str, Any]:
    """Figures of the one run that the session of 2022 recorded (one seed)."""
    return json.loads(
        files("unweave.experiments.no_position").joinpath("original.json").read_text(encoding="utf-8")
    )


@dataclass(frozen=True)
class Expected:
    """Where the original's mean-ablation losses lie, in nats; None stands for the run's own baseline."""

    what: str
    hooks: tuple[str, ...]
    low: float = 0.0
    high: float | None = math.inf


def _attn(layer: int, *sites: str) -> tuple[str, ...]:
    return tuple(
        f"blocks.{layer}.hook_attn_out" if site == "attn_out" else f"blocks.{layer}.attn.hook_{site}"
        for site in sites
    )


EXPECTED = (
    Expected("baseline below 0.05", ("baseline",), high=0.05),
    Expected(
        "layer 1 scores and pattern at or below baseline", _attn(1, "attn_scores", "pattern"), high=None
    ),
    Expected(
        "layer 0 q, scores, pattern, z, attn_out between 0.1 and 3",
        _attn(0, "q", "attn_scores", "pattern", "z", "attn_out"),
        0.1,
        3.0,
    ),
    Expected("layer 0 k and v below 0.1", _attn(0, "k", "v"), high=0.1),
    Expected(
        "layer 0 MLP above 2",
        ("blocks.0.mlp.hook_pre", "blocks.0.mlp.hook_post", "blocks.0.hook_mlp_out"),
        2.0,
    ),
    Expected("layer 1 v, z, attn_out above 5", _attn(1, "v", "z", "attn_out"), 5.0),
)


@dataclass(frozen=True)
class Agreement:
    """One expectation held against a run: the losses, and the hooks that fall outside."""

    expected: Expected
    losses: dict[str, float]
    outside: tuple[str, ...]


def compare(mean_ablation: Mapping[str, float]) -> list[Agreement]:
    """Hold a run's mean-ablation losses (with its "baseline") against the original's order."""
    found: list[Agreement] = []
    for expected in EXPECTED:
        high = mean_ablation["baseline"] if expected.high is None else expected.high
        losses = {hook: mean_ablation[hook] for hook in expected.hooks}
        outside = tuple(hook for hook, loss in losses.items() if not expected.low <= loss <= high)
        found.append(Agreement(expected, losses, outside))
    return found
