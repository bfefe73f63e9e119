"""What a layer's attention moves from a fixed offset, and four ways of taking it out."""

from __future__ import annotations

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.hooks import HookFunction, HookPoint
from unweave.core.sites import attn_site
from unweave.model.attention import Attention
from unweave.model.cache import ActivationCache
from unweave.model.transformer import HookedTransformer

Removal = Literal["zero", "mean", "resample", "renormalise"]
REMOVALS: tuple[Removal, ...] = ("zero", "mean", "resample", "renormalise")


def attention_by_offset(pattern: Float[Tensor, "*batch query key"], most: int) -> Float[Tensor, "*batch offset"]:
    """Mean attention to the key `d` positions back, `d = 0 .. most`, over the queries that have BOS further back."""
    return torch.stack(
        [pattern.diagonal(-d, -2, -1)[..., 1:].mean(-1) for d in range(most + 1)], dim=-1
    )


def offset_write(
    model: HookedTransformer, cache: ActivationCache, layer: int, offset: int
) -> Float[Tensor, "batch pos d_model"]:
    """What attention from each query to the key `offset` back adds to the residual stream, all heads.

    Zero where there is no such key; the output bias is not included.
    """
    attention = model.blocks[layer].attn
    assert isinstance(attention, Attention)
    z = _moved(cache["pattern", layer], cache["v", layer], offset)
    return torch.einsum("bphe,hed->bpd", z, attention.W_O)


def remove_offset(
    layer: int, offset: int, how: Removal, mean_v: Float[Tensor, "pos head d_head"] | None = None
) -> list[tuple[str, HookFunction]]:
    """Hooks that take attention at one offset out of a layer, for every query and head.

    Args:
        how: "zero" drops the write; "mean" keeps its per-position mean over `mean_v`'s sequences;
            "resample" takes the value of the batch's next sequence; "renormalise" masks the key, so
            that the attention goes to the others.
        mean_v: `[pos, head, d_head]`, for "mean".
    """
    if how == "renormalise":
        return [(attn_site(layer, "attn_scores"), _masked(offset))]
    if how == "mean" and mean_v is None:
        raise InputError(
            wanted="mean_v for how='mean'", got="none", remedy="pass the per-position mean of hook_v"
        )
    seen: dict[str, Tensor] = {}

    def remember(tensor: Tensor, /, *, hook: HookPoint) -> None:
        seen[hook.name] = tensor

    def take_out(z: Tensor, /, *, hook: HookPoint) -> Tensor:
        pattern, v = seen[attn_site(layer, "pattern")], seen[attn_site(layer, "v")]
        if how == "zero":
            stand_in = torch.zeros_like(v)
        elif how == "resample":
            stand_in = v.roll(1, 0)
        else:
            assert mean_v is not None
            stand_in = mean_v.expand_as(v)
        return z + _moved(pattern, stand_in - v, offset)

    sites = [attn_site(layer, site) for site in ("v", "pattern")]
    return [*((site, remember) for site in sites), (attn_site(layer, "z"), take_out)]


def _moved(
    pattern: Float[Tensor, "batch head query key"], v: Float[Tensor, "batch pos head d_head"], offset: int
) -> Float[Tensor, "batch pos head d_head"]:
    """Attention-weighted values from the key `offset` back, alone."""
    weight = pattern.diagonal(-offset, -2, -1).transpose(1, 2)[..., None]
    moved = torch.zeros_like(v)
    moved[:, offset:] = weight * v[:, : v.shape[1] - offset]
    return moved


def _masked(offset: int) -> HookFunction:
    def mask(scores: Tensor, /, *, hook: HookPoint) -> Tensor:
        scores = scores.clone()
        # The first query that would be left with no key at all keeps the one it has.
        scores.diagonal(-offset, -2, -1)[..., (1 if offset == 0 else 0) :] = -math.inf
        return scores

    return mask
