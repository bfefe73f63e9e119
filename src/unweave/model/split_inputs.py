"""The inputs of attention, one for each head and route, for those who name them."""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.errors import HookError
from unweave.core.hooks import HookPoint
from unweave.model.config import HookedTransformerConfig
from unweave.model.norm import NoNorm, Norm

Residual = Float[Tensor, "batch pos d_model"]
Split = Float[Tensor, "batch pos head d_model"]
Routed = Float[Tensor, "batch pos group d_model"]


class SplitInputs:
    """The points `hook_attn_in`, `hook_q_input`, `hook_k_input` and `hook_v_input` of a block.

    Each is the residual stream once a head, `[batch, pos, head, d_model]`, before the block's
    first norm; for keys and values in groups, once a group. `hook_attn_in` feeds all three
    routes. The norm's own hooks see what they always see; if they edit, they are also run on
    every head's input in turn.
    """

    def __init__(self, cfg: HookedTransformerConfig, *points: HookPoint) -> None:
        self.cfg, self.points = cfg, points
        self.attn_in, self.routes = points[0], points[1:]

    @property
    def active(self) -> bool:
        """Whether anyone reads or edits one of them."""
        return any(point.active for point in self.points)

    def __call__(self, resid: Residual, norm: Norm | NoNorm) -> list[Residual | Split]:
        """What queries, keys and values read, normed."""
        edited = any(hook.edits for point in _points(norm) for hook in point.fwd_hooks)
        shared = self.attn_in(_once_a_head(resid, self.cfg.n_heads)) if self.attn_in.active else None
        inputs = [self._input(resid, shared, route) for route in range(3)]
        # The norm of the stream itself comes last, so that it is what a cache keeps.
        normed = [None if x is None or not edited else _each_head(norm, x) for x in inputs]
        whole = norm(resid)
        for route, x in enumerate(inputs):
            if x is not None and normed[route] is None:
                normed[route] = _beside(norm, x, resid, whole)
        return [whole if x is None else x for x in normed]

    def _input(self, resid: Residual, shared: Split | None, route: int) -> Routed | None:
        """One route's input, or None if it is the residual stream for every head."""
        point = self.routes[route]
        if shared is None and not point.active:
            return None
        heads = self._heads(route)
        x = _once_a_head(resid, heads) if shared is None else self._of_groups(shared, heads)
        return point(x) if point.active else x

    def _heads(self, route: int) -> int:
        grouped = self.cfg.n_key_value_heads is not None and not self.cfg.ungroup_grouped_query_attention
        return cast(int, self.cfg.n_key_value_heads) if route > 0 and grouped else self.cfg.n_heads

    def _of_groups(self, x: Split, groups: int) -> Routed:
        """Each group's input, from its heads', which must not differ."""
        if groups == x.shape[2]:
            # A tensor of its own: gradients are those of one route.
            return x.clone()
        grouped = x.unflatten(2, (groups, -1))
        if not torch.equal(grouped, grouped[:, :, :, :1].expand_as(grouped)):
            raise HookError(
                wanted=f"the same {self.attn_in.name} for heads that share keys and values",
                got="an edit that differs between them",
                remedy="edit hook_q_input, hook_k_input or hook_v_input, "
                "or set ungroup_grouped_query_attention",
            )
        return grouped.mean(3)


def _each_head(norm: Norm | NoNorm, x: Split) -> Split:
    return torch.stack([norm(head) for head in x.unbind(2)], 2)


def _beside(norm: Norm | NoNorm, x: Split, resid: Residual, whole: Residual) -> Split:
    """The norm of `x`, of which `whole`, the norm of `resid`, is a part.

    A gradient with respect to what the norm's hooks saw is then that of every head together.
    """
    normed = norm.quiet(x.flatten(1, 2)).unflatten(1, x.shape[1:3])
    if not any(point.active for point in _points(norm)):
        return normed
    return whole[:, :, None] + (normed - norm.quiet(resid)[:, :, None])


def _once_a_head(resid: Residual, heads: int) -> Split:
    # A copy, since a cache must not hold the stream itself under another name.
    return resid[:, :, None].repeat(1, 1, heads, 1)


def _points(norm: Norm | NoNorm) -> list[HookPoint]:
    return [module for module in norm.modules() if isinstance(module, HookPoint)]
