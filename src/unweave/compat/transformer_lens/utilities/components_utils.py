"""The names of hooks."""

from __future__ import annotations

import re
from typing import Any

from unweave.compat.warned import warn
from unweave.core.errors import InputError
from unweave.core.sites import ATTN, MLP, NORM, ROTARY
from unweave.core.sites import get_act_name as known_act_name

_PARTS = {"a": "attn", "attention": "attn", "m": "mlp", "b": "", "block": "", "blocks": ""}
_SHORT = {
    "attn": "pattern",
    "attn_logits": "attn_scores",
    "key": "k",
    "query": "q",
    "value": "v",
    "mlp_pre": "pre",
    "mlp_mid": "mid",
    "mlp_post": "post",
}
_OWN: dict[str, str] = {
    **dict.fromkeys((*ATTN, *ROTARY), "attn"),
    **dict.fromkeys((*MLP, "mid", "pre_linear"), "mlp"),
}


def get_act_name(name: str, layer: int | str | None = None, layer_type: str | None = None) -> str:
    """The full hook name for a shorthand: see `unweave.core.sites.get_act_name`.

    A shorthand that this refuses is spelled out by 3.9's rules, with a warning: no model of ours
    may have a hook of that name.
    """
    try:
        return known_act_name(name, None if layer is None else int(layer), layer_type)
    except InputError as error:
        # Models of the caller's own have hooks of their own: those are nothing to warn of.
        spelled = _spelled_out(name, layer, layer_type)
        warn(f"get_act_name: {error}; spelled out as TransformerLens does: {spelled!r}")
        return spelled


def _spelled_out(name: str, layer: Any, layer_type: str | None) -> str:
    if ("." in name or name.startswith("hook_")) and layer is None and layer_type is None:
        return name
    packed = re.match(r"([a-z]+)(\d+)([a-z]?.*)", name)
    if packed is not None:
        name, layer, layer_type = packed.groups()
    name = _SHORT.get(name, name)
    part = _OWN.get(name) or _PARTS.get(layer_type or "", layer_type or "")
    if layer is None and name in NORM:
        part = f"ln_final.{part}" if part else "ln_final"
    places = [f"blocks.{layer}"] if layer is not None else []
    return ".".join([*places, *([part] if part else []), f"hook_{name}"])
