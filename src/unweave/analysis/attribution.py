"""Direct logit attribution: the logits, split into what each component wrote to the residual stream.

The final norm is affine once its scale is known: its weight is folded into the unembedding, its
bias is a row of its own, and the scale is frozen per position at its value in the clean run.
(Elhage et al., 2021, "A Mathematical Framework for Transformer Circuits".) A share is direct: what
a later component makes of a write counts as that component's own.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from unweave.analysis.norms import quiet_norm
from unweave.core.errors import InputError
from unweave.core.sites import norm_site
from unweave.model.cache import ActivationCache
from unweave.model.norm import Norm
from unweave.model.transformer import HookedTransformer

Resid = Float[Tensor, "batch pos d_model"]
Contrast = Float[Tensor, "batch pos d_vocab"]

# Rows in float32 cancel: they must sum to the whole to this part of its largest entry.
TOLERANCE = 1e-4


@torch.no_grad()
def components(model: HookedTransformer, cache: ActivationCache) -> dict[str, Resid]:
    """What each part wrote, biases in rows of their own; they sum to the final residual stream.

    "embed", "pos_embed" (where there is one), and for each layer "attn0", "attn0.b_V", "attn0.b_O",
    "mlp0", "mlp0.b_out". Rows of attention sum to one, so that what `b_V` adds is a constant.

    Raises:
        InputError: if they don't, as when the run was hooked where it added something else.
    """
    parts: dict[str, Resid] = {"embed": cache["embed"]}
    if model.cfg.positional_embedding_type != "none":
        parts["pos_embed"] = cache["pos_embed"]
    for layer, block in enumerate(model.blocks):
        attention = block.get_submodule("attn")
        value_bias = torch.einsum("he,hed->d", attention.get_parameter("b_V"), attention.get_parameter("W_O"))
        biases = {"attn": {"b_V": value_bias, "b_O": attention.get_parameter("b_O").detach()}}
        if not model.cfg.attn_only:
            biases["mlp"] = {"b_out": block.get_submodule("mlp").get_parameter("b_out").detach()}
        for part, constants in biases.items():
            written = cache[f"{part}_out", layer]
            parts[f"{part}{layer}"] = written - torch.stack(list(constants.values())).sum(0)
            for name, constant in constants.items():
                parts[f"{part}{layer}.{name}"] = constant.expand_as(written)
    _require_equal(_total(parts), _final(model, cache), "components", "final residual stream")
    return parts


@torch.no_grad()
def logit_attribution(
    model: HookedTransformer,
    cache: ActivationCache,
    contrast: Contrast,
    parts: Mapping[str, Resid] | None = None,
) -> dict[str, Float[Tensor, "batch pos"]]:
    """Each component's signed, direct share of `(logits * contrast).sum(-1)`, per sequence and position.

    Args:
        cache: of a clean run, every ordinary hook.
        contrast: weights over the vocabulary, such as +1 on one token and -1 on another.
        parts: what to split into; must sum to the final residual stream. Default: `components`.

    Returns:
        One row a part, then "ln_final.b" (where there is one) and "b_U"; they sum to the contrast
        of the logits.

    Raises:
        InputError: if they don't sum to it, up to 1e-4 of its largest value.
    """
    parts = components(model, cache) if parts is None else parts
    final, norm = _final(model, cache), model.ln_final
    contrast = contrast.to(final.dtype)
    direction, after = contrast @ model.W_U.T, {"b_U": contrast @ model.b_U}
    if isinstance(norm, Norm):
        direction = direction if norm.w is None else direction * norm.w
        direction = direction / cache[norm_site("ln_final", "scale")]
        if norm.centres:
            direction = direction - direction.mean(-1, keepdim=True)  # of a part, only what is centred counts
        if norm.b is not None:
            after = {"ln_final.b": contrast @ (norm.b @ model.W_U), **after}
    rows = {name: (part * direction).sum(-1) for name, part in parts.items()} | after
    logits = model.unembed(quiet_norm(norm, final))
    _require_equal(_total(rows), (logits * contrast).sum(-1), "rows", "logits")
    return rows


@torch.no_grad()
def removal_effect(
    model: HookedTransformer, cache: ActivationCache, contrast: Contrast, part: Resid
) -> Float[Tensor, "batch pos"]:
    """How the contrast falls when `part` is subtracted from the final residual and the scale recomputed.

    The check on the frozen scale: where it matters little, this is near the part's row.
    """
    final = _final(model, cache)
    clean, without = (model.unembed(quiet_norm(model.ln_final, x)) for x in (final, final - part))
    return ((clean - without) * contrast.to(final.dtype)).sum(-1)


def contrasts(
    tokens: Int[Tensor, "batch pos"], d_vocab: int, first: int = 3
) -> tuple[dict[str, Float[Tensor, "batch pos d_vocab"]], Bool[Tensor, "batch pos"]]:
    """The questions asked of previous-token logits, and where they can be asked.

    "previous - current", "previous - other context", "other context - absent", "current - absent" and
    "current - other context", each a difference of mean logits. Position 0 is BOS, and no context. At
    i the other context is the distinct tokens at positions 1 .. i but the previous and the current
    one; absent are the tokens that stand nowhere in 1 .. i, token 0 left out.

    Returns:
        The weights over the vocabulary, by name, and the mask of positions to use. It leaves out
        positions before `first` (3 at least: before it there is no other context), and those whose
        previous or current token stands in the context more than once.
    """
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
    valid &= torch.arange(tokens.shape[1], device=tokens.device) >= max(first, 3)

    def mean(indicator: Tensor) -> Tensor:
        return indicator / indicator.sum(-1, keepdim=True).clamp_min(1.0)

    return {
        "previous - current": previous - current,
        "previous - other context": previous - mean(other),
        "other context - absent": mean(other) - mean(absent),
        "current - absent": current - mean(absent),
        "current - other context": current - mean(other),
    }, valid


def per_sequence(
    values: Float[Tensor, "batch pos"], valid: Bool[Tensor, "batch pos"]
) -> Float[Tensor, " kept"]:
    """The mean over each sequence's valid positions; sequences without any are left out."""
    n = valid.sum(1)
    return (values.where(valid, 0.0).sum(1) / n.clamp_min(1))[n > 0]


def _final(model: HookedTransformer, cache: ActivationCache) -> Resid:
    return cache["resid_post", model.cfg.n_layers - 1]


def _total(parts: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(parts.values())).sum(0)


def _require_equal(total: Tensor, whole: Tensor, what: str, to: str) -> None:
    error = (total - whole).abs().max()
    # Written so that nan fails too.
    if not error <= TOLERANCE * whole.abs().max():
        raise InputError(
            wanted=f"{what} that sum to the {to}",
            got=f"a difference of {error.item():.3g}",
            remedy="pass the cache of a clean run of this model with every ordinary hook",
        )
