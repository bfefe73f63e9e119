"""A model and a task that train in milliseconds."""

from __future__ import annotations

from typing import Any

import torch

from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer
from unweave.tasks import PreviousToken
from unweave.training import LinearWarmup, TrainConfig

TASK = PreviousToken(d_vocab=12, n_ctx=6)


def new_model(**fields: Any) -> HookedTransformer:
    sizes: dict[str, Any] = {
        "n_layers": 2,
        "d_model": 16,
        "n_ctx": 6,
        "d_head": 8,
        "d_vocab": 12,
        "act_fn": "relu",
        "positional_embedding_type": "none",
        "seed": 0,
    }
    return HookedTransformer(HookedTransformerConfig(**{**sizes, **fields}))


def short(**fields: Any) -> TrainConfig:
    """Five steps, of which three are warmup."""
    return TrainConfig(**{"steps": 5, "batch_size": 8, "lr": 1e-2, "schedule": LinearWarmup(3), **fields})


def same_bits(first: HookedTransformer, second: HookedTransformer) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
