"""The hook function that keeps what passes a point."""

from __future__ import annotations

import torch
from torch import Tensor

from unweave.core.errors import HookError, InputError
from unweave.core.hook_point import HookPoint, hook_depth
from unweave.core.sites import position_dim
from unweave.core.slices import Slice, SliceInput


class Recorder:
    """Keeps each tensor under the name of the point that it passes.

    Args:
        kept: where to.
        detach: False keeps the graph. Gradients with respect to what is kept then work, also where
            it is a part of the tensor or a copy on another device: the model goes on with that.
        device: where to put it; None leaves it where it is.
        remove_batch_dim: drop the first dimension, which must be 1.
        pos_slice: the positions to keep (queries, of scores and patterns); the dimension stays.
        suffix: put after the name.
        depth: `hook_depth()` of the run to record, and not of those that hook functions begin in it;
            None records every run.

    Raises:
        InputError: for a device that is not there or a slice that is none, and when a tensor comes
            that has more than one sequence, or no dimension of positions to slice.
    """

    def __init__(
        self,
        kept: dict[str, Tensor],
        *,
        detach: bool = True,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
        pos_slice: Slice | SliceInput = None,
        suffix: str = "",
        depth: int | None = None,
    ) -> None:
        self.kept, self.detach, self.suffix, self.depth = kept, detach, suffix, depth
        self.device = None if device is None else require_device(device)
        self.remove_batch_dim = remove_batch_dim
        self.pos_slice = Slice.unwrap(pos_slice)
        self.whole = self.pos_slice.mode == "identity"
        # What is kept must lie on the way to the output, or no gradient would reach it.
        self.only_reads = detach or (device is None and not remove_batch_dim and self.whole)

    def __call__(self, tensor: Tensor, /, *, hook: HookPoint) -> Tensor | None:
        """Keep `tensor`; give it back, made of what was kept, if gradients are to flow through that."""
        if self.depth is not None and hook_depth() != (self.depth if self.only_reads else self.depth + 1):
            return None
        part = tensor
        # What an expert was sent has no dimension of sequences.
        drop = self.remove_batch_dim and hook.routed is None
        if self.remove_batch_dim:
            only = only_sequence(tensor if hook.routed is None else hook.routed.chosen, hook.name)
            part = only if drop else part
        if not self.whole:
            part = self._cut(part, tensor, hook)
        part = part if self.device is None else part.to(self.device)
        if self.detach:
            # A view would keep the positions alive that nobody asked for.
            part = part.detach().clone() if part.numel() < tensor.numel() else part.detach()
        self.kept[hook.name + self.suffix] = part
        if self.only_reads:
            return None
        part = part.to(tensor.device)
        return self._put_back(tensor, part[None] if drop else part, hook)

    def _cut(self, part: Tensor, whole: Tensor, hook: HookPoint) -> Tensor:
        if hook.routed is not None:
            return part[hook.routed.rows(positions=self.pos_slice)]
        return self.pos_slice.apply(part, self._position_dim(whole, hook.name))

    def _put_back(self, tensor: Tensor, part: Tensor, hook: HookPoint) -> Tensor:
        if self.whole:
            return part
        if hook.routed is not None:
            dim, chosen = 0, hook.routed.rows(positions=self.pos_slice)
        else:
            dim = self._position_dim(tensor, hook.name)
            chosen = self.pos_slice.chosen(tensor.shape[dim])
        if len(chosen.unique()) < len(chosen):
            raise InputError(
                wanted="each position once in pos_slice, with detach=False",
                got=f"{self.pos_slice!r}",
                remedy="name a position once, and repeat it in what is cached",
            )
        return tensor.index_copy(dim, chosen.to(tensor.device), part)

    def _position_dim(self, tensor: Tensor, name: str) -> int:
        dim = position_dim(name)
        # A batch dimension comes before it.
        if tensor.ndim <= -dim:
            raise HookError(
                wanted=f"positions to slice at {name}",
                got=f"a tensor of shape {tuple(tensor.shape)}",
                remedy="leave pos_slice out, or that name out of names_filter",
            )
        return dim


def only_sequence(tensor: Tensor, name: str) -> Tensor:
    """`tensor` without its first dimension.

    Raises:
        InputError: if that is not 1.
    """
    if tensor.ndim == 0 or tensor.shape[0] != 1:
        raise InputError(
            wanted="a batch of one sequence for remove_batch_dim",
            got=f"more than one, or no batch, at {name}: shape {tuple(tensor.shape)}",
            remedy="leave remove_batch_dim out, or pass one sequence",
        )
    return tensor[0]


def require_device(device: torch.device | str) -> torch.device:
    """`device`, if this machine has it.

    Raises:
        InputError: if it has not.
    """
    try:
        return torch.empty(0, device=device).device
    # Which of the three depends on the device: an unknown kind, one not built in, one not there.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            wanted="a device of this machine", got=repr(str(device)), remedy="write device='cpu'"
        ) from error
