"""What a layer's attention moves from a fixed offset, and four ways of taking it out."""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.hooks import HookFunction, HookPoint
from unweave.core.sites import attn_site
from unweave.model.block import TransformerBlock
from unweave.model.cache import ActivationCache
from unweave.model.transformer import HookedTransformer

Removal = Literal["zero", "mean", "resample", "renormalise"]
REMOVALS: tuple[Removal, ...] = get_args(Removal)


def attention_by_offset(
    pattern: Float[Tensor, "*batch query key"], most: int
) -> Float[Tensor, "*batch offset"]:
    """Mean attention to the key `d` positions back, for `d = 0 .. most`.

    The mean is over the queries for which that key is not key 0 (BOS), so over fewer of them for a
    larger offset.

    Raises:
        InputError: if an offset reaches back to BOS from every query.
    """
    furthest = pattern.shape[-1] - 2
    if not 0 <= most <= furthest:
        raise InputError(wanted=f"most from 0 to {furthest}", got=str(most), remedy="ask for nearer offsets")
    diagonals = [pattern.diagonal(-d, -2, -1)[..., 1:] for d in range(most + 1)]
    return torch.stack([diagonal.mean(-1) for diagonal in diagonals], dim=-1)


def offset_write(
    model: HookedTransformer, cache: ActivationCache, layer: int, offset: int
) -> Float[Tensor, "batch pos d_model"]:
    """What attention from each query to the key `offset` back adds to the residual stream, all heads.

    Zero where there is no such key; the output bias is not included, so that the sum over all
    offsets is `hook_attn_out - b_O`.

    Raises:
        InputError: for an offset that no query has.
    """
    block = model.blocks[layer]
    assert isinstance(block, TransformerBlock)
    z = _moved(cache["pattern", layer], cache["v", layer], offset)
    return torch.einsum("bphe,hed->bpd", z, block.attn.W_O)


def remove_offset(
    layer: int, offset: int, how: Removal, mean_v: Float[Tensor, "pos head d_head"] | None = None
) -> list[tuple[str, HookFunction]]:
    """Hooks that take attention at one offset out of a layer, for every query and head.

    Args:
        how: "zero" drops what is moved from that key; "mean" and "resample" keep the attention to
            it and put another value there: the mean at that position, or the value in the sequence
            before in the batch; "renormalise" masks the key, so that the attention goes to the
            others (for offset 0, query 0 keeps its only key).
        mean_v: the per-position mean of `hook_v`, for "mean".

    Raises:
        InputError: for an unknown `how`, a negative offset, or "mean" without `mean_v`; in the run,
            for an offset that no query has, `mean_v` of another shape, and "resample" with a single
            sequence.
    """
    _require_offset(offset)
    if how not in REMOVALS:
        raise InputError(wanted=f"how to be one of {', '.join(REMOVALS)}", got=repr(how), remedy="pick one")
    if how == "mean" and mean_v is None:
        raise InputError(
            wanted="mean_v for how='mean'", got="none", remedy="pass the per-position mean of hook_v"
        )
    if how == "renormalise":
        return [(attn_site(layer, "attn_scores"), _masked(offset))]
    seen: dict[str, Tensor] = {}

    def remember(tensor: Tensor, /, *, hook: HookPoint) -> None:
        seen[hook.name] = tensor

    def take_out(z: Tensor, /, *, hook: HookPoint) -> Tensor:
        pattern, v = seen.pop(attn_site(layer, "pattern")), seen.pop(attn_site(layer, "v"))
        return z + _moved(pattern, _stand_in(how, v, mean_v) - v, offset)

    sites = [attn_site(layer, site) for site in ("v", "pattern")]
    return [*((site, remember) for site in sites), (attn_site(layer, "z"), take_out)]


def _stand_in(
    how: Removal, v: Float[Tensor, "batch pos head d_head"], mean_v: Tensor | None
) -> Float[Tensor, "batch pos head d_head"]:
    """What is moved in place of `v`."""
    if how == "zero":
        return torch.zeros_like(v)
    if how == "resample":
        if len(v) < 2:
            raise InputError(
                wanted="at least 2 sequences to resample from", got="1", remedy="pass a larger batch"
            )
        return v.roll(1, 0)
    assert mean_v is not None
    if mean_v.shape != v.shape[1:]:
        raise InputError(
            wanted=f"mean_v of shape {tuple(v.shape[1:])}",
            got=str(tuple(mean_v.shape)),
            remedy="pass the per-position mean of hook_v over sequences of the same length",
        )
    return mean_v.expand_as(v)


def _moved(
    pattern: Float[Tensor, "batch head query key"], v: Float[Tensor, "batch pos head d_head"], offset: int
) -> Float[Tensor, "batch pos head d_head"]:
    """Attention-weighted values from the key `offset` back, alone."""
    _require_offset(offset, v.shape[1])
    weight = pattern.diagonal(-offset, -2, -1).transpose(1, 2)[..., None]
    moved = torch.zeros_like(v)
    moved[:, offset:] = weight * v[:, : v.shape[1] - offset]
    return moved


def _masked(offset: int) -> HookFunction:
    def mask(scores: Tensor, /, *, hook: HookPoint) -> None:
        _require_offset(offset, scores.shape[-1])
        # Query 0 has no key but its own: masked, its row would have no attention to give.
        scores.diagonal(-offset, -2, -1)[..., (1 if offset == 0 else 0) :] = -math.inf

    return mask


def _require_offset(offset: int, n_pos: int | None = None) -> None:
    if offset < 0 or (n_pos is not None and offset >= n_pos):
        raise InputError(
            wanted="an offset (keys back from the query) that some query has",
            got=str(offset),
            remedy="count from 0, the query itself, to the length of the sequences less one",
        )
