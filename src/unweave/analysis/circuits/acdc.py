"""ACDC: edges cut one after the other, from the logits up, as long as that costs little."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from unweave.analysis.circuits.damage import damage
from unweave.analysis.edges.patching import PAIRS, prepared
from unweave.analysis.edges.pitfalls import about_choices, about_pairs, mean_size, opposites
from unweave.analysis.edges.results import facts
from unweave.analysis.edges.rewired import Rewired
from unweave.analysis.edges.senders import as_operation
from unweave.core import seeds
from unweave.core.circuit import Circuit
from unweave.core.errors import InputError
from unweave.core.shape import Shape
from unweave.engine.inputs import Inputs, as_inputs
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import From, Operation
from unweave.engine.planner import MEMORY
from unweave.model.config_checks import require_choice
from unweave.model.transformer import HookedTransformer

ORDERS = ("backward", "forward", "random")
# The most candidates of one receiver that are cut in one batch, each on top of those before it.
AHEAD = 64


def acdc(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    ablation: From | Operation,
    metric: Metric | Function,
    *,
    threshold: float,
    order: str = "backward",
    seed: int = 0,
    other_order: bool = True,
    attention_mask: Tensor | None = None,
    memory: int = MEMORY,
) -> Circuit:
    """Automatic circuit discovery (Conmy et al., 2023, arXiv:2304.14997).

    Receivers are visited from the logits back to the first layer; each edge into one is cut for good if that, on
    top of all that is cut already, costs less than `threshold`: for KL, by how much it rises; for another metric,
    by how much it changes, the mean absolute change over samples. What no kept edge reads is cut unasked.

    The circuit is that of one run an edge, one after the other. Those runs begin in the receiver's layer, for
    what lies before is as in the run itself; and the next candidates are cut in one batch, each on top of the
    ones before, which is thrown away behind the first that must stay.

    Args:
        ablation: the run that cut edges carry values from, or `Zero()`, `Mean(of)`, `Resample(of)`.
        metric: `KL()` in the paper.
        order: of the receivers of one layer, and of the senders of each: "backward", "forward", or
            "random", drawn from `seed`. ACDC's answer may depend on it.
        other_order: whether to run it again in the other direction, and warn if it finds another circuit.

    Returns:
        The circuit, with edges that dangle left out where they make no difference. `provenance["costs"]` has
        what each cut cost when it was tried; `warnings` say what the circuit can't be relied on for.

    Raises:
        InputError: as `unweave.edges.patch`; for a threshold that isn't positive.
    """
    require_choice("order", order, ORDERS)
    if not threshold > 0:
        raise InputError(
            wanted="a positive threshold",
            got=repr(threshold),
            remedy="write by how much the metric may change",
        )
    operation, inputs = as_operation(ablation), as_inputs(tokens, attention_mask=attention_mask)
    with prepared(model, False):
        work = Rewired.begun(model, inputs, operation, metric, memory)
        search = Search(work, threshold)
        search.through(candidates(work.shape, order, seed))
        runs, batches = work.runs, work.batches
        told = facts(work, metric, operation, f"ACDC, threshold {threshold:g}, {order}")
        [source] = work.measured(torch.ones_like(search.removed)[None])
        warnings = [*about_choices(work, metric, operation, source), *search.about_kept()]
        if other_order:
            warnings += _about_order(work, search, "forward" if order != "forward" else "backward")
    costs = {str(work.shape.edges[number]): cost for number, cost in search.costs.items()}
    told |= {"plan": {"runs": runs, "batches": batches, "unasked": search.unasked}, "costs": costs}
    return search.circuit().with_provenance(told, warnings)


def candidates(shape: Shape, order: str, seed: int) -> Iterator[list[int]]:
    """The edges into each receiver's input, receivers from the logits back, in this order."""
    draw = seeds.generator(seed, "order")

    def ordered(numbers: list[int]) -> list[int]:
        if order == "random":
            return [numbers[at] for at in torch.randperm(len(numbers), generator=draw).tolist()]
        return numbers if order == "forward" else numbers[::-1]

    readings = list(shape.readings)
    while readings:
        # What reads beside one another: heads and their inputs, and a parallel MLP, are one stage.
        last = readings.pop()
        stage = [last]
        while readings and readings[-1].layer == last.layer and (last.input != "mlp" or shape.parallel):
            stage.append(readings.pop())
        lists = [list(reading.numbers(at)) for reading in stage[::-1] for at in range(reading.n_receivers)]
        yield from (ordered(lists[at]) for at in ordered(list(range(len(lists)))))


