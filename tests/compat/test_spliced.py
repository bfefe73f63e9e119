"""Modules in the place of a hook point, which do what a hook there would, and of the embeddings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from unweave.compat.transformer_lens import HookedTransformer, HookedTransformerConfig
from unweave.core.errors import InputError
from unweave.core.hook_point import HookPoint

TOKENS = torch.tensor([[1, 2, 3, 4], [4, 3, 2, 1]])
PLACES = (
    "hook_embed",
    "blocks.0.hook_resid_pre",
    "blocks.0.hook_mlp_in",
    "blocks.1.hook_mlp_out",
    "blocks.1.attn.hook_z",
    "blocks.0.attn.hook_pattern",
    "blocks.0.attn.hook_attn_scores",
    "blocks.1.attn.hook_result",
    "blocks.0.ln2.hook_normalized",
    "blocks.0.ln1.hook_scale",
    "ln_final.hook_normalized",
    "blocks.0.mlp.hook_post",
    "unembed.hook_in",
)


class Bends(nn.Module):
    """Another tensor of the same shape, by way of a HookPoint of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.hook_inside = HookPoint()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.hook_inside(x * 1.3)


@pytest.fixture
def model() -> HookedTransformer:
    cfg = HookedTransformerConfig(
        n_layers=2, d_model=8, d_head=4, n_ctx=4, d_vocab=6, act_fn="gelu", seed=0, device="cpu"
    )
    return HookedTransformer(cfg)


@pytest.mark.parametrize("place", PLACES)
@torch.no_grad()
def test_a_module_in_the_place_of_a_point_does_what_a_hook_would(place: str, model: HookedTransformer):
    plain = model(TOKENS)
    wanted = model.run_with_hooks(TOKENS, fwd_hooks=[(place, lambda x, hook: x * 1.3)])
    assert not torch.allclose(plain, wanted)
    owner, _, name = place.rpartition(".")
    point = getattr(model.get_submodule(owner), name)
    setattr(model.get_submodule(owner), name, Bends())
    model.setup()
    assert place not in model.hook_dict and f"{place}.hook_inside" in model.hook_dict
    assert torch.allclose(model(TOKENS), wanted, rtol=1e-5, atol=1e-6)
    _, cache = model.run_with_cache(TOKENS, names_filter=f"{place}.hook_inside")
    assert cache[f"{place}.hook_inside"].shape == model_shape(model, place, point)
    setattr(model.get_submodule(owner), name, point)
    model.setup()
    assert torch.equal(model(TOKENS), plain)


def model_shape(model: HookedTransformer, place: str, point: HookPoint) -> torch.Size:
    """The shape at the point itself."""
    owner, _, name = place.rpartition(".")
    taken = getattr(model.get_submodule(owner), name)
    setattr(model.get_submodule(owner), name, point)
    model.setup()
    shape = model.run_with_cache(TOKENS, names_filter=place)[1][place].shape
    setattr(model.get_submodule(owner), name, taken)
    model.setup()
    return shape


class Table(nn.Module):
    """A positional embedding with TransformerLens' arguments."""

    def __init__(self, W_pos: torch.Tensor) -> None:
        super().__init__()
        self.W_pos = nn.Parameter(W_pos)

    def forward(self, tokens: torch.Tensor, past_kv_pos_offset: int = 0) -> torch.Tensor:
        batch, n_pos = tokens.shape[:2]
        return self.W_pos[past_kv_pos_offset : past_kv_pos_offset + n_pos].expand(batch, -1, -1)


@torch.no_grad()
def test_a_model_without_its_embedding_reads_vectors(model: HookedTransformer):
    """As models of continuous inputs are built: `model.embed = nn.Identity()`."""
    vectors, (wanted, cache) = model.W_E[TOKENS], model.run_with_cache(TOKENS)
    model.embed = nn.Identity()
    table: Any = Table(model.W_pos.clone())
    model.pos_embed = table
    given, with_cache = model.run_with_cache(vectors)
    assert torch.allclose(given, wanted, rtol=1e-5, atol=1e-6)
    assert torch.equal(with_cache["hook_embed"], vectors)
    assert torch.allclose(with_cache["hook_pos_embed"], cache["hook_pos_embed"])
    # The mistake: to read the vectors at another place.
    assert not torch.allclose(model(vectors.flip(1)), wanted)
    with pytest.raises(InputError, match="wanted at most n_ctx=4 positions; got 8"):
        model(torch.cat([vectors, vectors], 1))
    model.unembed = nn.Identity()
    assert torch.allclose(model(vectors), with_cache["ln_final.hook_normalized"], rtol=1e-5, atol=1e-6)


@torch.no_grad()
def test_the_embedding_takes_a_range_of_tokens(model: HookedTransformer):
    assert torch.equal(model.embed(range(6)), model.W_E)
    assert torch.equal(model.embed([2, 0]), model.W_E[[2, 0]])
    assert torch.equal(model.embed(TOKENS[0]), model.W_E[TOKENS[0]])
