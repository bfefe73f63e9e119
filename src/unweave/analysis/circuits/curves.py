"""Curves over size: how faithful, complete and minimal circuits are beside random ones, and MIB's two areas."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from unweave.analysis.circuits.acdc import mask_of
from unweave.analysis.circuits.evaluation import Measured, result_of
from unweave.analysis.circuits.selection import METHODS, ranks, selected
from unweave.analysis.edges.patching import prepared
from unweave.analysis.edges.pitfalls import about_choices
from unweave.analysis.edges.results import facts
from unweave.analysis.edges.rewired import Rewired
from unweave.analysis.edges.senders import as_operation, shape_of
from unweave.core import seeds
from unweave.core.circuit import Circuit
from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.engine.inputs import Inputs, as_inputs
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import From, Operation
from unweave.engine.planner import MEMORY
from unweave.model.config_checks import require_choice
from unweave.model.transformer import HookedTransformer

# The parts of all edges at which MIB measures.
FRACTIONS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
MEASURES = ("faithfulness", "completeness", "minimality")


def curve(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    ablation: From | Operation,
    metric: Metric | Function,
    scores: Result,
    *,
    fractions: Sequence[float] = FRACTIONS,
    random: int = 4,
    minimality: bool = False,
    method: str = "greedy",
    absolute: bool = True,
    seed: int = 0,
    attention_mask: Tensor | None = None,
    memory: int = MEMORY,
) -> Result:
    """Circuits of the best edges, from few to all, and how they fare; beside random ones of the same size.

    Of each fraction of all edges the best are taken as `top_k` takes them (rounded down), which may leave fewer
    where some dangle. A random circuit is chosen in the same way from random scores, so that it is connected too.
    Faithfulness and completeness are those of `evaluate`; minimality is how much faithfulness changes, at the
    least, if one edge of the circuit is cut as well: near 0 where some edge is needless. It is asked of the
    circuits from scores alone, and costs a run an edge.

    Args:
        scores: of `unweave.edges.patch` or `attribute`.
        random: how many random circuits of each size; 0 for none.
        minimality: whether to ask for it.

    Returns:
        Dimensions "measure", "choice" ("scores", "random 0", …) and "fraction". `provenance["sizes"]` has the
        edges that each circuit has left. See `cpr` and `cmd`.

    Raises:
        InputError: for fractions that don't rise from above 0 to at most 1; for scores of another shape; if the
            metric doesn't tell the run from that with every edge cut.
    """
    require_choice("method", method, METHODS)
    _require_fractions(fractions)
    shape, ranked = ranks(scores, absolute)
    if shape != shape_of(model) or len(ranked) != len(shape.edges):
        raise InputError(
            wanted="scores of every edge of this model", got=repr(scores), remedy="score it without edges="
        )
    choices = {"scores": ranked}
    for draw in range(random):
        drawn = torch.rand(len(ranked), generator=seeds.generator(seed, "random circuit", draw)).tolist()
        choices[f"random {draw}"] = dict(zip(ranked, drawn, strict=True))
    sizes = [int(fraction * len(ranked)) for fraction in fractions]
    chosen = [[selected(shape, ranks_, k, method) for k in sizes] for ranks_ in choices.values()]
    operation, inputs = as_operation(ablation), as_inputs(tokens, attention_mask=attention_mask)
    with prepared(model, False):
        work = Rewired.begun(model, inputs, operation, metric, memory)
        measured = Measured.begun(work)
        shares = measured.shares([circuit for row in chosen for circuit in row])
        shares = shares.unflatten(1, (len(choices), len(sizes)))
        if minimality:
            least = torch.full_like(shares[:1], torch.nan)
            least[0, 0] = _minimality(measured, chosen[0], shares[0, 0])
            shares = torch.cat([shares, least])
        told = facts(work, metric, operation, f"best edges, {method}")
        warnings = [*about_choices(work, metric, operation, None), *measured.warnings]
    told |= {"scores": scores.provenance.get("method"), "sizes": [[len(c) for c in row] for row in chosen]}
    coords = {
        "measure": MEASURES[: len(shares)],
        "choice": tuple(choices),
        "fraction": tuple(f"{fraction:g}" for fraction in fractions),
    }
    return result_of(shares, ("measure", "choice", "fraction"), coords, told, warnings)


def cpr(curve: Result) -> dict[str, float]:
    """MIB's circuit performance ratio (Mueller et al., 2025, arXiv:2504.13151): the area under faithfulness.

    The integral of faithfulness over the fraction of edges asked for, by trapezoids between the fractions that
    were measured, from the first to the last of them; it isn't divided by their distance. So it is in the
    published code. Higher is better; it may be over 1, where circuits do better than the model.
    """
    return {name: _area(curve, values) for name, values in _faithfulness(curve).items()}


def cmd(curve: Result) -> dict[str, float]:
    """MIB's circuit-model distance: the area between faithfulness and 1, integrated as `cpr` is. Lower is better.

    The trapezoids are of |1 - faithfulness| at the fractions measured.
    """
    return {name: _area(curve, (1 - values).abs()) for name, values in _faithfulness(curve).items()}


def _faithfulness(curve: Result) -> dict[str, Tensor]:
    if curve.dims != ("measure", "choice", "fraction"):
        raise InputError(
            wanted="what unweave.circuits.curve gave",
            got=repr(curve),
            remedy="pass that, all measures and choices",
        )
    values = curve.sel(measure="faithfulness").values.double()
    return dict(zip(map(str, curve.coords["choice"]), values, strict=True))


def _area(curve: Result, values: Tensor) -> float:
    fractions = torch.tensor([float(label) for label in curve.coords["fraction"]], dtype=torch.float64)
    return torch.trapezoid(values, fractions).item()


def _minimality(measured: Measured, circuits: Sequence[Circuit], faithful: Tensor) -> Tensor:
    """The least change of faithfulness by cutting one edge more, of each circuit; nan for an empty one."""
    found: list[Tensor] = []
    for circuit, whole in zip(circuits, faithful, strict=True):
        mask = mask_of(circuit)
        numbers = mask.nonzero().flatten()
        if not len(numbers):
            found.append(torch.full_like(whole, torch.nan))
            continue
        kept = mask.repeat(len(numbers), 1)
        kept[range(len(numbers)), numbers] = False
        changes = whole - measured.faithfulness(kept)
        sizes = changes.mean(-1).abs() if changes.ndim == 2 else changes.abs()
        found.append(changes[sizes.argmin()])
    return torch.stack(found)


def _require_fractions(fractions: Sequence[float]) -> None:
    rising = all(a < b for a, b in itertools.pairwise(fractions))
    if not fractions or not rising or not fractions[0] > 0 or not fractions[-1] <= 1:
        raise InputError(
            wanted="fractions that rise, above 0 and at most 1",
            got=str(list(fractions)),
            remedy="write (0.1, 0.5, 1)",
        )
