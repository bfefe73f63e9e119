"""What a site holds over many samples, gathered a chunk at a time."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.engine.inputs import Inputs
from unweave.engine.layout import SCORES, Selection, dims_of, orthonormal
from unweave.engine.site import Site
from unweave.model.transformer import HookedTransformer

# Samples that are run at once: all activations of many would not fit into memory.
CHUNK = 64


@torch.no_grad()
def activations(
    model: HookedTransformer, inputs: Inputs, site: Site
) -> dict[str, Float[Tensor, "sample pos feature"]]:
    """What `site` holds in each sample and at each of its positions, by hook, on the CPU.

    Where a site has heads, the dimensions of all those chosen stand side by side. With a direction,
    features are the coordinates along it (or along an orthonormal basis of its subspace).

    Raises:
        InputError: for scores, patterns, and hooks that have no row a sample and position.
    """
    names = site.hooks(model)
    for name in names:
        if dims_of(name) in (None, SCORES):
            raise InputError(
                wanted="a site that holds a vector for each position",
                got=name,
                remedy="name a residual stream, a head's output or an MLP's neurons",
            )
    kept: dict[str, list[Tensor]] = {name: [] for name in names}
    n_samples, n_pos = inputs.shape
    for start in range(0, n_samples, CHUNK):
        some = slice(start, min(start + CHUNK, n_samples))
        given = inputs.of(some)
        _, cache = model.run_with_cache(
            given.tokens,
            names_filter=names,
            return_type="logits" if any(name.startswith("unembed.") for name in names) else None,
            return_cache_object=False,
            **given.others,
        )
        for name in names:
            part = Selection(name, site.index, n_pos).get(cache[name], some).flatten(2)
            if site.direction is not None:
                part = part @ orthonormal(site.direction, part.shape[-1]).to(part)
            kept[name].append(part.cpu())
    return {name: torch.cat(parts) for name, parts in kept.items()}


def positions_of(site: Site, inputs: Inputs) -> Tensor:
    """Which positions `activations` gathers, `[sample, k]`."""
    n_samples, n_pos = inputs.shape
    choice = Selection("blocks.0.hook_resid_pre", {"pos": site.pos}, n_pos).choice("pos", n_pos)
    where = torch.arange(n_pos)[choice] if isinstance(choice, slice) else choice
    return where.expand(n_samples, -1) if where.ndim == 1 else where
