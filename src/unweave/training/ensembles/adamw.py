"""AdamW and clipping for many members at once, each with numbers of its own."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.model.transformer import HookedTransformer
from unweave.training.config import TrainConfig
from unweave.training.optimizer import adamw

Rows = Float[Tensor, "member number"]
Column = Float[Tensor, "member 1"]


class StackedAdamW:
    """AdamW (Loshchilov and Hutter, 2019, arXiv:1711.05101) on a matrix whose rows are members.

    The formula is that of `torch.optim.AdamW`; every number in it is a column, one a member.
    """

    def __init__(self, weights: Rows, configs: Sequence[TrainConfig]) -> None:
        self.weights, self.configs = weights, tuple(configs)
        self.mean, self.square = torch.zeros_like(weights), torch.zeros_like(weights)
        self.updates = 0
        self._rates = [config.betas for config in configs]
        first, second = self._columns(*zip(*self._rates, strict=True))
        self._new_mean, self._kept_square, self._new_square = 1 - first, second, 1 - second
        self._eps, self._most = self._columns(
            [config.eps for config in configs], [config.max_grad_norm or math.inf for config in configs]
        )

    @torch.no_grad()
    def clip(self, gradient: Rows) -> Float[Tensor, " member"]:
        """Scale every member's gradient down to its own largest norm, in place; the norms before."""
        norms = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        # The 1e-6 is that of torch.nn.utils.clip_grad_norm_.
        gradient.mul_((self._most / (norms + 1e-6)).clamp_max_(1.0))
        return norms[:, 0]

    @torch.no_grad()
    def step(self, gradient: Rows, lrs: Sequence[float]) -> None:
        """One update, each member at its own learning rate; a rate and gradient of 0 leave a row as it is."""
        self.updates += 1
        t = self.updates
        kept, size, root = self._columns(
            [1 - lr * config.weight_decay for lr, config in zip(lrs, self.configs, strict=True)],
            [-lr / (1 - first**t) for lr, (first, _) in zip(lrs, self._rates, strict=True)],
            [math.sqrt(1 - second**t) for _, second in self._rates],
        )
        self.weights.mul_(kept)
        self.mean.lerp_(gradient, self._new_mean)
        self.square.mul_(self._kept_square).addcmul_(gradient * self._new_square, gradient)
        divisor = self.square.sqrt().div_(root).add_(self._eps)
        self.weights.addcdiv_(self.mean * size, divisor)

    def of(self, model: HookedTransformer, member: int) -> torch.optim.AdamW:
        """That member's optimiser, as a run by itself would have it."""
        optimizer = adamw(model, self.configs[member])
        if not self.updates:
            return optimizer
        parts = zip(
            self._split(self.mean, model, member), self._split(self.square, model, member), strict=True
        )
        for parameter, (mean, square) in zip(model.parameters(), parts, strict=True):
            optimizer.state[parameter] = {
                "step": torch.tensor(float(self.updates), device=parameter.device),
                "exp_avg": mean,
                "exp_avg_sq": square,
            }
        return optimizer

    def read(self, optimizer: torch.optim.AdamW, model: HookedTransformer, member: int) -> None:
        """Take up the state of that member's optimiser; before its first update it has none."""
        if not optimizer.state:
            return
        parameters = list(model.parameters())
        for rows, name in ((self.mean, "exp_avg"), (self.square, "exp_avg_sq")):
            for part, parameter in zip(self._split(rows, model, member), parameters, strict=True):
                part.copy_(optimizer.state[parameter][name])

    def _split(self, rows: Rows, model: HookedTransformer, member: int) -> list[Tensor]:
        """A member's row in views of the shapes of its parameters."""
        parameters = list(model.parameters())
        parts = rows[member].split([parameter.numel() for parameter in parameters])
        return [part.view(parameter.shape) for part, parameter in zip(parts, parameters, strict=True)]

    def _columns(self, *values: Sequence[float]) -> tuple[Column, ...]:
        """Columns of numbers; each was worked out in double precision, as PyTorch does it."""
        table = torch.tensor(values, dtype=torch.float64).to(self.weights)
        return table[:, :, None].unbind(0)
