"""Models and configs that TransformerLens pickled whole, as `torch.save(model, path)` does.

A pickle names the classes of what it holds, which are ours while the door is open, and fills them with the
attributes that objects of those classes had there.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from unweave.compat.warned import warn
from unweave.model.config import HookedTransformerConfig as StrictConfig


def config_fields(state: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Of the attributes of a pickled config of TransformerLens those that are fields here.

    Args:
        kept: the fields of 3.9 that are known beside Unweave's.
    """
    known = {field.name for field in dataclasses.fields(StrictConfig)} | kept.keys()
    for name in state.keys() - known - {"n_params"}:
        warn(f"a pickled config has {name}={state[name]!r}, which nothing here reads")
    fields = {name: value for name, value in state.items() if name in known}
    if fields.get("attn_only"):
        fields = {name: value for name, value in fields.items() if name not in ("act_fn", "d_mlp")}
    return fields


def rebuild(model: nn.Module, state: Mapping[str, Any], init: Callable[..., None]) -> None:
    """Build anew, from its config, a model that holds what TransformerLens pickled, and give it those weights.

    They stay on the device that they were loaded to, and frozen where they were.

    Args:
        state: what was pickled.
        init: the model's own `__init__`, of a config and a tokenizer.
    """
    weights, needed = nn.Module.state_dict(model), dict[str, bool]()
    for name, weight in model.named_parameters():
        needed[name] = weight.requires_grad
    first = next(model.parameters())
    model.__dict__.clear()
    cfg, tokenizer = state["cfg"], state.get("tokenizer")
    cfg.device, cfg.dtype = str(first.device), first.dtype
    with torch.random.fork_rng(devices=[]):
        init(model, cfg, False if tokenizer is None else tokenizer)
    model.load_state_dict(weights)
    for name, weight in model.named_parameters():
        weight.requires_grad_(needed.get(name, True))
    model.train(state["training"])