@dataclass(eq=False)
class Search:
    """What has been cut so far, what the metric then is, and what each cut cost.

    Args:
        unasked: how many edges were cut without a run, since nothing read them.
    """

    work: Rewired
    threshold: float
    unasked: int = 0
    costs: dict[int, float] = field(default_factory=dict[int, float])
    removed: Tensor = field(init=False)
    value: Tensor = field(init=False)

    def __post_init__(self) -> None:
        self.removed = torch.zeros(len(self.work.shape.edges), dtype=torch.bool)
        self.value = self.work.clean

    def through(self, receivers: Iterator[list[int]]) -> None:
        """Try every edge."""
        edges = self.work.shape.edges
        readers = {edges[-1].receiver}
        for numbers in receivers:
            if edges[numbers[0]].receiver not in readers:
                self.removed[numbers] = True
                self.unasked += len(numbers)
                continue
            self._try(numbers)
            readers |= {edges[number].sender for number in numbers if not self.removed[number]}

    def _try(self, numbers: list[int]) -> None:
        """Each of these in turn; many in one batch as long as they all go."""
        ahead, at = 4, 0
        while at < len(numbers):
            some = numbers[at : at + ahead]
            cut = self.removed.repeat(len(some), 1)
            for row in range(len(some)):
                cut[row, some[: row + 1]] = True
            values = self.work.measured(cut)
            before = torch.cat([self.value[None], values[:-1]])
            costs = damage(self.work, before, values).tolist()
            gone = next((n for n, cost in enumerate(costs) if not cost < self.threshold), len(some))
            for number, cost in zip(some[: gone + 1], costs, strict=False):
                self.costs[number] = cost
            if gone:
                self.removed[some[:gone]], self.value = True, values[gone - 1]
            at += gone + (gone < len(some))
            ahead = min(2 * ahead, AHEAD) if gone == len(some) else max(1, gone)

    def circuit(self) -> Circuit:
        """What is left."""
        shape = self.work.shape
        kept = (~self.removed).nonzero().flatten().tolist()
        circuit = Circuit(frozenset(shape.edges[number] for number in kept), shape)
        pruned = circuit.pruned()
        if len(pruned) == len(circuit):
            return circuit
        cut = ~mask_of(pruned)
        [value] = self.work.measured(cut[None])
        same = damage(self.work, self.value, value).abs() < 1e-3 * self.threshold
        return pruned if bool(same) else circuit

    def about_kept(self) -> list[str]:
        """What the circuit, taken as a whole, doesn't hold of what each step promised."""
        kept = (~self.removed).nonzero().flatten().tolist()
        whole = damage(self.work, self.work.clean, self.value).item()
        texts: list[str] = []
        if whole >= self.threshold:
            texts.append(
                f"each cut cost less than {self.threshold:.3g}, but all together cost {whole:.3g}: small costs add up"
            )
        if not kept:
            return [*texts, "no edge is left: each cut costs less than the threshold"]
        without = self.removed.repeat(len(kept), 1)
        without[range(len(kept)), kept] = True
        values = self.work.measured(without)
        costs = damage(self.work, self.value, values)
        needless = [
            str(self.work.shape.edges[kept[at]])
            for at in (costs < self.threshold).nonzero().flatten().tolist()
        ]
        if needless:
            texts.append(
                f"{len(needless)} of {len(kept)} edges that were kept, {needless[0]} for one, are not needed any more "
                "now that others are gone: run it in other orders, see equally_good"
            )
        return [*texts, *self._about_pairs(kept, values - self.value)]

    def _about_pairs(self, kept: list[int], changes: Tensor) -> list[str]:
        """Which two kept edges cancel: one at a time, neither can be cut."""
        pairs = opposites(changes, mean_size(changes).max().item())[:PAIRS]
        if not pairs:
            return []
        cut = self.removed.repeat(len(pairs), 1)
        for row, (one, other) in enumerate(pairs):
            cut[row, [kept[one], kept[other]]] = True
        names = [[str(self.work.shape.edges[kept[at]]) for at in pair] for pair in pairs]
        return about_pairs(
            names, [changes[list(pair)] for pair in pairs], list(self.work.measured(cut) - self.value)
        )


def mask_of(circuit: Circuit) -> Tensor:
    """`[edge]`, True for those of the circuit."""
    mask = torch.zeros(len(circuit.shape.edges), dtype=torch.bool)
    mask[circuit.shape.numbers(circuit.edges)] = True
    return mask


def _about_order(work: Rewired, first: Search, order: str) -> list[str]:
    again = Search(work, first.threshold)
    again.through(candidates(work.shape, order, 0))
    one, other = first.circuit(), again.circuit()
    if one == other:
        return []
    return [
        f"tried {order}, ACDC finds another circuit, of {len(other)} edges, {len(one & other)} of them the same "
        f"({len(one)} here): more than one explains the output; see equally_good"
    ]
