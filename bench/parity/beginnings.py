"""How weights begin: each matrix's spread and the shape of its distribution, in both libraries."""

from __future__ import annotations

import math
from typing import Any

from bench.parity.compare import Finding
from bench.parity.grid import SIZES
from bench.peers.channel import Worker
from unweave.model.config import INIT_MODES, HookedTransformerConfig
from unweave.model.transformer import HookedTransformer

SEEDS = 40
# Two mean squares of n values each differ by less than this many standard errors.
ERRORS = 6.0
SHAPES: dict[str, dict[str, Any]] = {
    "standard": {},
    "grouped, gated": {"n_key_value_heads": 2, "gated_mlp": True, "act_fn": "silu"},
}
KNOWN = {
    (
        "muP",
        "unembed.W_U",
    ): "TransformerLens means 1/d_model too, but 'embed' is also in 'unembed': it gets 1",
}


def run_beginnings(worker: Worker) -> list[Finding]:
    """One finding for each weight of each mode: root mean square over seeds, and the largest value."""
    found: list[Finding] = []
    for mode in INIT_MODES:
        for shape, fields in SHAPES.items():
            config = {**SIZES, **fields, "init_mode": mode}
            reply = worker.ask(question="spreads", config=config, seeds=SEEDS)
            if "error" in reply:
                raise RuntimeError(f"{mode}: {reply['error']}")
            ours = our_spreads(config)
            for name in sorted(ours.keys() | reply.keys()):
                title = f"{mode}, {shape} | {name}"
                if name not in ours or name not in reply:
                    found.append(Finding(title, "differs", reason="one of us has no such weight"))
                else:
                    found.append(_finding(title, ours[name], reply[name], KNOWN.get((mode, name)), mode))
    return found


def our_spreads(config: dict[str, Any]) -> dict[str, tuple[float, float, int]]:
    """Mean square, largest value and number of values of each weight, over models with so many seeds."""
    squares: dict[str, list[float]] = {}
    largest: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for seed in range(SEEDS):
        model = HookedTransformer(HookedTransformerConfig.from_dict({**config, "seed": seed}))
        for name, weight in model.state_dict().items():
            squares.setdefault(name, []).append(weight.double().pow(2).mean().item())
            largest[name] = max(largest.get(name, 0.0), weight.abs().max().item())
            sizes[name] = SEEDS * weight.numel()
    return {name: (sum(found) / SEEDS, largest[name], sizes[name]) for name, found in squares.items()}


def _finding(
    title: str, ours: tuple[float, float, int], theirs: list[float], known: str | None, mode: str
) -> Finding:
    (our_square, our_largest, size), (their_square, their_largest) = ours, theirs
    if our_square == their_square:  # zeros and ones
        return Finding(title, "equal")
    error = abs(our_square / their_square - 1)
    alike = error < ERRORS * math.sqrt(2 * 2 / size)
    if mode.endswith("uniform"):
        # Its largest of so many values is all but the bound itself.
        alike = alike and abs(our_largest / their_largest - 1) < 0.02
    if known:
        return Finding(title, "differs" if alike else "known difference", error, known)
    return Finding(title, "equal" if alike else "differs", 0.0 if alike else error)
