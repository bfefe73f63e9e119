"""Which kernel computes what: a committed table, so that a seed's result does not depend on a timing."""

from __future__ import annotations

from typing import Literal

import torch

Kernel = Literal["fused", "explicit"]

# The longest sequence, by device, for which attention step by step beats the fused kernel when
# products are bf16. Measured forward and backward on one core with AVX512-BF16: 50 positions 15.7
# against 45.6 ms (batch 256, one head of 64), 256 positions 38.9 against 49.7 ms (batch 4, 12
# heads), 1,024 positions 720 against 209 ms. In fp32 the fused kernel was the faster at each.
EXPLICIT_UP_TO_BF16 = {"cpu": 256}

# Rows of logits that the training loss makes at a time, by device. On a CPU a chunk stays in the
# cache; a GPU wants few large products.
LOSS_ROWS = {"cpu": 512, "cuda": 16_384}


def attention_kernel(device: str, n_pos: int) -> Kernel:
    """The kernel for attention over `n_pos` positions, under the autocast that is in force."""
    # The limit first: of a device that no one computes on, such as "meta", torch knows no autocast.
    if n_pos <= EXPLICIT_UP_TO_BF16.get(device, 0) and torch.is_autocast_enabled(device):
        return "explicit"
    return "fused"
