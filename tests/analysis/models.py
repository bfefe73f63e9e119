"""Small models with random or hand-set weights, in float64 so that equal means equal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer

VOCAB, LENGTH = 11, 6


def random_model(seed: int = 0, **fields: Any) -> HookedTransformer:
    """Two layers of two heads; every bias and every norm's weight is drawn too, none is left at 0 or 1."""
    defaults: dict[str, Any] = {
        "n_layers": 2,
        "d_model": 8,
        "n_ctx": LENGTH,
        "d_head": 3,
        "n_heads": 2,
        "d_mlp": 10,
        "d_vocab": VOCAB,
        "act_fn": "relu",
        "positional_embedding_type": "none",
        "dtype": "float64",
    }
    model = HookedTransformer(HookedTransformerConfig(**{**defaults, **fields}))
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
            parameter.copy_(parameter.clamp(0.0, 1.0).round() + 0.5 * noise)
    return model


def random_tokens(batch: int = 4, length: int = LENGTH, vocab: int = VOCAB, seed: int = 0) -> Tensor:
    """`[batch, length]`, beginning with BOS (0)."""
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, vocab, (batch, length), generator=draw)
    tokens[:, 0] = 0
    return tokens


def zeroed_model(**fields: Any) -> HookedTransformer:
    """A model without norms whose every weight is 0, to be set by hand."""
    model = random_model(normalization_type=None, **fields)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    return model


def put(model: HookedTransformer, **weights: Any) -> None:
    """Set parameters by name, `.` written as `__`; each must have the parameter's shape."""
    for name, value in weights.items():
        parameter = model.get_parameter(name.replace("__", "."))
        tensor = torch.as_tensor(value, dtype=parameter.dtype)
        assert tensor.shape == parameter.shape, (name, tensor.shape, parameter.shape)
        with torch.no_grad():
            parameter.copy_(tensor)


def assert_equal(actual: Tensor, wanted: Tensor, part: float = 1e-10) -> None:
    """max|a - b| <= part * max|b|, and the same shape."""
    assert actual.shape == wanted.shape, (actual.shape, wanted.shape)
    error = (actual - wanted).abs().max().item()
    assert error <= part * wanted.abs().max().item(), error


def no_hooks_left(model: HookedTransformer) -> bool:
    return not any(point.active for point in model.hook_dict.values())
