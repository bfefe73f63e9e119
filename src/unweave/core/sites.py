"""The names of hookable places, defined once.

The names are the field's own, as in TransformerLens: `blocks.0.attn.hook_q`. A *site* is the
part that a user writes, such as `"q"` in `cache["q", 0]`.
"""

from __future__ import annotations

import re

from unweave.core.errors import InputError, nearest

ATTN = ("q", "k", "v", "attn_scores", "pattern", "z", "result")
ROTARY = ("rot_q", "rot_k")
MLP = ("pre", "post")
GATED = ("pre_linear",)
EXPERTS = ("expert_weights", "expert_indices")
NORM = ("scale", "normalized")
BLOCK = ("resid_pre", "attn_out", "resid_mid", "mlp_out", "resid_post", "normalized_resid_post")
SPLIT = ("attn_in", "q_input", "k_input", "v_input")
MLP_IN = ("mlp_in",)
TOP = ("embed", "pos_embed", "token_type_embed")
UNEMBED = ("in", "out")
# Of a dictionary that is spliced in at a site: `{site}.hook_sae_acts_post`, as in SAELens.
SAE = ("sae_acts_post", "sae_recons", "sae_error", "sae_output")
BLOCK_NORMS = ("ln1", "ln2", "ln1_post", "ln2_post")

# Computed only when someone names them: they cost much more than the run itself, or repeat it.
ON_DEMAND = ("result", *SPLIT, *MLP_IN)

_SHORT = {
    "attn": "pattern",
    "attn_logits": "attn_scores",
    "key": "k",
    "query": "q",
    "value": "v",
    "mlp_pre": "pre",
    "mlp_post": "post",
}

# What is kept for each head and position: `[batch, pos, head, ...]`. TransformerLens slices the
# heads of the last three kinds where it means positions.
_PER_HEAD = tuple(
    f"hook_{site}"
    for site in ("q", "k", "v", "z", "result", "rot_q", "rot_k", "q_input", "k_input", "v_input", "attn_in")
)

_PARTS = {"a": "attn", "attention": "attn", "m": "mlp", "b": "", "block": "", "blocks": ""}


def block_site(layer: int, site: str) -> str:
    """`block_site(0, "resid_pre")` is `"blocks.0.hook_resid_pre"`."""
    return f"blocks.{layer}.hook_{site}"


def attn_site(layer: int, site: str) -> str:
    """`attn_site(0, "q")` is `"blocks.0.attn.hook_q"`."""
    return f"blocks.{layer}.attn.hook_{site}"


def mlp_site(layer: int, site: str) -> str:
    """`mlp_site(0, "post")` is `"blocks.0.mlp.hook_post"`."""
    return f"blocks.{layer}.mlp.hook_{site}"


def expert_site(layer: int, expert: int, site: str) -> str:
    """`expert_site(0, 3, "post")` is `"blocks.0.mlp.experts.3.hook_post"`."""
    return f"blocks.{layer}.mlp.experts.{expert}.hook_{site}"


def expert_of(name: str) -> tuple[str, int] | None:
    """The site that says which tokens an expert's hook sees, and its number; None for other hooks."""
    match = re.fullmatch(r"(.+)\.experts\.(\d+)\.hook_[a-z_]+", name)
    return None if match is None else (f"{match[1]}.hook_expert_indices", int(match[2]))


def is_on_demand(name: str) -> bool:
    """Whether the hook of this name is computed only when it is named, unless a switch says otherwise."""
    return name.rpartition("hook_")[2].removesuffix("_grad") in ON_DEMAND


def norm_site(norm: str, site: str, layer: int | None = None) -> str:
    """`norm_site("ln1", "scale", 0)` is `"blocks.0.ln1.hook_scale"`; `ln_final` has no layer."""
    return f"{norm}.hook_{site}" if layer is None else f"blocks.{layer}.{norm}.hook_{site}"


def sae_site(hook: str, site: str) -> str:
    """`sae_site("blocks.0.hook_resid_pre", "sae_error")` is `"blocks.0.hook_resid_pre.hook_sae_error"`."""
    return f"{hook}.hook_{site}"


def get_act_name(name: str, layer: int | None = None, layer_type: str | None = None) -> str:
    """The full hook name for a shorthand, as `transformer_lens.utils.get_act_name`.

    `("k", 6)` and `("k6",)` give `"blocks.6.attn.hook_k"`, `("scale", 4, "ln1")` and
    `("scale4ln1",)` give `"blocks.4.ln1.hook_scale"`, `("scale",)` that of the final norm, and a
    full name is returned as it is. Where TransformerLens ignores an argument (`("k", 6, "mlp")`)
    or spells a name that no model has (`("scale", 4)`, `("embed", 0)`), this refuses.

    Raises:
        InputError: for a site that is not known, or a layer or layer type that does not fit it.
    """
    if "." in name or name.startswith("hook_"):
        return _without(name, name, layer, layer_type)
    packed = re.fullmatch(r"([a-z_]+?)(\d+)([a-z]\w*)?", name)
    if packed and layer is None and layer_type is None:
        name, layer, layer_type = packed[1], int(packed[2]), packed[3]
    site = _SHORT.get(name, name)
    part = None if layer_type is None else _PARTS.get(layer_type, layer_type)
    if site in TOP:
        return _without(name, f"hook_{site}", layer, layer_type)
    if site in NORM:
        if layer is None:
            return _without(name, norm_site("ln_final", site), None, layer_type)
        return norm_site(_fitting(name, part, BLOCK_NORMS), site, layer)
    rooms = (
        ((*ATTN, *ROTARY), "attn", attn_site),
        ((*MLP, *GATED, "mid", *EXPERTS), "mlp", mlp_site),
        ((*BLOCK, *SPLIT, *MLP_IN), "", block_site),
    )
    for sites, own, full_name in rooms:
        if site in sites:
            _fitting(name, own if part is None else part, (own,))
            return full_name(_required(layer, name), site)
    known = (*(site for sites, _, _ in rooms for site in sites), *NORM, *TOP, *_SHORT)
    raise InputError(wanted="the name of a site", got=f"{name!r}", remedy=f"nearest: {nearest(name, known)}")


def position_dim(name: str) -> int:
    """The dimension of positions at the hook of this name, from the end: of queries, in scores and patterns."""
    return -3 if name.endswith(_PER_HEAD) or ".q_norm." in name or ".k_norm." in name else -2


def _required(layer: int | None, name: str) -> int:
    if layer is None:
        raise InputError(wanted=f"a layer for the site {name!r}", got="none", remedy=f'write ("{name}", 0)')
    return layer


def _fitting(name: str, part: str | None, fitting: tuple[str, ...]) -> str:
    if part not in fitting:
        choices = " or ".join(repr(choice) for choice in fitting if choice) or "no layer type"
        raise InputError(
            wanted=f"{choices} for the site {name!r}",
            got="none" if part is None else repr(part),
            remedy=f'write ("{name}", 0' + (f', "{fitting[0]}")' if fitting[0] else ")"),
        )
    return part


def _without(name: str, full_name: str, layer: int | None, layer_type: str | None) -> str:
    if layer is not None or layer_type is not None:
        raise InputError(
            wanted=f"the name {name!r} alone, for {full_name}",
            got=f"layer {layer} and layer type {layer_type!r} with it",
            remedy="leave those out, or write a site that lies in a layer",
        )
    return full_name
