"""How a part of the residual stream is read: by a norm whose scale is frozen, along directions, or as it is."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from unweave.core.errors import InputError


@dataclass(frozen=True)
class Reading:
    """A linear map of the residual stream, the same for every part of it, so that parts still sum.

    Args:
        centred: subtract the mean over d_model, as LayerNorm does.
        weight: `[d_model]`, the norm's weight.
        scale: `[*batch_and_pos, 1]`, what the norm divided by in the run.
        directions: `[d_model]` or `[d_model, n_outputs]` to project on; None keeps d_model.
    """

    centred: bool = False
    weight: Tensor | None = None
    scale: Tensor | None = None
    directions: Tensor | None = None

    def of(self, stack: Tensor) -> Tensor:
        """`[parts, *batch_and_pos, d_model]` → `[parts, *batch_and_pos, n_outputs]`.

        The last dimension goes where `directions` is a single one.
        """
        read = self._unscaled(stack)
        if self.scale is None:
            return read
        return read / (self.scale if read.ndim == stack.ndim else self.scale[..., 0])

    def of_products(self, factors: Tensor, vectors: Tensor) -> Tensor:
        """`of` of the parts `factors[..., i] * vectors[i]`, without making these.

        Args:
            factors: `[*batch_and_pos, parts]`, such as the activations of neurons.
            vectors: `[parts, d_model]`, such as what each neuron writes.
        """
        factors, read = self.through(factors, vectors)
        by_part = factors.movedim(-1, 0)
        aligned = read.reshape(len(read), *[1] * (by_part.ndim - 1), *read.shape[1:])
        return (by_part if read.ndim == 1 else by_part[..., None]) * aligned

    def through(self, factors: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Factors and vectors whose products are what `of` makes of the products of these."""
        return factors if self.scale is None else factors / self.scale, self._unscaled(vectors)

    def _unscaled(self, x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True) if self.centred else x
        x = x if self.weight is None else x * self.weight
        return x if self.directions is None else x @ self.directions


def require_directions(directions: Tensor, d_model: int) -> Tensor:
    """`directions`, if they are `[d_model]` or `[d_model, n_outputs]`."""
    if directions.ndim not in (1, 2) or directions.shape[0] != d_model:
        raise InputError(
            wanted=f"directions to project on, [{d_model}] or [{d_model}, n_outputs]",
            got=f"shape {tuple(directions.shape)}",
            remedy="put d_model first",
        )
    return directions


def require_sum(rows: Tensor, whole: Tensor, what: str, to: str) -> None:
    """Raise InputError if `rows`, along their first dimension, don't sum to `whole`.

    They must to a part of the size of what is added up, by dtype: 1e-10 of it in float64, 1e-5 in
    float32, 2e-2 in shorter ones.
    """
    part = {torch.float64: 1e-10, torch.float32: 1e-5}.get(rows.dtype, 2e-2)
    size = torch.linalg.vector_norm(rows, ord=1, dim=0).max() if rows.numel() else whole.new_zeros(())
    error = (rows.sum(0) - whole).abs().max()
    # Written so that nan fails too.
    if not error <= part * torch.maximum(size, whole.abs().max()):
        raise InputError(
            wanted=f"{what} that sum to the {to}",
            got=f"a difference of {error.item():.3g}",
            remedy="pass the cache of a run that no hook edited, of a model whose blocks add just these",
        )
