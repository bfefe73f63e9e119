"""Edits of the residual stream on one route into an attention layer, leaving the others alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

from jaxtyping import Float
from torch import Tensor

from unweave.analysis.norms import quiet_norm
from unweave.core.errors import InputError
from unweave.core.hooks import HookFunction, HookPoint
from unweave.core.sites import attn_site, block_site
from unweave.model.block import TransformerBlock
from unweave.model.transformer import HookedTransformer

Route = Literal["q", "k", "v"]
Edit = Callable[[Float[Tensor, "batch pos d_model"]], Float[Tensor, "batch pos d_model"]]


def on_route(
    model: HookedTransformer, layer: int, route: Route, edit: Edit
) -> list[tuple[str, HookFunction]]:
    """Hooks under which queries (or keys, or values) of `layer` are computed from an edited residual.

    The norm is recomputed on the edited input; the residual stream itself and the other routes
    keep the unedited one. Hooks for several routes go together. What is edited is the residual
    stream as the hooks before these left it.

    Args:
        edit: is given `[batch, pos, d_model]`, a copy of its own, and returns what to read instead.

    Raises:
        InputError: for a route other than q, k and v.
    """
    if route not in get_args(Route):
        raise InputError(wanted="a route into attention", got=repr(route), remedy="write 'q', 'k' or 'v'")
    block = model.blocks[layer]
    assert isinstance(block, TransformerBlock)
    seen: list[Tensor] = []

    def remember(tensor: Tensor, /, *, hook: HookPoint) -> None:
        # What a hook is handed is the residual stream from here on: an edit in place would leak into it.
        seen[:] = [tensor.clone()]

    def recompute(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
        return block.attn.project(quiet_norm(block.attention_norm, edit(seen.pop())), route.upper())

    return [(block_site(layer, "resid_pre"), remember), (attn_site(layer, route), recompute)]
