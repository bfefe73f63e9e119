"""Direct logit attribution: the logits, split into what each component wrote to the residual stream.

The final norm is affine once its scale is known: its weight is folded into the unembedding, its
bias is a row of its own, and the scale is frozen per position at its value in the clean run.
(Elhage et al., 2021, "A Mathematical Framework for Transformer Circuits".)
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.sites import norm_site
from unweave.model.cache import ActivationCache
from unweave.model.transformer import HookedTransformer

Resid = Float[Tensor, "batch pos d_model"]


def components(model: HookedTransformer, cache: ActivationCache) -> dict[str, Resid]:
    """What each part wrote, biases in rows of their own; they sum to the final residual stream.

    Raises:
        InputError: if they don't, as when the run was hooked where it added something else.
    """
    parts: dict[str, Resid] = {"embed": cache["embed"]}
    if model.cfg.positional_embedding_type != "none":
        parts["pos_embed"] = cache["pos_embed"]
    for layer, block in enumerate(model.blocks):
        writers = [("attn", "attn_out", "b_O")] + ([] if model.cfg.attn_only else [("mlp", "mlp_out", "b_out")])
        for part, site, bias_name in writers:
            bias = block.get_submodule(part).get_parameter(bias_name)
            parts[f"{part}{layer}"] = cache[site, layer] - bias
            parts[f"{part}{layer}.{bias_name}"] = bias.expand_as(cache[site, layer])
    final = cache["resid_post", model.cfg.n_layers - 1]
    _require_equal(torch.stack(list(parts.values())).sum(0), final, "components", "final residual stream")
    return parts


@torch.no_grad()
def logit_attribution(
    model: HookedTransformer, cache: ActivationCache, contrast: Float[Tensor, "batch pos d_vocab"],
    parts: Mapping[str, Resid] | None = None,
) -> dict[str, Float[Tensor, "batch pos"]]:
    """Each component's signed, direct share of `(logits * contrast).sum(-1)`, per sequence and position.

    Args:
        cache: of a clean run, every ordinary hook.
        contrast: weights over the vocabulary, such as +1 on one token and -1 on another.
        parts: what to split into; must sum to the final residual stream. Default: `components`.

    Returns:
        One row a part, then "ln_final.b" (where there is one) and "b_U"; they sum to the contrast
        of the logits, and the function raises if they don't.
    """
    parts = components(model, cache) if parts is None else parts
    weight, bias_row = _folded(model)
    direction = contrast @ (weight[:, None] * model.W_U).T
    scale = _final_scale(model, cache)
    rows = {name: ((_centred(model, part) / scale) * direction).sum(-1) for name, part in parts.items()}
    if bias_row is not None:
        rows["ln_final.b"] = contrast @ (bias_row @ model.W_U)
    rows["b_U"] = contrast @ model.b_U
    logits = model.unembed(_normalised(model, cache["resid_post", model.cfg.n_layers - 1]))
    _require_equal(torch.stack(list(rows.values())).sum(0), (logits * contrast).sum(-1), "rows", "logits")
    return rows


@torch.no_grad()
def removal_effect(
    model: HookedTransformer, cache: ActivationCache, contrast: Float[Tensor, "batch pos d_vocab"], part: Resid
) -> Float[Tensor, "batch pos"]:
    """The check on the frozen scale: how the contrast falls when `part` is subtracted and the scale recomputed."""
    final = cache["resid_post", model.cfg.n_layers - 1]
    clean, without = (model.unembed(_normalised(model, x)) for x in (final, final - part))
    return ((clean - without) * contrast).sum(-1)


def contrasts(
    tokens: Int[Tensor, "batch pos"], d_vocab: int, first: int = 3
) -> tuple[dict[str, Float[Tensor, "batch pos d_vocab"]], Bool[Tensor, "batch pos"]]:
    """The questions asked of previous-token logits, and where they can be asked.

    "previous - current", "previous - other context", "context - absent" and "current - absent";
    the context is the tokens at positions 1 .. i, absent are the other ones but BOS (token 0). The
    mask leaves out positions before `first`, and those whose previous or current token stands in
    the context more than once.
    """
    n_batch, n_pos = tokens.shape
    one_hot = torch.nn.functional.one_hot(tokens, d_vocab).float()
    one_hot[:, 0] = 0.0
    counts = one_hot.cumsum(1)
    current, previous = one_hot, torch.zeros_like(one_hot)
    previous[:, 1:] = one_hot[:, :-1]
    context = (counts > 0).float()
    absent = 1.0 - context
    absent[..., 0] = 0.0
    other = (context - current - previous).clamp_min(0.0)
    valid = ((counts * current).sum(-1) == 1) & ((counts * previous).sum(-1) == 1)
    valid &= torch.arange(n_pos) >= max(first, 3)

    def mean(indicator: Tensor) -> Tensor:
        return indicator / indicator.sum(-1, keepdim=True).clamp_min(1.0)

    return {
        "previous - current": previous - current,
        "previous - other context": previous - mean(other),
        "context - absent": mean(context) - mean(absent),
        "current - absent": current - mean(absent),
    }, valid


def per_sequence(values: Float[Tensor, "batch pos"], valid: Bool[Tensor, "batch pos"]) -> Float[Tensor, " kept"]:
    """The mean over each sequence's valid positions; sequences without any are left out."""
    n = valid.sum(1)
    return ((values * valid).sum(1) / n.clamp_min(1))[n > 0]


def _folded(model: HookedTransformer) -> tuple[Tensor, Tensor | None]:
    if model.cfg.normalization_type is None:
        return torch.ones(model.cfg.d_model, dtype=model.W_U.dtype, device=model.W_U.device), None
    return model.ln_final.get_parameter("w"), model.ln_final.get_parameter("b")


def _final_scale(model: HookedTransformer, cache: ActivationCache) -> Tensor:
    if model.cfg.normalization_type is None:
        return torch.ones_like(cache["resid_post", model.cfg.n_layers - 1][..., :1])
    return cache[norm_site("ln_final", "scale")]


def _centred(model: HookedTransformer, x: Tensor) -> Tensor:
    return x if model.cfg.normalization_type is None else x - x.mean(-1, keepdim=True)


def _normalised(model: HookedTransformer, x: Tensor) -> Tensor:
    from unweave.analysis.routes import quiet_norm

    return quiet_norm(model.ln_final, x)


def _require_equal(total: Tensor, whole: Tensor, what: str, to: str) -> None:
    error = (total - whole).abs().max()
    if error > 1e-4 * whole.abs().max():
        raise InputError(
            wanted=f"{what} that sum to the {to}",
            got=f"a difference of {error.item():.3g}",
            remedy="pass the cache of a clean run of this model with every ordinary hook",
        )
