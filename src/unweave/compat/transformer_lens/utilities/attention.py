"""What attention does to its inputs."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

PerHead = Float[Tensor, "batch pos head d_head"]


def simple_attn_linear(
    input: Float[Tensor, "batch pos d_model"],
    w: Float[Tensor, "head d_model d_head"],
    b: Float[Tensor, "head d_head"],
) -> PerHead:
    """Every head reads the same input."""
    return torch.einsum("bpd,hde->bphe", input, w.to(input.device)) + b.to(input.device)


def complex_attn_linear(
    input: Float[Tensor, "batch pos head d_model"],
    w: Float[Tensor, "head d_model d_head"],
    b: Float[Tensor, "head d_head"],
) -> PerHead:
    """Every head reads an input of its own."""
    return torch.einsum("bphd,hde->bphe", input, w) + b


def clamp_qkv(q: Tensor, k: Tensor, v: Tensor, clip: int | float) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values, each clamped to `[-clip, clip]` (OLMo)."""
    return q.clamp(-clip, clip), k.clamp(-clip, clip), v.clamp(-clip, clip)
