"""The loop that a sweep must equal: one full run a patch, each entry found by its own coordinates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from unweave.model.transformer import HookedTransformer

HEADED = ("hook_q", "hook_k", "hook_v", "hook_z", "hook_result", "hook_rot_q", "hook_rot_k")
HEADED += ("hook_attn_in", "hook_q_input", "hook_k_input", "hook_v_input")


def dims(name: str) -> list[str]:
    last = name.split(".")[-1]
    if last in ("hook_pattern", "hook_attn_scores"):
        return ["sample", "head", "pos", "key"]
    if last in HEADED or ".q_norm." in name or ".k_norm." in name:
        return ["sample", "pos", "head", "neuron"]
    return ["sample", "pos", "neuron"]


def mask(name: str, shape: torch.Size, picked: Mapping[str, Any]) -> Tensor:
    """True at the entries whose coordinates are picked: a set for each dimension, or a list of a set a sample."""
    chosen = torch.ones(shape, dtype=torch.bool)
    for dim, allowed in picked.items():
        at = dims(name).index(dim)
        for index in range(shape[at]):
            place = [slice(None)] * len(shape)
            place[at] = index
            for sample in range(shape[0]):
                place[0] = sample
                here = allowed[sample] if isinstance(allowed, list) else allowed
                if index not in here:
                    chosen[tuple(place)] = False
    return chosen


def replacing(picked: Mapping[str, Any], new: Callable[[Tensor, str], Tensor]) -> Callable[..., Tensor]:
    """A hook that puts `new(tensor, name)` at the picked entries."""

    def hook_function(tensor: Tensor, *, hook: Any) -> Tensor:
        chosen = mask(hook.name, tensor.shape, picked)
        return torch.where(chosen, new(tensor, hook.name), tensor)

    return hook_function


def logits_with(
    model: HookedTransformer, given: Mapping[str, Any], hooks: list[tuple[str, Callable[..., Tensor]]]
) -> Tensor:
    """Logits of one full run."""
    with torch.no_grad():
        return model.run_with_hooks(given["input"], fwd_hooks=hooks, **others(given))


def cached(model: HookedTransformer, given: Mapping[str, Any], names: list[str]) -> dict[str, Tensor]:
    with torch.no_grad():
        return model.run_with_cache(
            given["input"], names_filter=names, return_cache_object=False, **others(given)
        )[1]


def others(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in given.items() if name != "input"}


def logit_difference(logits: Tensor, right: Tensor, wrong: Tensor, where: Tensor) -> Tensor:
    return torch.stack(
        [logits[s, where[s], right[s]] - logits[s, where[s], wrong[s]] for s in range(len(logits))]
    )


def losses(logits: Tensor, tokens: Tensor, attended: Tensor) -> Tensor:
    """Each sample's mean loss of the next token, padding left out."""
    rows = []
    for sample in range(len(tokens)):
        found = [
            -logits[sample, pos].log_softmax(-1)[tokens[sample, pos + 1]]
            for pos in range(tokens.shape[1] - 1)
            if attended[sample, pos] and attended[sample, pos + 1]
        ]
        rows.append(torch.stack(found).mean())
    return torch.stack(rows)
