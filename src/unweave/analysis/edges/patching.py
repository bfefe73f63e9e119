"""Edge patching: one edge a run, exactly; or any set of edges in one run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from unweave.analysis.edges.pitfalls import about_choices, about_pairs, about_wholes, mean_size, opposites
from unweave.analysis.edges.results import facts, of_cells
from unweave.analysis.edges.rewired import Rewired
from unweave.analysis.edges.senders import as_operation, shape_of, ungrouped
from unweave.core.edges import Edge
from unweave.core.results import Result
from unweave.core.shape import Shape
from unweave.engine.base import undisturbed
from unweave.engine.baselines import normalised
from unweave.engine.inputs import Inputs, as_inputs, require_model
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import From, Operation
from unweave.engine.planner import MEMORY
from unweave.model.transformer import HookedTransformer

Edges = Iterable[Edge | str]
# Pairs of edges that may cancel of which so many are patched together, at most.
PAIRS = 20


def possible(model: HookedTransformer) -> tuple[Edge, ...]:
    """Every edge of a model, in the order of a run.

    With `n_layers` layers of `n_heads` heads these are one from each component into the queries, keys
    and values of each later head, into each later MLP and into the logits.

    Raises:
        InputError: for a model whose residual stream isn't the sum of what components add.
    """
    return shape_of(require_model(model)).edges


def patch(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    ablation: From | Operation,
    metric: Metric | Function,
    *,
    edges: Edges | None = None,
    wholes: bool = True,
    normalise: bool = False,
    attention_mask: Tensor | None = None,
    memory: int = MEMORY,
    allow_equal: bool = False,
    progress: bool = False,
) -> Result:
    """Edge patching: the metric with each edge alone carrying something else, exactly, one run an edge.

    The edge's receiver reads the residual stream of the run with what the sender added taken out and what
    it adds in another run put in; every other edge is left, so that later components see the change only
    through the receiver. (Goldowsky-Dill et al., 2023, arXiv:2304.05969; Wang et al., 2022,
    arXiv:2211.00593.) Runs begin in the receiver's layer, and many make one batch.

    Args:
        ablation: the other run (tokens of the same shape, `Inputs` or a cache), or an operation: `Zero()`,
            `Mean(of)`, `Resample(of)`. A mean is of each component over samples.
        edges: those to patch, as `Edge`s or as they are written; None is all of them.
        wholes: whether to patch all edges into each receiver, and all of each sender, together as well; it
            is how what one edge at a time can't show is found, and reported in `warnings`.
        normalise: 0 is the run itself, 1 that with every edge cut.
        memory: bytes that a batch of runs may take; one run of all samples is the least.
        allow_equal: whether it is fine if no component sends anything else.

    Returns:
        A dimension "edge", with labels such as "a0.h1->a1.h0<q>". `.effect` is the signed change.

    Raises:
        InputError: for a model with norms after attention, with hooks of yours on it, and the like; for
            edges or inputs that don't fit.
    """
    operation, inputs = as_operation(ablation), as_inputs(tokens, attention_mask=attention_mask)
    with prepared(model, progress) as bar:
        work = Rewired.begun(model, inputs, operation, metric, memory, allow_equal)
        work.progress = bar.update
        shape = work.shape
        numbers = list(range(len(shape.edges))) if edges is None else shape.numbers(edges)
        groups = _groups(shape, numbers) if wholes else {}
        sets = [[number] for number in numbers] + [*groups.values(), list(range(len(shape.edges)))]
        bar.reset(total=len(sets))
        values = work.measured(work.cut(sets))
        singles, together, source = values[: len(numbers)], values[len(numbers) : -1], values[-1]
    result = of_cells(
        work,
        metric,
        singles,
        {"edge": [str(shape.edges[number]) for number in numbers]},
        facts(work, metric, operation, "exact"),
        source=source,
        warnings=[
            *about_choices(work, metric, operation, source),
            *_about_groups(work, groups, numbers, singles - work.clean, together - work.clean),
        ],
    )
    return normalised(result) if normalise else result


def patch_sets(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    ablation: From | Operation,
    metric: Metric | Function,
    sets: Mapping[str, Edges],
    *,
    normalise: bool = False,
    attention_mask: Tensor | None = None,
    memory: int = MEMORY,
    allow_equal: bool = False,
    progress: bool = False,
) -> Result:
    """The metric with each of these sets of edges cut, each set in one run.

    A cut edge carries what its sender sends in the other run, in place of what it sends in *this* one, whatever
    the other cut edges have done to that.

    Args:
        sets: edges by name. Other arguments as in `patch`.

    Returns:
        A dimension "set".

    Raises:
        InputError: as `patch`.
    """
    operation, inputs = as_operation(ablation), as_inputs(tokens, attention_mask=attention_mask)
    with prepared(model, progress) as bar:
        work = Rewired.begun(model, inputs, operation, metric, memory, allow_equal)
        work.progress = bar.update
        every = list(range(len(work.shape.edges)))
        values = work.measured(work.cut([*(work.shape.numbers(edges) for edges in sets.values()), every]))
    result = of_cells(
        work,
        metric,
        values[:-1],
        {"set": list(sets)},
        facts(work, metric, operation, "exact"),
        source=values[-1],
        warnings=about_choices(work, metric, operation, values[-1]),
    )
    return normalised(result) if normalise else result


def run(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    ablation: From | Operation,
    edges: Edges,
    *,
    attention_mask: Tensor | None = None,
    allow_equal: bool = False,
) -> Float[Tensor, "sample pos d_vocab_out"]:
    """The logits of one forward in which all of these edges are cut; see `patch_sets`."""
    operation, inputs = as_operation(ablation), as_inputs(tokens, attention_mask=attention_mask)
    with prepared(model, False):
        work = Rewired.begun(model, inputs, operation, _nothing, MEMORY, allow_equal)
        return work.logits(work.cut([work.shape.numbers(edges)]))[0]


@contextmanager
def prepared(model: HookedTransformer, progress: bool) -> Generator[Any]:
    """The model as rewired runs need it, and a bar of progress."""
    with (
        undisturbed(require_model(model)),
        ungrouped(model),
        tqdm(desc="edges", unit="run", disable=not progress) as bar,
    ):
        yield bar


def _nothing(logits: Tensor) -> Tensor:
    return logits.new_zeros(())


def _groups(shape: Shape, numbers: Iterable[int]) -> dict[str, list[int]]:
    """The edges into each receiver's input, and out of each sender, where there are several and all were asked for."""
    groups: dict[str, list[int]] = defaultdict(list)
    for number, edge in enumerate(shape.edges):
        into = "" if edge.input is None else f"<{edge.input}>"
        groups[f"into {edge.receiver}{into}"].append(number)
        groups[f"out of {edge.sender}"].append(number)
    asked = set(numbers)
    return {name: group for name, group in groups.items() if len(group) > 1 and asked.issuperset(group)}


