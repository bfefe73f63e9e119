"""Mean ablation: what is lost when an activation says nothing about this sequence."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from tqdm import tqdm

from unweave.core.errors import InputError
from unweave.core.hooks import HookFunction, HookPoint
from unweave.model.transformer import HookedTransformer

Metric = Callable[[Float[Tensor, "batch pos d_vocab"]], Float[Tensor, ""]]

# Sequences that are cached at once: all activations of many would not fit into memory.
CHUNK = 256


@torch.no_grad()
def positional_means(
    model: HookedTransformer, tokens: Int[Tensor, "batch pos"], names: str | Sequence[str] | None = None
) -> dict[str, Float[Tensor, "..."]]:
    """The mean over sequences of each named activation, kept separate per position (no batch dimension).

    `names` defaults to every hook that is computed in an ordinary run.
    """
    totals: dict[str, Tensor] = {}
    for chunk in tokens.split(CHUNK):
        _, cache = model.run_with_cache(chunk, names_filter=names, return_type=None)
        for name, activation in cache.items():
            total = activation.sum(0, dtype=torch.float64)
            totals[name] = totals[name] + total if name in totals else total
    dtype = model.cfg.torch_dtype
    return {name: (total / len(tokens)).to(dtype) for name, total in totals.items()}


def replaced_by(value: Float[Tensor, "..."]) -> HookFunction:
    """A hook that puts `value` (no batch dimension) in place of every sequence's activation.

    Raises:
        InputError: in the run, if the activation has another shape.
    """

    def replace(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
        if value.shape != tensor.shape[1:]:
            raise InputError(
                wanted=f"a value of shape {tuple(tensor.shape[1:])} for {hook.name}",
                got=str(tuple(value.shape)),
                remedy="take the mean over sequences of the same length",
            )
        return value.expand_as(tensor)

    return replace


@torch.no_grad()
def mean_ablation(
    model: HookedTransformer,
    tokens: Int[Tensor, "batch pos"],
    mean_tokens: Int[Tensor, "other mean_pos"],
    metric: Metric,
    names: Sequence[str] | None = None,
    progress: bool = False,
) -> dict[str, float]:
    """The metric with each activation replaced, one hook at a time, by its per-position mean.

    The means come from `mean_tokens`, a separate batch of the same length, so that the ablated
    sequences do not carry a trace of themselves. `names` defaults to every hook that is computed
    in an ordinary run; the result is in the order of the run.

    Raises:
        InputError: if the two batches differ in length.
        HookError: for a name that is not a hook of this model.
    """
    if tokens.shape[1] != mean_tokens.shape[1]:
        raise InputError(
            wanted=f"mean_tokens of {tokens.shape[1]} positions, as the tokens have",
            got=str(mean_tokens.shape[1]),
            remedy="draw both from the same task",
        )
    means = positional_means(model, mean_tokens, names)
    losses: dict[str, float] = {}
    for name, mean in tqdm(means.items(), desc="mean ablation", unit="hook", disable=not progress):
        logits = model.run_with_hooks(tokens, fwd_hooks=[(name, replaced_by(mean))])
        losses[name] = metric(logits).item()
    return losses
