"""All that one sweep works with: the run without patches, the patches, and what measures them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.engine.base import Base, Foreign, end_of, run_base
from unweave.engine.edits import Binder, Patch, hooks_of
from unweave.engine.executor import Executor, called, read_logits
from unweave.engine.grid import Grid, crossed, listed, parsed
from unweave.engine.inputs import Inputs
from unweave.engine.metrics import Bound, Function, Metric, bind
from unweave.engine.operations import From, Operation
from unweave.engine.planner import Planner, call_on, keep_memory, size_of
from unweave.model.transformer import HookedTransformer


@dataclass(frozen=True, eq=False)
class Study:
    """A sweep that has begun.

    Args:
        clean: the metric of the run without patches, a number for each sample or one for all.
        patches: those of `grid`, bound, in its order.
        wholes: those that touch all that some cells touch, with these cells' numbers.
        ended: the source's stream after the last layer, if its run was made for the patches anyway.
    """

    model: HookedTransformer
    base: Base
    grid: Grid
    executor: Executor
    clean: Float[Tensor, " sample"] | Float[Tensor, ""]
    patches: list[Patch]
    wholes: list[tuple[Patch, tuple[int, ...]]]
    ended: Float[Tensor, "sample pos d_model"] | None = None

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
        source: From | None = None,
    ) -> Study:
        """Run the model without patches, and bind those that there will be.

        Args:
            source: tokens that patches take values from, if their metric is to be known too.
        """
        target = parsed(over)
        changes = listed(over) if target is None else None
        names = [n for p in changes.patches for c in p for n in hooks_of(c, model)] if changes else []
        names = names if target is None else target[0].hooks(model)
        foreign = Foreign.of(model)
        base = run_base(model, inputs, names, foreign, all_logits=not isinstance(metric, Metric))
        device = model.W_E.device
        keep_memory(device)
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
        n_layers = model.cfg.n_layers
        # One run gives both, unless hooks of the user's may act after its last layer.
        end = end_of(n_layers - 1, model) if n_layers and foreign.first is None else None
        if source is not None and end is not None:
            binder.runs.want(source, end)
        bound_patches = binder.bind([*grid.patches, *(whole for whole, _ in grid.wholes)])
        n_cells = len(grid.patches)
        cells = [cells for _, cells in grid.wholes]
        wholes = list(zip(bound_patches[n_cells:], cells, strict=True))
        ended = None if source is None or end is None else binder.runs.get(source, end)
        return cls(model, base, grid, executor, clean, bound_patches[:n_cells], wholes, ended)

    @torch.no_grad()
    def at(self, inputs: Inputs) -> Tensor:
        """The metric of the source's run, at the positions and with the targets of this one."""
        bound, model, n_layers = self.executor.metric, self.model, self.model.cfg.n_layers
        every = not isinstance(bound, Bound)
        if self.ended is None:
            base = run_base(model, inputs, [], self.executor.foreign, every)
        else:
            logits = model(self.ended, start_at_layer=n_layers) if every else None
            base = Base(inputs, {n_layers: self.ended}, None, {}, logits)
        if isinstance(bound, Bound):
            return bound.mean(bound.each(read_logits(model, base, bound)))
        assert base.logits is not None
        return called(bound, base.logits)

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
