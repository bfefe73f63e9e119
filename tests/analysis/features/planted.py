"""A small model and random dictionaries for its sites, with nothing in them left at zero."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from tests.model.small import small_model
from unweave import HookedTransformer, features
from unweave.core import seeds

SITE = "blocks.0.hook_resid_post"
TOKENS = torch.randint(0, 11, (3, 6), generator=torch.Generator().manual_seed(0))
OTHERS = torch.randint(0, 11, (3, 6), generator=torch.Generator().manual_seed(1))


def model(**fields: Any) -> HookedTransformer:
    return small_model(**{"positional_embedding_type": "standard", **fields})


def dictionary(
    architecture: str = "standard", d_in: int = 8, d_sae: int = 20, **fields: Any
) -> features.Dictionary:
    """Random weights; about a quarter of the features are active."""
    if architecture == "topk":
        fields["k"] = 4
    config = features.DictionaryConfig(architecture, d_in, d_sae, **{"hook_name": SITE, **fields})
    draw = seeds.generator(3, architecture)
    weights: dict[str, Tensor] = {
        name: torch.randn(shape, generator=draw) for name, shape in config.shapes().items()
    }
    weights["threshold"] = weights.get("threshold", torch.zeros(d_sae)).abs() * 0.3
    weights = {name: weights[name] for name in config.shapes()}
    for name in ("b_enc", "b_mag", "b_gate"):
        if name in weights:
            weights[name] -= 1.0
    return features.Dictionary(config, weights)
