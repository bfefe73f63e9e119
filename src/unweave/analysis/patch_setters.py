"""What a patch of TransformerLens' `patching` puts where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

Row = Sequence[Any]
# Given the corrupted activation, a row of indices (the layer first) and the clean activation.
PatchSetter = Callable[[Tensor, Row, Tensor], Tensor]


def layer_pos_patch_setter(corrupted_activation: Tensor, index: Row, clean_activation: Tensor) -> Tensor:
    """Patch at `index = [layer, pos]`, in place; for all but scores and patterns."""
    _, pos = index
    corrupted_activation[:, pos, ...] = clean_activation[:, pos, ...]
    return corrupted_activation


def layer_pos_head_vector_patch_setter(
    corrupted_activation: Tensor, index: Row, clean_activation: Tensor
) -> Tensor:
    """Patch at `index = [layer, pos, head]`, in place; for q, k, v, z and the like."""
    _, pos, head = index
    corrupted_activation[:, pos, head] = clean_activation[:, pos, head]
    return corrupted_activation


def layer_head_vector_patch_setter(
    corrupted_activation: Tensor, index: Row, clean_activation: Tensor
) -> Tensor:
    """Patch at `index = [layer, head]`, at all positions, in place; for q, k, v, z and the like."""
    _, head = index
    corrupted_activation[:, :, head] = clean_activation[:, :, head]
    return corrupted_activation


def layer_head_pattern_patch_setter(
    corrupted_activation: Tensor, index: Row, clean_activation: Tensor
) -> Tensor:
    """Patch at `index = [layer, head]`, in place; for scores and patterns."""
    _, head = index
    corrupted_activation[:, head] = clean_activation[:, head]
    return corrupted_activation


def layer_head_pos_pattern_patch_setter(
    corrupted_activation: Tensor, index: Row, clean_activation: Tensor
) -> Tensor:
    """Patch at `index = [layer, head, dest_pos]`, in place; for scores and patterns."""
    _, head, query = index
    corrupted_activation[:, head, query] = clean_activation[:, head, query]
    return corrupted_activation


def layer_head_dest_src_pos_pattern_patch_setter(
    corrupted_activation: Tensor, index: Row, clean_activation: Tensor
) -> Tensor:
    """Patch at `index = [layer, head, dest_pos, src_pos]`, in place; for scores and patterns."""
    _, head, query, key = index
    corrupted_activation[:, head, query, key] = clean_activation[:, head, query, key]
    return corrupted_activation


# What the setters above touch, as the engine can plan it: whether in a pattern, and what the indices
# after the layer are.
PLANNED: dict[Any, tuple[bool, tuple[str, ...]]] = {
    layer_pos_patch_setter: (False, ("pos",)),
    layer_pos_head_vector_patch_setter: (False, ("pos", "head")),
    layer_head_vector_patch_setter: (False, ("head",)),
    layer_head_pattern_patch_setter: (True, ("head",)),
    layer_head_pos_pattern_patch_setter: (True, ("head", "pos")),
    layer_head_dest_src_pos_pattern_patch_setter: (True, ("head", "pos", "key")),
}
