"""Edges in a model of GPT-2 small's shape by EAP, and ACDC beside one full run an edge. Run: python bench/edges_speed.py"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

import unweave
from unweave import KL, LogitDifference, circuits, edges
from unweave.analysis.circuits.acdc import candidates
from unweave.analysis.edges.senders import shape_of
from unweave.core.edges import Edge


def timed(function: Callable[[], Any]) -> tuple[float, Any]:
    start = time.perf_counter()
    value = function()
    return time.perf_counter() - start, value


def gpt2_small(positions: int) -> unweave.HookedTransformer:
    return unweave.HookedTransformer(
        unweave.HookedTransformerConfig(
            n_layers=12,
            d_model=768,
            n_heads=12,
            d_head=64,
            n_ctx=positions,
            d_vocab=50257,
            act_fn="gelu_new",
            normalization_type="LN",
            seed=0,
        )
    )


def attribution(positions: int, rounds: int) -> None:
    """Every edge by EAP, beside one forward and backward of the same tokens; one after the other, in turn."""
    model = gpt2_small(positions)
    draw = torch.Generator().manual_seed(0)
    clean, corrupted = torch.randint(0, 50257, (2, 1, positions), generator=draw)
    metric = LogitDifference(1, 2)
    n_edges = len(shape_of(model).edges)

    def forward_and_backward() -> None:
        model.zero_grad()
        logits = model(clean)
        (logits[:, -1, 1] - logits[:, -1, 2]).sum().backward()

    def eap() -> None:
        edges.attribute(model, clean, corrupted, metric, recheck=0)

    pairs: list[tuple[float, float]] = []
    for number in range(rounds + 1):
        pair = timed(forward_and_backward)[0], timed(eap)[0]
        pairs += [pair] if number else []
    plain, whole = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratios = sorted(ours / theirs for theirs, ours in pairs)
    print(
        f"EAP, all {n_edges:,} edges of GPT-2 small's shape, {positions} positions, float32: {whole:.2f} s; one forward "
        f"and backward: {plain:.2f} s; ratio {statistics.median(ratios):.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}), "
        f"{rounds} rounds in turn"
    )


def naive_acdc(model: Any, clean: Tensor, corrupted: Tensor, threshold: float) -> tuple[set[Edge], int]:
    """One full run an edge, with a hook at each cut receiver's input."""
    shape, sent = shape_of(model), dict[str, Tensor]()

    def keeper(into: dict[str, Tensor]) -> list[Any]:
        def keep(tensor: Tensor, hook: Any) -> None:
            into[hook.name] = tensor

        return [(name, keep) for name in {node.writes for node in shape.senders}]

    def written(kept: dict[str, Tensor], edge: Edge) -> Tensor:
        tensor = kept[edge.sender.writes]
        return tensor if edge.sender.head is None else tensor[:, :, edge.sender.head]

    with torch.no_grad():
        model.run_with_hooks(corrupted, fwd_hooks=keeper(sent))
        target = model(clean)[:, -1].log_softmax(-1)

    def divergence(cut: set[Edge]) -> float:
        now: dict[str, Tensor] = {}
        by_hook: dict[str, list[Edge]] = {}
        for edge in cut:
            last = f"blocks.{shape.n_layers - 1}.hook_resid_post"
            by_hook.setdefault(last if edge.receiver.layer is None else edge.reads, []).append(edge)

        def reader(own: list[Edge]) -> Any:
            def read(tensor: Tensor, hook: Any) -> Tensor:
                tensor = tensor.clone()
                for edge in own:
                    change = written(sent, edge) - written(now, edge)
                    if edge.receiver.head is None:
                        tensor += change
                    else:
                        tensor[:, :, edge.receiver.head] += change
                return tensor

            return read

        hooks = keeper(now) + [(name, reader(own)) for name, own in by_hook.items()]
        with torch.no_grad():
            logits = model.run_with_hooks(clean, fwd_hooks=hooks)[:, -1].log_softmax(-1)
        return (target.exp() * (target - logits)).sum(-1).mean().item()

    cut, at, passes = set[Edge](), 0.0, 0
    for numbers in candidates(shape, "backward", 0):
        for number in numbers:
            value = divergence({*cut, shape.edges[number]})
            passes += 1
            if value - at < threshold:
                cut.add(shape.edges[number])
                at = value
    return set(shape.edges) - cut, passes


def discovery(threshold: float) -> None:
    """ACDC on 2 layers of 8 heads, beside one full run an edge."""
    cfg = {"n_layers": 2, "d_model": 64, "n_heads": 8, "d_head": 8, "n_ctx": 16, "d_vocab": 50}
    model = unweave.HookedTransformer(
        unweave.HookedTransformerConfig(
            **cfg, act_fn="gelu", normalization_type="LN", seed=0, initializer_range=0.4, dtype="float64"
        )
    )
    clean, corrupted = torch.randint(0, 50, (2, 8, 16), generator=torch.Generator().manual_seed(0))
    theirs, (kept, passes) = timed(lambda: naive_acdc(model, clean, corrupted, threshold))
    ours, found = timed(
        lambda: circuits.acdc(model, clean, corrupted, KL(), threshold=threshold, other_order=False)
    )
    left = circuits.Circuit(frozenset(kept), found.shape).pruned()
    plan = found.provenance["plan"]
    print(
        f"ACDC, 2 layers of 8 heads, 8 samples of 16 positions, {len(found.shape.edges)} edges, threshold {threshold:g}: "
        f"{ours:.2f} s in {plan['batches']} batches of {plan['runs']} runs from the receiver's layer on, "
        f"{plan['unasked']} edges unasked; one full run an edge: {theirs:.2f} s in {passes} passes; "
        f"{theirs / ours:.1f} times; {len(found)} edges kept, {'the same' if left == found else 'OTHERS'}"
    )


def main() -> None:
    """Both measurements."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--positions", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--thresholds", type=float, nargs="*", default=[0.02, 0.2])
    given = parser.parse_args()
    attribution(given.positions, given.rounds)
    for threshold in given.thresholds:
        discovery(threshold)


if __name__ == "__main__":
    main()
