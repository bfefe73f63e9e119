"""Small models with nothing left at zero or one, and what "equal to 1e-5" means."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer

SIZES: dict[str, Any] = {
    "n_layers": 2,
    "d_model": 8,
    "n_ctx": 7,
    "d_head": 4,
    "d_vocab": 11,
    "act_fn": "relu",
    "positional_embedding_type": "none",
    "seed": 0,
}


def small_config(**fields: Any) -> HookedTransformerConfig:
    return HookedTransformerConfig(**{**SIZES, **fields})


def small_model(**fields: Any) -> HookedTransformer:
    """A model whose biases and norms are random too, so that a forgotten one shows."""
    model = HookedTransformer(small_config(**fields))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.rpartition(".")[2].startswith("W_"):
                parameter += 0.5 * torch.randn(parameter.shape, generator=generator).to(parameter)
    return model


def small_tokens(batch: int = 3, pos: int = 7, d_vocab: int = 11) -> Tensor:
    return torch.randint(0, d_vocab, (batch, pos), generator=torch.Generator().manual_seed(2))


def assert_equal_to(tolerance: float, got: Tensor, wanted: Tensor, what: str = "") -> None:
    """max|got - wanted| <= tolerance * max|wanted|, with infinities in the same places."""
    assert got.shape == wanted.shape, (what, got.shape, wanted.shape)
    got, wanted = got.detach().double(), wanted.detach().double()
    assert torch.equal(got.isinf() * got.sign(), wanted.isinf() * wanted.sign()), what
    finite = wanted.isfinite()
    assert got[finite].isfinite().all(), what
    if not finite.any():
        return
    error = (got - wanted)[finite].abs().max()
    assert error <= tolerance * wanted[finite].abs().max(), (what, error)
