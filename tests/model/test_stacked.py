from __future__ import annotations

import pytest
import torch

from tests.model.small import small_model

# [layer, ...]: 3 layers, 2 heads, d_model 8, d_head 4, d_mlp 32.
SHAPES = {
    "W_Q": (3, 2, 8, 4),
    "W_K": (3, 2, 8, 4),
    "W_V": (3, 2, 8, 4),
    "W_O": (3, 2, 4, 8),
    "b_Q": (3, 2, 4),
    "b_K": (3, 2, 4),
    "b_V": (3, 2, 4),
    "b_O": (3, 8),
    "W_in": (3, 8, 32),
    "b_in": (3, 32),
    "W_out": (3, 32, 8),
    "b_out": (3, 8),
}


@pytest.mark.parametrize("name", SHAPES)
def test_each_layers_weight_stands_in_its_place(name: str):
    model = small_model(n_layers=3)
    stacked = getattr(model, name)
    assert stacked.shape == SHAPES[name]
    part = "mlp" if name in ("W_in", "b_in", "W_out", "b_out") else "attn"
    for layer in range(3):
        assert torch.equal(stacked[layer], model.state_dict()[f"blocks.{layer}.{part}.{name}"])


def test_what_there_is_one_of_is_not_stacked():
    model = small_model(positional_embedding_type="standard", d_vocab_out=5)
    state = model.state_dict()
    for name, full_name, shape in [
        ("W_E", "embed.W_E", (11, 8)),
        ("W_pos", "pos_embed.W_pos", (7, 8)),
        ("W_U", "unembed.W_U", (8, 5)),
        ("b_U", "unembed.b_U", (5,)),
    ]:
        assert getattr(model, name).shape == shape
        assert torch.equal(getattr(model, name), state[full_name])


def test_gradients_reach_the_layers():
    model = small_model()
    (model.W_in * torch.tensor([1.0, 2.0])[:, None, None]).sum().backward()
    grads = [model.blocks[layer].mlp.W_in.grad for layer in (0, 1)]
    assert [grad.unique().tolist() for grad in grads] == [[1.0], [2.0]]


@pytest.mark.parametrize("name", ["W_in", "b_in", "W_out", "b_out"])
def test_without_mlps_there_are_no_mlp_weights(name: str):
    with pytest.raises(AttributeError):
        getattr(small_model(attn_only=True), name)
