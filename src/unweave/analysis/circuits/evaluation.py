"""What a circuit explains: the model with every other edge ablated, and with only its edges ablated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from unweave.analysis.circuits.acdc import mask_of
from unweave.analysis.edges.patching import prepared
from unweave.analysis.edges.pitfalls import about_choices
from unweave.analysis.edges.results import facts
from unweave.analysis.edges.rewired import Rewired
from unweave.analysis.edges.senders import as_operation
from unweave.core.circuit import Circuit
from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.engine.baselines import about_gap, require_gap
from unweave.engine.inputs import Inputs, as_inputs
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import From, Operation
from unweave.engine.planner import MEMORY
from unweave.model.transformer import HookedTransformer

MEASURES = ("faithfulness", "completeness")
UNIT = "part of the gap between the run itself and that with every edge cut"


def evaluate(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    ablation: From | Operation,
    metric: Metric | Function,
    circuits: Circuit | Mapping[str, Circuit],
    *,
    attention_mask: Tensor | None = None,
    memory: int = MEMORY,
) -> Result:
    """How faithful and how complete circuits are.

    With m(C) the metric, averaged over samples, where every edge outside C is cut, M all edges and ∅ none:
    faithfulness is (m(C) - m(∅)) / (m(M) - m(∅)), as in MIB (Mueller et al., 2025, arXiv:2504.13151). It is 1 for
    the whole model, 0 for none of it, and may be more than 1. Completeness is 1 minus the faithfulness of
    M without C (Marks et al., 2024, arXiv:2403.19647): 1 if without C's edges nothing is left.

    Args:
        ablation: what cut edges carry: another run, or `Zero()`, `Mean(of)`, `Resample(of)`.
        circuits: one, or several by name.

    Returns:
        Dimensions "measure" and "circuit"; `per_sample` has each sample's part, over the mean gap.

    Raises:
        InputError: if the metric doesn't tell the run from that with every edge cut.
    """
    named = {"circuit": circuits} if isinstance(circuits, Circuit) else dict(circuits)
    operation, inputs = as_operation(ablation), as_inputs(tokens, attention_mask=attention_mask)
    with prepared(model, False):
        work = Rewired.begun(model, inputs, operation, metric, memory)
        measured = Measured.begun(work)
        shares = measured.shares(list(named.values()))
        told = facts(work, metric, operation, "circuits: every other edge cut")
        warnings = [*about_choices(work, metric, operation, None), *measured.warnings]
    return result_of(
        shares, ("measure", "circuit"), {"measure": MEASURES, "circuit": tuple(named)}, told, warnings
    )


def compare_ablations(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    ablations: Mapping[str, From | Operation],
    metric: Metric | Function,
    circuit: Circuit,
    **options: Any,
) -> Result:
    """One circuit under several kinds of ablation, side by side: they ask different questions.

    Args:
        ablations: by name, as `{"interchange": corrupted, "mean": Mean(tokens), "zero": Zero()}`.
        options: those of `evaluate`.

    Returns:
        Dimensions "ablation" and "measure". `warnings` say where the kinds disagree.

    Raises:
        InputError: as `evaluate`.
    """
    found = {
        name: evaluate(model, tokens, ablation, metric, circuit, **options).sel(circuit="circuit")
        for name, ablation in ablations.items()
    }
    results = list(found.values())
    values = torch.stack([result.values for result in results])
    samples = [result.per_sample for result in results if result.per_sample is not None]
    warnings = [f"{name}: {text}" for name, result in found.items() for text in result.warnings]
    spread = (values[:, 0].max() - values[:, 0].min()).item()
    if spread > 0.2:
        told = ", ".join(
            f"{value:.2f} by {name}" for name, value in zip(found, values[:, 0].tolist(), strict=True)
        )
        warnings.append(f"faithfulness depends on what cut edges carry: {told}")
    told = {**results[0].provenance, "operation": [result.provenance["operation"] for result in results]}
    return Result(
        values,
        ("ablation", "measure"),
        {"ablation": tuple(found), "measure": MEASURES},
        UNIT,
        torch.stack(samples) if len(samples) == len(results) else None,
        {},
        told,
        warnings=tuple(warnings),
    )


class Measured:
    """The ends of the scale on which circuits are measured, and where they stand on it."""

    def __init__(self, work: Rewired, cut: Tensor, gap: float, warnings: Sequence[str]) -> None:
        self.work, self.cut, self.gap, self.warnings = work, cut, gap, tuple(warnings)

    @classmethod
    def begun(cls, work: Rewired) -> Measured:
        """Run the model with every edge cut.

        Raises:
            InputError: if that can't be told from the run itself.
        """
        [cut] = work.measured(torch.ones(1, len(work.shape.edges), dtype=torch.bool))
        ends = {"clean": work.clean, "source": cut}
        clean, source = require_gap(ends)
        return cls(work, cut, clean - source, about_gap(cut - work.clean))

    def faithfulness(self, kept: Tensor) -> Tensor:
        """Of each row of edges `[set, edge]`: `[set, sample]`, whose mean it is, or `[set]`."""
        return (self.work.measured(~kept) - self.cut) / self.gap

    def shares(self, circuits: Sequence[Circuit]) -> Tensor:
        """Faithfulness and completeness, `[measure, circuit, sample]` or `[measure, circuit]`."""
        for circuit in circuits:
            require_shape(circuit, self.work)
        kept = torch.stack([mask_of(circuit) for circuit in circuits])
        return torch.stack([self.faithfulness(kept), 1 - self.faithfulness(~kept)])


def require_shape(circuit: Circuit, work: Rewired) -> None:
    """Raise InputError for a circuit of another shape than the model's."""
    if circuit.shape != work.shape:
        raise InputError(
            wanted=f"a circuit of the model's shape, {work.shape}",
            got=str(circuit.shape),
            remedy="pass the model that it is a circuit of",
        )


def result_of(
    shares: Tensor, dims: tuple[str, ...], coords: Mapping[str, Any], told: Any, warnings: Sequence[str]
) -> Result:
    """`[*dims, sample]`, or `[*dims]`, as a result."""
    by_sample = shares.ndim > len(dims)
    return Result(
        (shares.mean(-1) if by_sample else shares).cpu(),
        dims,
        coords,
        UNIT,
        shares.cpu() if by_sample else None,
        {},
        told,
        warnings=tuple(warnings),
    )
