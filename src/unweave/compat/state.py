"""Weights as TransformerLens names and saves them."""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig

# What it keeps in a state dict beside weights: the causal mask, what stands at masked scores, rotary and ALiBi tables.
BUFFERS = ("mask", "IGNORE", "rotary_sin", "rotary_cos", "alibi")


def as_ours(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """A state dict of a HookedTransformer of TransformerLens, under the names of this model of ours.

    Buffers go; experts, which are torch's Linears there, are transposed; what a config keeps fixed here
    (biases that are switched off, tied embeddings, a positional table that nothing reads) goes if it
    says the same. All else stays, for `load_state_dict` to check.

    Raises:
        InputError: if what is fixed here is another there.
    """
    wanted, fixed = set(model.state_dict()), dict(model.named_buffers())
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        last = name.rpartition(".")[2]
        if name in wanted:
            found[name] = tensor
        elif last in BUFFERS:
            continue
        elif last == "weight" and name.removesuffix(".weight") in wanted:
            found[name.removesuffix(".weight")] = tensor.t()
        elif name in fixed:
            _require_equal(name, tensor, fixed[name])
        elif name == "unembed.W_U" and "embed.W_E" in tensors and "unembed.b_U" in wanted:
            _require_equal(name, tensor, tensors["embed.W_E"].t())
        elif name == "pos_embed.W_pos" and _kind_of_positions(model) not in ("standard", "shortformer", None):
            continue
        else:
            found[name] = tensor
    return found


def old_solu(tensors: Mapping[str, Tensor], n_layers: int) -> dict[str, Tensor]:
    """The first SoLU models' weights: norms had another name, and small models their matrices the other way round."""
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        name = re.sub(r"^ln\.", "ln_final.", name.replace("norm", "ln"))
        turned = name == "pos_embed.W_pos" and n_layers <= 8
        turned |= "W_" in name and "W_pos" not in name and n_layers <= 6
        found[name] = tensor.mT if turned else tensor
    return found


def min_gpt(tensors: Mapping[str, Tensor], n_heads: int) -> dict[str, Tensor]:
    """Weights of a minGPT (github.com/karpathy/minGPT): Linears `[out, in]`, heads in one dimension."""
    plain = {
        r"tok_emb\.weight": ("embed.W_E", lambda w: w),
        r"pos_emb": ("pos_embed.W_pos", lambda w: w.squeeze(0)),
        r"(blocks\.\d+\.ln[12])\.weight": (r"\1.w", lambda w: w),
        r"(blocks\.\d+\.ln[12])\.bias": (r"\1.b", lambda w: w),
        r"(blocks\.\d+\.attn)\.proj\.weight": (r"\1.W_O", lambda w: w.t().unflatten(0, (n_heads, -1))),
        r"(blocks\.\d+\.attn)\.proj\.bias": (r"\1.b_O", lambda w: w),
        r"(blocks\.\d+\.mlp)\.0\.weight": (r"\1.W_in", lambda w: w.t()),
        r"(blocks\.\d+\.mlp)\.0\.bias": (r"\1.b_in", lambda w: w),
        r"(blocks\.\d+\.mlp)\.2\.weight": (r"\1.W_out", lambda w: w.t()),
        r"(blocks\.\d+\.mlp)\.2\.bias": (r"\1.b_out", lambda w: w),
        r"head\.weight": ("unembed.W_U", lambda w: w.t()),
        r"ln_f\.weight": ("ln_final.w", lambda w: w),
        r"ln_f\.bias": ("ln_final.b", lambda w: w),
    }
    for which in ("query", "key", "value"):
        letter = which[0].upper()
        plain[rf"(blocks\.\d+\.attn)\.{which}\.weight"] = (
            rf"\1.W_{letter}",
            lambda w: w.unflatten(0, (n_heads, -1)).mT,
        )
        plain[rf"(blocks\.\d+\.attn)\.{which}\.bias"] = (
            rf"\1.b_{letter}",
            lambda w: w.unflatten(0, (n_heads, -1)),
        )
    found: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        for pattern, (ours, turned) in plain.items():
            if re.fullmatch(pattern, name):
                found[re.sub(pattern, ours, name)] = turned(tensor)
    return found


def with_defaults(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The weights, and in place of biases and norms that are missing zeros and ones.

    Raises:
        InputError: if a matrix is missing.
    """
    found = dict(tensors)
    for name, own in model.state_dict().items():
        if name in found:
            continue
        last = name.rpartition(".")[2]
        if last == "w" or last == "b" or last.lstrip("_").startswith("b_"):
            found[name] = torch.ones_like(own) if last == "w" else torch.zeros_like(own)
            continue
        raise InputError(
            wanted=f"the weights of a model of this config, {name} among them",
            got="none of that name",
            remedy="see that config and weights are of one model, and whole",
        )
    return found


def _kind_of_positions(model: nn.Module) -> str | None:
    cfg = getattr(model, "cfg", None)
    return cfg.positional_embedding_type if isinstance(cfg, HookedTransformerConfig) else None


def _require_equal(name: str, given: Tensor, fixed: Tensor) -> None:
    if given.shape != fixed.shape or not torch.equal(given.to(fixed), fixed):
        raise InputError(
            wanted=f"{name} as this model's config fixes it",
            got="another",
            remedy="build the model with a config that trains it: see without_biases and tie_word_embeddings",
        )
