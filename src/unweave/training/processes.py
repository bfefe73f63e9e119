"""The processes that train one model together, each on its share of every batch (`torchrun`)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import Tensor

from unweave.core.errors import InputError
from unweave.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Processes:
    """This process among those that train together; alone it does nothing that costs time.

    Gradients are summed and losses too, so that a run by several processes is that of one, up to
    the order in which numbers are added. Every process draws the whole batch, from the seed, and
    takes its share.
    """

    rank: int = 0
    count: int = 1

    @classmethod
    def found(cls) -> Processes:
        """As `torch.distributed` says; one alone, if that was not begun."""
        if not dist.is_available() or not dist.is_initialized():
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def writes(self) -> bool:
        """Whether this is the one that writes files and shows progress."""
        return self.rank == 0

    def require_same(self, model: HookedTransformer) -> None:
        """Refuse to begin with weights that differ between the processes.

        Raises:
            InputError: in every process, if they do.
        """
        if self.count == 1:
            return
        digest = hashlib.sha256()
        for tensor in model.state_dict().values():
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        number = torch.frombuffer(bytearray(digest.digest()[:8]), dtype=torch.int64).clone()
        numbers = [torch.empty_like(number) for _ in range(self.count)]
        dist.all_gather(numbers, number)
        if any(not torch.equal(number, other) for other in numbers):
            raise InputError(
                wanted="the same weights in every process",
                got=f"others, in {self.count} processes",
                remedy="give the model's config a seed",
            )

    def sum_gradients(self, model: torch.nn.Module) -> None:
        """Add up every parameter's gradient over the processes, in one message."""
        if self.count == 1:
            return
        parameters = [p for p in model.parameters() if p.requires_grad]
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        for parameter, summed in zip(parameters, flat.split([g.numel() for g in gradients]), strict=True):
            parameter.grad = summed.view_as(parameter)

    def sum(self, numbers: Tensor) -> Tensor:
        """The sum over the processes."""
        if self.count > 1:
            dist.all_reduce(numbers)
        return numbers

    def any(self, here: bool) -> bool:
        """Whether it is so in any process."""
        return bool(self.sum(torch.tensor(float(here))).item()) if self.count > 1 else here

    def wait(self) -> None:
        """Go on once all have come here."""
        if self.count > 1:
            dist.barrier()
