"""Runs in the peer's environment: a config, weights and tokens in; logits and every hook, or calls' results, out.

Imports nothing of Unweave.
"""

from __future__ import annotations

import copy
import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformer_lens import ActivationCache, FactoredMatrix, HookedTransformer, HookedTransformerConfig
from transformer_lens import patching as tl_patching
from transformer_lens.hook_points import HookedRootModule, HookPoint

from bench.parity.calls import CALLS, Given, answers, on_model
from bench.parity.factored_calls import factored_calls
from bench.parity.patched import measured, other_tokens
from bench.peers.channel import serve

# What it keeps in its state dict beside weights.
BUFFERS = {"mask", "IGNORE", "rotary_sin", "rotary_cos"}


class WeightsDiffer(ValueError):
    """The two libraries' weights of one config do not match by name: ours is wrong, or the table above."""


def answer(question: str = "hooks", **given: Any) -> dict[str, Any]:
    return QUESTIONS[question](**given)


def hooks(config: dict[str, Any], inputs: str | None, outputs: str) -> dict[str, Any]:
    """Run one config on the tensors in the file `inputs`; write logits and hooks to `outputs`.

    Without inputs, write the weights that a model of this config begins with.
    """
    if inputs is None:
        model = HookedTransformer(HookedTransformerConfig(**translated(config))).eval()
        save_file(weights_used(model, config), outputs)
        return {}
    model, tokens, arguments = opened(config, inputs)
    with torch.no_grad():
        logits = model(tokens, **arguments)
        fired = every_hook(model, tokens, arguments)
    save_file({"logits": logits, **{f"hook {name}": value for name, value in fired.items()}}, outputs)
    return {"fired": sorted(fired), "silent": sorted(set(model.hook_dict) - set(fired))}


def calls(
    config: dict[str, Any],
    inputs: str,
    outputs: str,
    names: list[str],
    processings: dict[str, dict[str, bool]],
    then: str,
    after: list[str],
) -> dict[str, Any]:
    """Make the calls `names` on one config; write what they give to `outputs`, and say which raised.

    Then the weights after each of the `processings`, and the calls `after` on the model that `then` gives.
    """
    model, tokens, arguments = opened(config, inputs)
    found, raised = answers(on_model(Given(model, tokens, arguments), {name: CALLS[name] for name in names}))
    for name, flags in processings.items():
        processed = copy.deepcopy(model)
        try:
            processed.load_and_process_state_dict(processed.state_dict(), **flags)
        except Exception as error:
            raised[f"processed, {name}"] = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            continue
        found |= {f"processed, {name} | {key}": v for key, v in named_as_ours(processed).items()}
        if name == then:
            given = Given(processed, tokens, arguments)
            more, also = answers(on_model(given, {name: CALLS[name] for name in after}))
            found |= {f"processed: {key}": v for key, v in more.items()}
            raised |= {f"processed: {key}": words for key, words in also.items()}
    save_file(found, outputs)
    return {"raised": raised}


def patching(config: dict[str, Any], inputs: str, outputs: str, names: list[str]) -> dict[str, Any]:
    """What these functions of its `patching` give, from the tokens in the file to other ones."""
    model, tokens, _ = opened(config, inputs)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
        given = (model, other_tokens(tokens, config["d_vocab"]), cache, measured)
        found = {name: getattr(tl_patching, name)(*given).contiguous() for name in names}
    save_file(found, outputs)
    return {}


def factored(outputs: str) -> dict[str, Any]:
    """What the calls on factored matrices give."""
    found, raised = answers(factored_calls(FactoredMatrix))
    save_file(found, outputs)
    return {"raised": raised}


def spreads(config: dict[str, Any], seeds: int) -> dict[str, Any]:
    """Mean square and largest value of each weight, over models that begin with so many seeds."""
    squares: dict[str, list[float]] = {}
    largest: dict[str, float] = {}
    for seed in range(seeds):
        model = HookedTransformer(HookedTransformerConfig(**translated({**config, "seed": seed})))
        for name, weight in named_as_ours(model).items():
            squares.setdefault(name, []).append(weight.double().pow(2).mean().item())
            largest[name] = max(largest.get(name, 0.0), weight.abs().max().item())
    return {name: [sum(found) / seeds, largest[name]] for name, found in squares.items()}


def signatures() -> dict[str, Any]:
    """Public names of the classes that we have too: arguments of what can be called, null for the rest."""
    # What Python adds to every dataclass is left out.
    classes = (HookedTransformer, ActivationCache, HookPoint, HookedRootModule, FactoredMatrix)
    return {
        HookedTransformerConfig.__name__: {
            "(fields)": list(inspect.signature(HookedTransformerConfig).parameters),
            **{n: v for n, v in members(HookedTransformerConfig).items() if v is not None},
        },
        **{each.__name__: members(each) for each in classes},
    }


def members(cls: type) -> dict[str, list[str] | None]:
    found: dict[str, list[str] | None] = {}
    for name in sorted(dir(cls)):
        own = inspect.getattr_static(cls, name)
        inherited = any(own is inspect.getattr_static(base, name, None) for base in (torch.nn.Module, object))
        if inherited or (name.startswith("_") and name not in ("__init__", "__getitem__", "__matmul__")):
            continue
        function = own.__func__ if isinstance(own, staticmethod | classmethod) else own
        found[name] = None if not callable(function) else arguments_of(function)
    return found


def arguments_of(function: Callable[..., Any]) -> list[str]:
    kinds = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    parameters = inspect.signature(function).parameters.values()
    return [kinds.get(p.kind, "") + p.name for p in parameters if p.name not in ("self", "cls")]


def opened(config: dict[str, Any], inputs: str) -> tuple[HookedTransformer, Tensor, dict[str, Tensor]]:
    """A model of the config with the weights in the file, the tokens, and other arguments of its forward."""
    model = HookedTransformer(HookedTransformerConfig(**translated(config))).eval()
    given = load_file(inputs)
    tokens, mask = given.pop("tokens"), given.pop("attention_mask", None)
    load_weights(model, given, config)
    return model, tokens, {} if mask is None else {"attention_mask": mask}


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


def named_as_ours(model: HookedTransformer) -> dict[str, Tensor]:
    """Its weights under the names and in the shapes that `placed` takes."""
    return {
        name.removesuffix(".weight"): value.t().contiguous() if name.endswith(".weight") else value
        for name, value in weights_of(model).items()
    }


def weights_of(model: HookedTransformer) -> dict[str, Tensor]:
    """Its state dict without what is no weight."""
    return {name: v for name, v in model.state_dict().items() if name.rpartition(".")[2] not in BUFFERS}


def weights_used(model: HookedTransformer, config: dict[str, Any]) -> dict[str, Tensor]:
    """Its weights without a positional table that this config does not use."""
    used = config["positional_embedding_type"] in ("standard", "shortformer")
    return {name: v for name, v in named_as_ours(model).items() if used or name != "pos_embed.W_pos"}


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


QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {
    "hooks": hooks,
    "calls": calls,
    "patching": patching,
    "factored": factored,
    "spreads": spreads,
    "signatures": signatures,
}

if __name__ == "__main__":
    serve(answer)
