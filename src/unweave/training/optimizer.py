"""The optimiser of a run."""

from __future__ import annotations

import torch

from unweave.model.transformer import HookedTransformer
from unweave.training.config import TrainConfig


def adamw(model: HookedTransformer, config: TrainConfig) -> torch.optim.AdamW:
    """PyTorch's AdamW, in one pass over all parameters."""
    return torch.optim.AdamW(
        model.parameters(),
        lr=config.lr,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        fused=True,
    )
