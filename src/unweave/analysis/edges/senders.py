"""What each component adds to the residual stream, and what it would add instead."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.shape import Shape
from unweave.core.sites import attn_site, block_site
from unweave.engine.base import Foreign
from unweave.engine.edits import Binder, Edit
from unweave.engine.inputs import Inputs
from unweave.engine.operations import Interchange, Operation
from unweave.engine.site import Intervention, Site
from unweave.model.config import HookedTransformerConfig
from unweave.model.decompositions import ADDED_POSITIONS
from unweave.model.transformer import HookedTransformer

Sent = Float[Tensor, "sender sample pos d_model"]


def shape_of(model: HookedTransformer) -> Shape:
    """The shape of a model whose residual stream is the sum of what its components add.

    Raises:
        InputError: for norms after attention or an MLP, through which heads don't add up; for token
            types; for hooks that are on the model, or parts of it on several devices.
    """
    cfg = model.cfg
    if cfg.norm_position != "before" or cfg.use_normalization_before_and_after:
        _refuse("components that add to the residual stream", "norms after attention and MLPs")
    if cfg.n_token_types:
        _refuse("a residual stream of tokens and positions", "token types beside them")
    if model.placement is not None:
        _refuse("a model on one device", "one on several")
    if Foreign.of(model).first is not None:
        raise InputError(
            wanted="a model without hooks of your own, for edges",
            got="some on it",
            remedy="model.reset_hooks()",
        )
    added = cfg.positional_embedding_type in ADDED_POSITIONS
    return Shape(cfg.n_layers, cfg.n_heads, not cfg.attn_only, added, cfg.parallel_attn_mlp)


@contextmanager
def ungrouped(model: HookedTransformer) -> Generator[None]:
    """Within the block, heads that share keys and values read the stream each for itself, so that each has edges."""
    cfg, before = model.cfg, model.cfg.ungroup_grouped_query_attention
    try:
        if cfg.n_key_value_heads is not None:
            cfg.ungroup_grouped_query_attention = True
        yield
    finally:
        if cfg.n_key_value_heads is not None:
            cfg.ungroup_grouped_query_attention = before


def writing(shape: Shape) -> list[str]:
    """The hooks of what components add, in the order of a run."""
    names = ["hook_embed", *(["hook_pos_embed"] if shape.pos_embed else [])]
    for layer in range(shape.n_layers):
        names += [attn_site(layer, "result"), *([block_site(layer, "mlp_out")] if shape.mlp else [])]
    return names


def stacked(kept: Mapping[str, Tensor], shape: Shape, cfg: HookedTransformerConfig) -> Sent:
    """What was kept at those hooks, a row a component.

    A head's row is without the bias that attention adds once for all heads: that is nobody's.
    """
    return torch.cat([as_sent(kept[name], name, cfg) for name in writing(shape)])


def as_sent(tensor: Tensor, name: str, cfg: HookedTransformerConfig) -> Sent:
    """What one hook sees, as it is added to the stream: a row a head, or one row."""
    if not name.endswith("hook_result"):
        return tensor[None]
    return tensor.permute(2, 0, 1, 3) * cfg.residual_multiplier


def replacing(
    model: HookedTransformer, inputs: Inputs, operation: Operation, kept: Mapping[str, Tensor], shape: Shape
) -> Sent:
    """What components send where their edges are cut, from what they send in the run itself."""
    names = writing(shape)
    [patch] = Binder(model, inputs).bind([[Intervention(Site(name), operation) for name in names]])
    instead: dict[str, Tensor] = {}
    for edit in patch.edits:
        assert isinstance(edit, Edit)
        instead[edit.name] = edit.values(kept[edit.name], slice(None))[1]
    return stacked(instead, shape, model.cfg)


def as_operation(ablation: object) -> Operation:
    """An operation as it is; a run, as the interchange with it."""
    if isinstance(ablation, Operation):
        return ablation
    if isinstance(ablation, Inputs | Tensor | Mapping):
        return Interchange(ablation)
    raise InputError(
        wanted="the run that cut edges carry values from, or an operation, as Zero() or Mean(tokens)",
        got=type(ablation).__name__,
        remedy="pass the corrupted tokens",
    )


def _refuse(wanted: str, got: str) -> None:
    raise InputError(wanted=f"{wanted}, for edges", got=got, remedy="ask about components with sweep")