def _about_groups(
    work: Rewired, groups: Mapping[str, list[int]], numbers: list[int], singles: Tensor, together: Tensor
) -> list[str]:
    if not groups:
        return []
    row = {number: at for at, number in enumerate(numbers)}
    alone = [singles[torch.tensor([row[number] for number in group])] for group in groups.values()]
    largest = max(mean_size(part).max().item() for part in (singles, together))
    return [
        *about_wholes(list(groups), alone, list(together), largest),
        *_about_pairs(work, groups, numbers, singles, largest),
    ]


def _about_pairs(
    work: Rewired, groups: Mapping[str, list[int]], numbers: list[int], singles: Tensor, largest: float
) -> list[str]:
    """Which two edges of one receiver or sender have an effect each, and none together."""
    row = {number: at for at, number in enumerate(numbers)}
    pairs: list[list[int]] = []
    for group in groups.values():
        found = opposites(singles[torch.tensor([row[number] for number in group])], largest)
        pairs += [[group[one], group[other]] for one, other in found]
    joint = work.measured(work.cut(pairs[:PAIRS])) - work.clean if pairs else torch.empty(0)
    names = [[str(work.shape.edges[number]) for number in pair] for pair in pairs]
    sizes = [singles[torch.tensor([row[number] for number in pair])] for pair in pairs]
    return about_pairs(names[:PAIRS], sizes[:PAIRS], list(joint))
