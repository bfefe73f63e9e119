"""The neurons of one layer's MLP, or of all its experts: how active each was, and what it writes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from unweave.core.errors import InputError
from unweave.core.sites import expert_site, mlp_site
from unweave.core.slices import Slice
from unweave.model.experts import Expert, MoE


@dataclass(frozen=True)
class Neurons:
    """Those of one MLP: their activations, and the rows of `W_out`."""

    factors: Float[Tensor, "*batch_and_pos neuron"]
    vectors: Float[Tensor, "neuron d_model"]


def neurons_of(cache: Mapping[str, Tensor], block: nn.Module, layer: int, pos_slice: Slice) -> list[Neurons]:
    """Those of the layer's MLP, or of each of its experts, whose activations the router's weights multiply.

    Raises:
        InputError: if the layer has no MLP.
        MissingActivation: for an activation that was not cached.
    """
    mlp = _mlp(block, layer)
    if isinstance(mlp, MoE):
        return [
            Neurons(pos_slice.apply(_spread(cache, mlp, layer, number), -2), expert.W_out)
            for number, expert in enumerate(_experts(mlp))
        ]
    return [Neurons(pos_slice.apply(cache[mlp_site(layer, "post")], -2), mlp.get_parameter("W_out"))]


def neuron_labels(block: nn.Module, layer: int, neurons: Slice) -> list[str]:
    """Such as "L0N5", or of an expert "L0E1N5", in the order of `neurons_of`."""
    mlp = _mlp(block, layer)
    if isinstance(mlp, MoE):
        sizes = {f"L{layer}E{number}N": len(expert.W_out) for number, expert in enumerate(_experts(mlp))}
    else:
        sizes = {f"L{layer}N": len(mlp.get_parameter("W_out"))}
    return [f"{start}{neuron}" for start, size in sizes.items() for neuron in neurons.indices(size)]


def _spread(
    cache: Mapping[str, Tensor], mlp: MoE, layer: int, number: int
) -> Float[Tensor, "*batch_and_pos neuron"]:
    """An expert's activations times the router's weight, for every token; zero where it was not chosen."""
    chosen, odds = (cache[mlp_site(layer, f"expert_{kind}")] for kind in ("indices", "weights"))
    post = cache[expert_site(layer, number, "post")]
    weights = mlp.weights_of(odds)[0].to(post.dtype).flatten(0, -2)
    place, row = torch.where(chosen.flatten(0, -2).t() == number)
    spread = post.new_zeros(len(weights), post.shape[-1])
    return spread.index_add(0, row, post * weights[row, place, None]).unflatten(0, chosen.shape[:-1])


def _mlp(block: nn.Module, layer: int) -> nn.Module:
    mlp = getattr(block, "mlp", None)
    if not isinstance(mlp, nn.Module):
        raise InputError(wanted=f"neurons in layer {layer}", got="no MLP", remedy="decompose without neurons")
    return mlp


def _experts(mlp: MoE) -> list[Expert]:
    return [expert for expert in mlp.experts if isinstance(expert, Expert)]
