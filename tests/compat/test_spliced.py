"""A module in the place of a hook point does what a hook there would."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from unweave.compat.transformer_lens import HookedTransformer, HookedTransformerConfig
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
