"""All that one sweep works with: the run without patches, the patches, and what measures them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor

from unweave.engine.base import Base, Foreign, run_base
from unweave.engine.edits import Binder, Patch, hooks_of
from unweave.engine.executor import Executor, called, read_logits
from unweave.engine.grid import Grid, crossed, listed, parsed
from unweave.engine.inputs import Inputs
from unweave.engine.metrics import Bound, Function, Metric, bind
from unweave.engine.operations import Operation
from unweave.engine.planner import Planner, call_on, size_of
from unweave.model.transformer import HookedTransformer


@dataclass(frozen=True, eq=False)
class Study:
    """A sweep that has begun.

    Args:
        clean: the metric of the run without patches, a number for each sample or one for all.
        patches: those of `grid`, bound, in its order.
        wholes: those that touch all that some cells touch, with these cells' numbers.
    """

    model: HookedTransformer
    base: Base
    grid: Grid
    executor: Executor
    clean: Float[Tensor, " sample"] | Float[Tensor, ""]
    patches: list[Patch]
    wholes: list[tuple[Patch, tuple[int, ...]]]

    @classmethod
    def begun(
        cls,
        model: HookedTransformer,
        inputs: Inputs,
        over: Any,
        operation: Operation | None,
        metric: Metric | Function,
        memory: int,
        progress: Callable[[int], Any],
    ) -> Study:
        """Run the model without patches, and bind those that there will be."""
        target = parsed(over)
        changes = listed(over) if target is None else None
        names = [n for p in changes.patches for c in p for n in hooks_of(c, model)] if changes else []
        names = names if target is None else target[0].hooks(model)
        foreign = Foreign.of(model)
        base = run_base(model, inputs, names, foreign, all_logits=not isinstance(metric, Metric))
        device = model.W_E.device
        bound = bind(metric, inputs, model.cfg.d_vocab_out, device) if isinstance(metric, Metric) else metric
        planner = Planner(
            model.cfg,
            foreign,
            inputs.shape,
            size_of(model.W_E.dtype),
            memory,
            reuse=base.keys_values is not None,
            splittable=isinstance(metric, Metric),
            call=call_on(device),
        )
        executor = Executor(model, base, foreign, bound, planner, progress=progress)
        if changes is None:
            assert target is not None and operation is not None
            grid = crossed(*target, operation, model, inputs.shape[1], base.shapes)
        else:
            grid = changes
        clean, binder = executor.clean(), Binder(model, inputs)
        bound_patches = binder.bind([*grid.patches, *(whole for whole, _ in grid.wholes)])
        n_cells = len(grid.patches)
        cells = [cells for _, cells in grid.wholes]
        wholes = list(zip(bound_patches[n_cells:], cells, strict=True))
        return cls(model, base, grid, executor, clean, bound_patches[:n_cells], wholes)

    def at(self, inputs: Inputs) -> Tensor:
        """The metric of another run, at the positions and with the targets of this one."""
        bound, foreign = self.executor.metric, self.executor.foreign
        base = run_base(self.model, inputs, [], foreign, all_logits=not isinstance(bound, Bound))
        if not isinstance(bound, Bound):
            assert base.logits is not None
            return called(bound, base.logits)
        return bound.mean(bound.each(read_logits(self.model, base, bound)))

    def plan(self) -> dict[str, Any]:
        """How the runs were planned, for the result."""
        first = self.executor.foreign.first
        if first is not None:
            positions = "all: hooks on the model act in every run"
        elif self.base.keys_values is None:
            positions = "all: attention looks both ways"
        else:
            positions = "from the first one touched"
        return {"patches": len(self.patches), "batches": self.executor.batches_run, "positions": positions}
