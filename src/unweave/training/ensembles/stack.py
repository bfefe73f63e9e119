"""The weights of many models of one shape, run and differentiated together by `torch.func`."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call, stack_module_state, vmap

from unweave.core.errors import InputError
from unweave.model.transformer import HookedTransformer
from unweave.tasks import IGNORED, Batch

_functorch = torch._C._functorch  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]


class Scored(NamedTuple):
    """Of each member's batch: its loss in nats and its hits, summed over its targets, and how many these are."""

    losses: Float[Tensor, " member"]
    hits: Float[Tensor, " member"]
    asked: Float[Tensor, " member"]


class Stack:
    """Models of one shape as one matrix of weights `[member, number]`, a row a member.

    `weights` are views of it by the parameters' names, `[member, ...]`. The models that it was made
    of keep their own weights until `write_back`.
    """

    def __init__(self, models: Sequence[HookedTransformer]) -> None:
        self.models = tuple(models)
        # Buffers are fixed tables that follow from the shape: those of the first model serve all.
        state, _ = stack_module_state(list(models))
        self.flat = torch.cat([part.detach().flatten(1) for part in state.values()], 1)
        sizes = [part[0].numel() for part in state.values()]
        self.weights = {
            name: columns.view(part.shape).detach().requires_grad_()
            for (name, part), columns in zip(state.items(), self.flat.split(sizes, 1), strict=True)
        }

    def scored(self, batch: Batch, at: slice, bf16: bool = False) -> Scored:
        """Run every member on its part of a batch `[member, batch, pos]`, with targets at the positions `at`."""
        with no_fallback(), torch.autocast(self.flat.device.type, torch.bfloat16, enabled=bf16):
            return Scored(*vmap(self._one)(self.weights, *batch, at=at))

    def _one(
        self,
        weights: Mapping[str, Tensor],
        tokens: Int[Tensor, "batch pos"],
        targets: Int[Tensor, "batch scored"],
        at: slice,
    ) -> tuple[Tensor, Tensor, Tensor]:
        logits = functional_call(self.models[0], dict(weights), (tokens,), {"unembed_at": at})
        kept = targets != IGNORED
        loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum", ignore_index=IGNORED)
        hits = ((logits.argmax(-1) == targets) & kept).sum().to(loss.dtype)
        return loss, hits, kept.sum().to(loss.dtype)

    def gradient(self, losses: Float[Tensor, " member"]) -> Float[Tensor, "member number"]:
        """Each member's gradient of its own loss: the others' weights don't touch it."""
        parts = torch.autograd.grad(losses.sum(), list(self.weights.values()))
        return torch.cat([part.flatten(1) for part in parts], 1)

    def try_out(self, batch: Batch, at: slice, bf16: bool) -> None:
        """Refuse a shape that can't be run for all members at once.

        Raises:
            InputError: for an operation that torch can't batch, or one that draws random numbers.
        """
        try:
            self.gradient(self.scored(Batch(*(part[:, :1] for part in batch)), at, bf16).losses)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise InputError(
                wanted="a model whose every operation torch.func can batch over members",
                got=f"one of which it says: {str(error).splitlines()[0]}",
                remedy="train these runs one by one: unweave.training.train",
            ) from error

    @torch.no_grad()
    def write_back(self, member: int) -> HookedTransformer:
        """That member's model, with the weights that it has here by now."""
        model = self.models[member]
        for name, parameter in model.named_parameters():
            parameter.copy_(self.weights[name][member])
        return model

    @torch.no_grad()
    def read(self, member: int) -> None:
        """Take up the weights of that member's model."""
        for name, parameter in self.models[member].named_parameters():
            self.weights[name][member].copy_(parameter)


@contextmanager
def no_fallback() -> Generator[None]:
    """Within the block, an operation that `vmap` could only run in a loop over members is an error."""
    before = _functorch._is_vmap_fallback_enabled()
    _functorch._set_vmap_fallback_enabled(False)
    try:
        yield
    finally:
        _functorch._set_vmap_fallback_enabled(before)
