"""An orthonormal basis, trained so that interchanging what lies in it gives the expected outputs."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.hooks import HookPoint
from unweave.engine.layout import Index, Selection
from unweave.engine.site import Site
from unweave.model.transformer import HookedTransformer

# A number is hit if it is off by less.
NEAR = 0.05


def random_basis(size: int, rank: int, seed: int) -> Float[Tensor, "rank size"]:
    """Orthonormal rows, each subspace as likely as any other."""
    noise = torch.randn(size, rank, generator=seeds.generator(seed, "random rotation"), dtype=torch.float64)
    return torch.linalg.qr(noise).Q.T


def hits(
    logits: Float[Tensor, "sample pos d_vocab"], expected: Float[Tensor, " sample"] | Any, pos: Index
) -> Float[Tensor, " sample"]:
    """1 where the likeliest class is the expected one, or the number is near it; else 0."""
    read = logits[:, pos]
    if expected.is_floating_point():
        return ((read[:, 0] - expected).abs() < NEAR).to(torch.float64)
    return (read.argmax(-1) == expected).to(torch.float64)


def fitted(
    model: HookedTransformer,
    site: Site,
    pairs: Any,
    rank: int,
    pos: int,
    steps: int,
    learning_rate: float,
    batch_size: int,
    seed: int,
) -> tuple[Float[Tensor, "rank size"], Float[Tensor, " step"]]:
    """The basis after so many steps, and the loss at each: cross-entropy, or squared error of numbers.

    Raises:
        InputError: for a rank that the site doesn't have room for.
    """
    [name] = site.hooks(model)
    with torch.no_grad():
        _, cache = model.run_with_cache(
            pairs.source, names_filter=[name], return_type=None, return_cache_object=False
        )
    selection = Selection(name, site.index, pairs.base.shape[1])
    sources = selection.get(cache[name], slice(None))
    size = sources.shape[-1]
    if not 1 <= rank <= size:
        raise InputError(
            wanted=f"a rank from 1 to {size}, the site's dimensions", got=str(rank), remedy="take fewer"
        )
    layer = _rotation(size, rank, seed, sources)
    optimizer = torch.optim.AdamW(layer.parameters(), lr=learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    draw = seeds.generator(seed, "das", "batches")
    losses: list[float] = []
    with torch.inference_mode(False), torch.enable_grad():
        for _ in range(steps):
            batch = torch.randperm(len(pairs.base), generator=draw)[:batch_size]
            basis = layer.weight

            def swap(
                tensor: Tensor, /, *, hook: HookPoint, batch: Tensor = batch, basis: Tensor = basis
            ) -> Tensor:
                old = selection.get(tensor, slice(None))
                new = tensor.clone()
                selection.put(new, old + (sources[batch] - old) @ basis.T @ basis, slice(None))
                return new

            with model.hooks([(name, swap)]):
                read = model(pairs.base[batch])[:, pos]
            expected = pairs.expected[batch].to(read.device)
            if expected.is_floating_point():
                loss = F.mse_loss(read[:, 0], expected.to(read))
            else:
                loss = F.cross_entropy(read, expected)
            # The gradient of the basis alone: those of the weights stay as they are.
            for parameter, gradient in zip(
                layer.parameters(), torch.autograd.grad(loss, list(layer.parameters())), strict=True
            ):
                parameter.grad = gradient
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
    return layer.weight.detach().clone(), torch.tensor(losses)


def _rotation(size: int, rank: int, seed: int, like: Tensor) -> nn.Linear:
    """A layer whose weight `[rank, size]` has orthonormal rows, whatever its parameters are."""
    with torch.random.fork_rng(devices=[]):
        layer = nn.Linear(size, rank, bias=False, dtype=like.dtype, device=like.device)
        with torch.no_grad():
            layer.weight.copy_(random_basis(size, rank, seed))
        parametrizations.orthogonal(layer)
        return layer
