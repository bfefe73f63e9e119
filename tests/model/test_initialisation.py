from __future__ import annotations

import math

import pytest
import torch

from tests.model.small import small_config
from unweave.model.transformer import HookedTransformer

BIG = {"d_model": 64, "d_head": 16, "d_vocab": 300, "n_ctx": 50, "positional_embedding_type": "standard"}
WEIGHTS = ["embed.W_E", "pos_embed.W_pos", "unembed.W_U"] + [
    f"blocks.{layer}.{name}"
    for layer in (0, 1)
    for name in ("attn.W_Q", "attn.W_K", "attn.W_V", "attn.W_O", "mlp.W_in", "mlp.W_out")
]


def state(**fields: object) -> dict[str, torch.Tensor]:
    return HookedTransformer(small_config(**fields)).state_dict()


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_are_normal_with_the_notebooks_spread(name: str):
    weight = state(**BIG)[name].flatten().double()
    sigma, n = 0.8 / math.sqrt(64), weight.numel()
    # Four standard errors each.
    assert abs(weight.mean()) < 4 * sigma / math.sqrt(n)
    assert abs(weight.std() / sigma - 1) < 4 / math.sqrt(2 * n)
    within_one_sigma = (weight.abs() < sigma).double().mean()
    assert abs(within_one_sigma - 0.6827) < 4 * math.sqrt(0.6827 * 0.3173 / n)


def test_everything_else_begins_at_zero_but_norms_at_one():
    rest = {name: tensor for name, tensor in state(**BIG).items() if name not in WEIGHTS}
    biases = {"b_Q", "b_K", "b_V", "b_O", "b_in", "b_out", "b_U"}
    assert {name.rpartition(".")[2] for name in rest} == biases | {"w", "b"}
    for name, tensor in rest.items():
        assert (tensor == (1 if name.endswith(".w") else 0)).all(), name


def test_no_two_weights_are_alike():
    weights = [tensor.flatten()[:16] for name, tensor in state(**BIG).items() if name in WEIGHTS]
    assert len({tuple(weight.tolist()) for weight in weights}) == len(WEIGHTS)


def test_the_spread_can_be_chosen():
    usual, wide = state(seed=3), state(seed=3, initializer_range=8.0 / math.sqrt(8))
    torch.testing.assert_close(wide["embed.W_E"], 10 * usual["embed.W_E"])


def test_a_seed_gives_the_same_weights_and_leaves_the_global_state_alone():
    before = torch.random.get_rng_state()
    first = state(seed=3)
    torch.rand(5)
    assert all(torch.equal(first[name], tensor) for name, tensor in state(seed=3).items())
    torch.random.set_rng_state(before)
    state(seed=3)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_another_seed_gives_other_weights():
    assert not torch.equal(state(seed=3)["embed.W_E"], state(seed=4)["embed.W_E"])


def test_without_a_seed_the_global_state_decides():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        first = state(seed=None)["embed.W_E"]
        assert not torch.equal(first, state(seed=None)["embed.W_E"])
        torch.manual_seed(7)
        assert torch.equal(first, state(seed=None)["embed.W_E"])


def test_a_seed_means_the_same_weights_in_every_dtype():
    single, double = state(seed=3), state(seed=3, dtype="float64")
    assert all(torch.equal(tensor.double(), double[name]) for name, tensor in single.items())


def test_torchs_default_device_does_not_matter():
    # "meta" stands in for a GPU: tensors made there have no values.
    with torch.device("meta"):
        elsewhere = state(seed=3, positional_embedding_type="sinusoidal")
    here = state(seed=3, positional_embedding_type="sinusoidal")
    assert all(torch.equal(tensor, here[name]) for name, tensor in elsewhere.items())
