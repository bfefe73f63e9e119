"""Approximations of patched runs by gradients: attribution patching, at the clean run or along a path.

The first order (Nanda, 2023, "Attribution patching"; Syed et al., 2023, arXiv:2310.10348): the change
of the metric is about `gradient · (new - old)`. Integrated (Sundararajan et al., 2017,
arXiv:1703.01365, here at a site and not at the input): the gradient is averaged along the straight
path of the whole site from old to new, so that the parts sum to the effect of patching it whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.hooks import HookFunction, HookPoint
from unweave.engine.base import Base, Foreign
from unweave.engine.edits import Edit, HookEdit, Patch, Watch
from unweave.engine.executor import called
from unweave.engine.layout import AT_TOKENS
from unweave.engine.metrics import Bound, Function
from unweave.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Attributor:
    """Estimates the change of the metric under patches.

    Args:
        metric: bound and with its clean values, or a function of logits.
        watch: is shown what every patch changes.
    """

    model: HookedTransformer
    base: Base
    foreign: Foreign
    metric: Bound | Function
    watch: Watch

    def first_order(self, patches: Sequence[Patch]) -> Float[Tensor, "patch sample"]:
        """`gradient · (new - old)`, with one gradient of the clean run for all patches."""
        names = list(dict.fromkeys(only_name(patch) for patch in patches))
        leaves: dict[str, Tensor] = {}
        kept: dict[str, Tensor] = {}
        with torch.inference_mode(False), torch.enable_grad():
            hooks = [(name, _with_leaf(leaves, kept)) for name in names]
            with self.model.hooks(hooks):
                total = self._total(self.model(self.base.inputs.tokens, **self.base.inputs.others))
            gradients = _gradients(total, [leaves[name] for name in names])
        by_name = dict(zip(names, gradients, strict=True))
        return torch.stack(
            [
                attributed(patch, kept[only_name(patch)], by_name[only_name(patch)], self.watch)
                for patch in patches
            ]
        )

    def integrated(
        self, wholes: Sequence[tuple[Patch, tuple[int, ...]]], patches: Sequence[Patch], steps: int
    ) -> Float[Tensor, "patch sample"]:
        """`mean gradient · (new - old)`, the mean along the path of each whole, for the patches that are its parts.

        Args:
            steps: points of the Gauss-Legendre rule; the error falls fast where the metric is smooth
                along the path, and as `1 / steps` across kinks.
        """
        results: dict[int, Tensor] = {}
        points, weights = np.polynomial.legendre.leggauss(steps)
        for whole, cells in wholes:
            clean: Tensor | None = None
            mean: Tensor | None = None
            for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
                clean, gradient = self._along(whole, float(point))
                mean = float(weight) * gradient + (0 if mean is None else mean)
            assert clean is not None and mean is not None
            for cell in cells:
                results[cell] = attributed(patches[cell], clean, mean, self.watch)
        return torch.stack([results[cell] for cell in range(len(patches))])

    def _along(self, whole: Patch, point: float) -> tuple[Tensor, Tensor]:
        """The clean activation, and the gradient at `point` (0 to 1) of the way to the patched one."""
        name = only_name(whole)
        leaves: dict[str, Tensor] = {}
        kept: dict[str, Tensor] = {}

        def move(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
            kept[hook.name] = tensor.detach().clone()
            moved = tensor + point * _delta(whole, kept[hook.name])
            return _with_leaf(leaves, {})(moved, hook=hook)  # pyright: ignore[reportReturnType]

        inputs, start = self.base.inputs, self.foreign.start(whole.start)
        with torch.inference_mode(False), torch.enable_grad(), self.model.hooks([(name, move)]):
            if start == AT_TOKENS:
                logits = self.model(inputs.tokens, **inputs.others)
            else:
                logits = self.model(
                    self.base.streams[start], start_at_layer=start, attention_mask=inputs.attention_mask
                )
            [gradient] = _gradients(self._total(logits), [leaves[name]])
        return kept[name], gradient

    def _total(self, logits: Float[Tensor, "sample pos d_vocab"]) -> Tensor:
        """The sum over samples, whose gradient is each sample's own."""
        if not isinstance(self.metric, Bound):
            return called(self.metric, logits).sum()
        where = self.metric.where
        rows = torch.arange(len(where), device=where.device)[:, None]
        return self.metric.mean(self.metric.each(logits[rows, where])).sum()


def only_name(patch: Patch) -> str:
    """The one hook that a patch touches.

    Raises:
        InputError: if there are more: the gradient at one of them holds what flows through the others.
    """
    if len(patch.names) != 1 or any(isinstance(edit, HookEdit) for edit in patch.edits):
        raise InputError(
            wanted="patches of one hook each, and no hook functions, for an approximation by gradients",
            got=", ".join(patch.names),
            remedy='write method="exact"',
        )
    return patch.names[0]


@torch.no_grad()
def attributed(patch: Patch, clean: Tensor, gradient: Tensor, watch: Watch) -> Float[Tensor, " sample"]:
    """`gradient · (new - old)`, sample by sample."""
    [*edits] = patch.edits
    if len(edits) == 1 and isinstance(edits[0], Edit):
        old, new = edits[0].values(clean, slice(None))
        watch.see(edits[0], old, new)
        delta, gradient = _difference(old, new), edits[0].selection.get(gradient, slice(None))
    else:
        delta = _delta(patch, clean)
        watch.changed = watch.changed or bool(delta.any())
    return (delta * gradient).flatten(1).sum(1)


@torch.no_grad()
def _delta(patch: Patch, clean: Tensor) -> Tensor:
    """What the patch adds to the whole of the tensor."""
    new = clean.clone()
    for edit in patch.edits:
        assert isinstance(edit, Edit)
        _, values = edit.values(new, slice(None))
        edit.write(new, values, slice(None))
    return _difference(clean, new)


def _difference(old: Tensor, new: Tensor) -> Tensor:
    # Masked scores are infinite before and after.
    return torch.where(new == old, 0.0, new - old).to(old.dtype)


def _with_leaf(leaves: dict[str, Tensor], kept: dict[str, Tensor]) -> HookFunction:
    """Adds a zero whose gradient is that of the activation, and keeps the activation."""

    def add(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
        if not tensor.is_floating_point():
            raise InputError(
                wanted="a site of real numbers, for gradients",
                got=f"{hook.name} of {tensor.dtype}",
                remedy='write method="exact"',
            )
        if hook.name in leaves:
            raise InputError(
                wanted="a site that is passed once a run, for gradients",
                got=f"{hook.name}, which is passed again",
                remedy='write method="exact"',
            )
        leaves[hook.name] = torch.zeros_like(tensor).requires_grad_()
        kept[hook.name] = tensor.detach().clone()
        return tensor + leaves[hook.name]

    return add


def _gradients(total: Tensor, leaves: list[Tensor]) -> list[Tensor]:
    if not total.requires_grad:
        raise InputError(
            wanted="a metric with a gradient",
            got="one that is not differentiable, or doesn't depend on the sites",
            remedy='write method="exact", or another metric',
        )
    # At a site that the metric doesn't depend on it is zero.
    found = torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    return list(found)
