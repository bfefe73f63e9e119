"""The components of a model as places to intervene at, under the names that edges use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from unweave.core.results import Recheck, Result
from unweave.engine.site import Site
from unweave.model.decompositions import ADDED_POSITIONS
from unweave.model.transformer import HookedTransformer


def nodes(model: HookedTransformer) -> dict[str, Site]:
    """Every component that adds to the residual stream: "embed", "pos_embed", heads "a0.h1", MLPs "m0".

    A head's site is its `z`. What it writes is linear in that, so that zero, a mean and another
    sample's are the same there as in `hook_result`, for a fraction of the cost.
    """
    cfg, found = model.cfg, {"embed": Site("hook_embed")}
    if cfg.positional_embedding_type in ADDED_POSITIONS:
        found["pos_embed"] = Site("hook_pos_embed")
    if cfg.n_token_types:
        found["token_type_embed"] = Site("hook_token_type_embed")
    for layer in range(cfg.n_layers):
        found |= {f"a{layer}.h{head}": Site("z", layer, head=head) for head in range(cfg.n_heads)}
        if not cfg.attn_only:
            found[f"m{layer}"] = Site("mlp_out", layer)
    return found


def by_component(result: Result, **facts: Any) -> Result:
    """A sweep over a mapping of components, with its dimension called so."""

    def renamed(labels: Mapping[str, Any]) -> dict[str, Any]:
        return {"component" if dim == "patch" else dim: label for dim, label in labels.items()}

    return replace(
        result,
        dims=("component",),
        coords=renamed(result.coords),
        provenance={**result.provenance, **facts},
        rechecks=tuple(Recheck(renamed(c.labels), c.approximate, c.exact, c.why) for c in result.rechecks),
    )
