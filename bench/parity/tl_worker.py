"""Runs in the peer's environment: a config, weights and tokens in; logits and every hook out.

Imports nothing of Unweave.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformer_lens import HookedTransformer, HookedTransformerConfig

from bench.peers.channel import serve

# What it keeps in its state dict beside weights.
BUFFERS = {"mask", "IGNORE", "rotary_sin", "rotary_cos"}


class WeightsDiffer(ValueError):
    """The two libraries' weights of one config do not match by name: ours is wrong, or the table above."""


def answer(config: dict[str, Any], inputs: str | None, outputs: str) -> dict[str, Any]:
    """Run one config on the tensors in the file `inputs`; write logits and hooks to `outputs`.

    Without inputs, write the weights that a model of this config begins with.
    """
    model = HookedTransformer(HookedTransformerConfig(**translated(config))).eval()
    if inputs is None:
        save_file(weights_used(model, config), outputs)
        return {}
    given = load_file(inputs)
    tokens, mask = given.pop("tokens"), given.pop("attention_mask", None)
    load_weights(model, given, config)
    arguments = {} if mask is None else {"attention_mask": mask}
    with torch.no_grad():
        logits = model(tokens, **arguments)
        hooks = every_hook(model, tokens, arguments)
    save_file({"logits": logits, **{f"hook {name}": value for name, value in hooks.items()}}, outputs)
    return {"fired": sorted(hooks), "silent": sorted(set(model.hook_dict) - set(hooks))}


def translated(config: dict[str, Any]) -> dict[str, Any]:
    """The config as this library takes it."""
    config = {**config, "dtype": getattr(torch, config.get("dtype", "float32")), "device": "cpu"}
    # It has neither of these: the one is a learned table of zeros here, the other one of sines.
    if config["positional_embedding_type"] in ("none", "sinusoidal"):
        config["positional_embedding_type"] = "standard"
    return config


def load_weights(model: HookedTransformer, given: dict[str, Tensor], config: dict[str, Any]) -> None:
    """Put the weights in their places; refuse what is left over on either side."""
    wanted = weights_of(model)
    table = wanted.get("pos_embed.W_pos")
    if table is not None and "pos_embed.W_pos" not in given:
        kind = config["positional_embedding_type"]
        filled = sinusoids(*table.shape) if kind == "sinusoidal" else torch.zeros(table.shape)
        given = {**given, "pos_embed.W_pos": filled.to(table.dtype)}
    given = {name: v for have, value in given.items() for name, v in [placed(have, value, wanted)]}
    if given.keys() != wanted.keys():
        missing, extra = sorted(wanted.keys() - given.keys()), sorted(given.keys() - wanted.keys())
        raise WeightsDiffer(
            f"weights do not match by name: not given {missing[:4]}, unknown here {extra[:4]}"
        )
    model.load_state_dict(given, strict=False)


def placed(name: str, value: Tensor, wanted: dict[str, Tensor]) -> tuple[str, Tensor]:
    """A weight under the name that it has here: experts are torch's Linears, [out, in] for our [in, out]."""
    linear = f"{name}.weight"
    return (linear, value.t().contiguous()) if name not in wanted and linear in wanted else (name, value)


def weights_of(model: HookedTransformer) -> dict[str, Tensor]:
    """Its state dict without what is no weight."""
    return {name: v for name, v in model.state_dict().items() if name.rpartition(".")[2] not in BUFFERS}


def weights_used(model: HookedTransformer, config: dict[str, Any]) -> dict[str, Tensor]:
    """Its weights without a positional table that this config does not use."""
    used = config["positional_embedding_type"] in ("standard", "shortformer")
    return {name: v for name, v in weights_of(model).items() if used or name != "pos_embed.W_pos"}


def sinusoids(n_ctx: int, d_model: int) -> Tensor:
    """Sine in even dimensions, cosine in odd ones (Vaswani et al., 2017), entry by entry."""
    rows = [
        [
            (math.cos if d % 2 else math.sin)(position / 10_000 ** ((d - d % 2) / d_model))
            for d in range(d_model)
        ]
        for position in range(n_ctx)
    ]
    return torch.tensor(rows, dtype=torch.float64)


def every_hook(model: HookedTransformer, tokens: Tensor, arguments: dict[str, Tensor]) -> dict[str, Tensor]:
    """Every hook that fires, each from the first of these runs that reaches it.

    The plain run comes first, since split inputs give its norms a head dimension.
    """
    found: dict[str, Tensor] = {}
    for switch in (None, *switches(model)):
        if switch is not None:
            setattr(model.cfg, switch, True)
        _, cache = model.run_with_cache(tokens, **arguments)
        found = {**cache.cache_dict, **found}
        if switch is not None:
            setattr(model.cfg, switch, False)
    return {name: value.clone().contiguous() for name, value in found.items()}


def switches(model: HookedTransformer) -> list[str]:
    names = ["use_attn_result", "use_split_qkv_input"]
    if not model.cfg.attn_only:
        names.append("use_hook_mlp_in")
    # Its setter refuses this one under grouped-query attention.
    if model.cfg.n_key_value_heads is None:
        names.append("use_attn_in")
    return names


if __name__ == "__main__":
    serve(answer)
