"""Where the two libraries are known to differ, and why. An entry that no longer holds is an error."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Difference:
    """A hook that is another tensor with us, and how the one follows from the other.

    Args:
        hook: a regular expression for the whole hook name.
        reason: why we differ.
        where: the configs that it holds for.
        ours: from TransformerLens' tensor, ours (for shape or order), the weights and the hook's name,
            what ours must be; None where we have no such hook, which `theirs` must then justify.
        theirs: what must hold of TransformerLens' tensor.
        always: False if the two may also happen to be equal.
    """

    hook: str
    reason: str
    where: Callable[[dict[str, Any]], bool]
    ours: Callable[[Tensor, Tensor, Tensors, str], Tensor] | None
    theirs: Callable[[Tensor], bool] = lambda _: True
    always: bool = True

    def covers(self, name: str, config: dict[str, Any]) -> bool:
        """Whether this entry speaks of the hook `name` of a model of this config."""
        return re.fullmatch(self.hook, name) is not None and self.where(config)


def _in_our_shape(theirs: Tensor, ours: Tensor, weights: Tensors, name: str) -> Tensor:
    return theirs.reshape(ours.shape) if theirs.numel() == ours.numel() else theirs


def in_our_order(theirs: Tensor, ours: Tensor, weights: Tensors, name: str) -> Tensor:
    """Their rows, each in the place of the nearest of ours; as they are if that is no permutation."""
    if theirs.shape != ours.shape or not len(ours):
        return theirs
    order = torch.cdist(ours.double(), theirs.double()).argmin(1)
    return theirs[order] if len(order.unique()) == len(theirs) else theirs


def _shifted_by_query(theirs: Tensor, ours: Tensor, weights: Tensors, name: str) -> Tensor:
    """Theirs with each query's row moved as far as its first score is."""
    return theirs + (ours - theirs)[..., :1]


KNOWN: list[Difference] = [
    Difference(
        hook=r"blocks\.\d+\.attn\.hook_attn_scores",
        reason="padding counts for no distance under ALiBi: scores of queries at padding on the right are shifted "
        "together, which no pattern sees",
        where=lambda config: config["positional_embedding_type"] == "alibi",
        ours=_shifted_by_query,
        always=False,
    ),
    Difference(
        hook=r"hook_pos_embed",
        reason='we have positions "none"; the peer is given a learned table of zeros in its place',
        where=lambda config: config["positional_embedding_type"] == "none",
        ours=None,
        theirs=lambda tensor: not torch.any(tensor != 0),
    ),
    Difference(
        hook=r"blocks\.\d+\.mlp\.hook_expert_(weights|indices)",
        reason="ours are [batch, pos, ...]; theirs have batch and position in one dimension",
        where=lambda config: bool(config.get("num_experts")),
        ours=_in_our_shape,
    ),
    Difference(
        hook=r"blocks\.\d+\.attn\.[qk]_norm\.hook_(scale|normalized)",
        reason="ours are [batch, pos, head, ...]; theirs have all three in one dimension",
        where=lambda config: config.get("use_qk_norm", False),
        ours=_in_our_shape,
    ),
    Difference(
        hook=r"blocks\.\d+\.mlp\.experts\.\d+\.hook_(gate|pre|post)",
        reason="rows of an expert: ours by batch and position, theirs first by the place in a token's choice",
        where=lambda config: bool(config.get("num_experts")),
        ours=in_our_order,
        always=False,
    ),
]

# Hooks of TransformerLens that our model does not have yet; compared as soon as it has them.
PENDING: dict[str, str] = {}


def known_difference(name: str, config: dict[str, Any]) -> Difference | None:
    """The entry for this hook, if there is one."""
    return next((entry for entry in KNOWN if entry.covers(name, config)), None)


def pending(name: str) -> str | None:
    """Why our model may lack this hook for now; None if it may not."""
    return next((reason for pattern, reason in PENDING.items() if re.fullmatch(pattern, name)), None)
