"""The names of hookable places, defined once.

The names are the field's own, as in TransformerLens: `blocks.0.attn.hook_q`. A *site* is the
part that a user writes, such as `"q"` in `cache["q", 0]`.
"""

from __future__ import annotations

from unweave.core.errors import InputError, nearest

ATTN = ("q", "k", "v", "attn_scores", "pattern", "z", "result")
MLP = ("pre", "post")
NORM = ("scale", "normalized")
BLOCK = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post")
TOP = ("embed", "pos_embed")

# Computed only when someone names them: they cost much more than the run itself.
ON_DEMAND = ("result",)

_SHORT = {
    "attn": "pattern",
    "attn_logits": "attn_scores",
    "key": "k",
    "query": "q",
    "value": "v",
    "mlp_pre": "pre",
    "mlp_post": "post",
}


def block_site(layer: int, site: str) -> str:
    """`block_site(0, "resid_pre")` is `"blocks.0.hook_resid_pre"`."""
    return f"blocks.{layer}.hook_{site}"


def attn_site(layer: int, site: str) -> str:
    """`attn_site(0, "q")` is `"blocks.0.attn.hook_q"`."""
    return f"blocks.{layer}.attn.hook_{site}"


def mlp_site(layer: int, site: str) -> str:
    """`mlp_site(0, "post")` is `"blocks.0.mlp.hook_post"`."""
    return f"blocks.{layer}.mlp.hook_{site}"


def norm_site(norm: str, site: str, layer: int | None = None) -> str:
    """`norm_site("ln1", "scale", 0)` is `"blocks.0.ln1.hook_scale"`; `ln_final` has no layer."""
    return f"{norm}.hook_{site}" if layer is None else f"blocks.{layer}.{norm}.hook_{site}"


def get_act_name(name: str, layer: int | None = None, layer_type: str | None = None) -> str:
    """The full hook name for a shorthand, as `TransformerLens.utils.get_act_name`.

    `("k", 6)` gives `"blocks.6.attn.hook_k"`, `("scale", 4, "ln1")` gives
    `"blocks.4.ln1.hook_scale"`, `("scale",)` that of the final norm, and a full name is
    returned as it is.

    Raises:
        InputError: for a site that is not known, or a layer that is missing.
    """
    if "." in name or name.startswith("hook_"):
        return name
    site = _SHORT.get(name, name)
    if site in TOP:
        return f"hook_{site}"
    if site in NORM:
        if layer is None:
            return norm_site("ln_final", site)
        return norm_site(layer_type or "ln1", site, layer)
    for sites, full_name in ((ATTN, attn_site), (MLP, mlp_site), (BLOCK, block_site)):
        if site in sites:
            return full_name(_required(layer, name), site)
    known = (*ATTN, *MLP, *NORM, *BLOCK, *TOP)
    raise InputError(
        wanted="the name of a site", got=f"{name!r}", remedy=f"nearest: {nearest(name, known)}"
    )


def _required(layer: int | None, name: str) -> int:
    if layer is None:
        raise InputError(
            wanted=f"a layer for the site {name!r}", got="none", remedy=f'write ("{name}", 0)'
        )
    return layer
