"""QK and OV, accumulated biases, residual directions and labels, on the model."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from tests.core.unchecked import as_users_run
from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.core.errors import InputError


def test_qk_and_ov_are_each_heads_products():
    model = small_model(n_layers=3, n_heads=2, dtype="float64")
    assert model.QK.shape == model.OV.shape == (3, 2, 8, 8)
    assert model.QK.mdim == model.OV.mdim == 4
    for layer, block in enumerate(model.blocks):
        for head in range(2):
            attn = block.attn
            assert_equal_to(1e-12, model.QK[layer, head].AB, attn.W_Q[head] @ attn.W_K[head].T)
            assert_equal_to(1e-12, model.OV[layer, head].AB, attn.W_V[head] @ attn.W_O[head])


def test_qk_gives_the_scores_and_ov_the_results():
    model = small_model(n_heads=2, dtype="float64", normalization_type=None)
    with torch.no_grad():
        for block in model.blocks:
            block.attn.b_Q.zero_()
            block.attn.b_K.zero_()
            block.attn.b_V.zero_()
    names = ["blocks.1.hook_resid_pre", "blocks.1.attn.hook_attn_scores", "blocks.1.attn.hook_pattern"]
    _, cache = model.run_with_cache(small_tokens(), names_filter=[*names, "blocks.1.attn.hook_result"])
    x = cache["resid_pre", 1]
    scores = torch.einsum("bqd,hde,bke->bhqk", x, model.QK.AB[1], x) / 2  # sqrt(d_head)
    assert_equal_to(1e-10, scores.tril(), cache["attn_scores", 1].clone().tril())
    results = torch.einsum("bhqk,bkd,hde->bqhe", cache["pattern", 1], x, model.OV.AB[1])
    assert_equal_to(1e-10, results, cache["result", 1])


@pytest.mark.parametrize("name", ["W_K", "W_V", "b_K", "b_V"])
def test_shared_keys_and_values_stand_there_once_for_every_head(name: str):
    model = small_model(n_heads=6)
    own = getattr(model, name)
    with torch.no_grad():
        # As where three groups of two heads share them.
        for block in model.blocks:
            setattr(block.attn, name, torch.nn.Parameter(getattr(block.attn, name)[:3].clone()))
    repeated = getattr(model, name)
    assert repeated.shape == own.shape
    for head in range(6):
        assert torch.equal(repeated[:, head], own[:, head // 2])


def test_embeddings_and_positions_together():
    model = small_model(positional_embedding_type="standard")
    assert model.W_E_pos.shape == (11 + 7, 8)
    assert torch.equal(model.W_E_pos[:11], model.W_E)
    assert torch.equal(model.W_E_pos[11:], model.W_pos)
    with pytest.raises(AttributeError):
        _ = small_model().W_E_pos


def test_gates_where_there_are_gates():
    model = small_model()
    assert model.W_gate is None
    gates = [torch.nn.Parameter(torch.full((8, 32), float(layer))) for layer in range(2)]
    for block, gate in zip(model.blocks, gates, strict=True):
        block.mlp.W_gate = gate
    model.cfg = SimpleNamespace(gated_mlp=True)
    assert torch.equal(model.W_gate, torch.stack(gates))


@pytest.mark.parametrize("attn_only", [False, True])
@pytest.mark.parametrize("layer", [0, 1, 3])
def test_accumulated_bias(layer: int, attn_only: bool):
    model = small_model(n_layers=3, attn_only=attn_only)
    wanted = torch.zeros(8)
    for before in range(layer):
        wanted = wanted + model.b_O[before]
    assert_equal_to(1e-6, model.accumulated_bias(layer, include_mlp_biases=False), wanted)
    if not attn_only:
        for before in range(layer):
            wanted = wanted + model.b_out[before]
        if layer < 3:
            assert_equal_to(1e-6, model.accumulated_bias(layer, mlp_input=True), wanted + model.b_O[layer])
    assert_equal_to(1e-6, model.accumulated_bias(layer), wanted)


def test_accumulated_bias_is_what_a_model_without_weights_writes():
    model = small_model(n_layers=3, dtype="float64")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith(("W_O", "W_out", "W_E")):
                parameter.zero_()
    _, cache = model.run_with_cache(small_tokens())
    for layer in range(3):
        assert_equal_to(1e-12, cache["resid_pre", layer][0, 0], model.accumulated_bias(layer))
        assert_equal_to(1e-12, cache["resid_mid", layer][0, 0], model.accumulated_bias(layer, mlp_input=True))
    assert_equal_to(1e-12, cache["resid_post", 2][0, 0], model.accumulated_bias(3))


@pytest.mark.parametrize(
    ("fields", "arguments", "sentence"),
    [
        ({}, {"layer": 3}, "wanted a layer from 0 to 2; got 3; count layers from the first"),
        ({}, {"layer": -1}, "wanted a layer from 0 to 2; got -1; count layers from the first"),
        (
            {},
            {"layer": 2, "mlp_input": True},
            "wanted a layer from 0 to 1; got 2; count layers from the first",
        ),
        (
            {"attn_only": True},
            {"layer": 1, "mlp_input": True},
            "wanted an MLP that reads what attention has written; got a model in which there is none; "
            "leave mlp_input out",
        ),
    ],
)
def test_biases_of_layers_that_are_not_there_are_refused(fields: dict, arguments: dict, sentence: str):
    with pytest.raises(InputError) as raised:
        small_model(**fields).accumulated_bias(**arguments)
    assert str(raised.value) == sentence


@pytest.mark.parametrize(
    "changed", [{"use_normalization_before_and_after": True}, {"residual_multiplier": 0.5}]
)
def test_biases_that_do_not_add_up_are_refused(changed: dict):
    model = small_model()
    model.cfg = SimpleNamespace(n_layers=2, attn_only=False, norm_position="before", **changed)
    with pytest.raises(
        InputError, match=r"^wanted layers that add their biases to the residual stream as they"
    ):
        model.accumulated_bias(1)


@pytest.mark.parametrize("shape", [(4,), (2, 3)])
def test_directions_of_many_tokens(shape: tuple[int, ...]):
    model = small_model(d_vocab_out=5)
    tokens = torch.randint(0, 5, shape, generator=torch.Generator().manual_seed(0))
    got = model.tokens_to_residual_directions(tokens)
    assert got.shape == (*shape, 8)
    for token, direction in zip(tokens.flatten(), got.flatten(0, -2), strict=True):
        assert torch.equal(direction, model.W_U[:, token])


@pytest.mark.parametrize("token", [3, torch.tensor(3), torch.tensor([3]), torch.tensor([[3]]).int()], ids=str)
def test_the_direction_of_one_token_is_a_vector(token: int | Tensor):
    model = small_model()
    assert torch.equal(model.tokens_to_residual_directions(token), model.W_U[:, 3])


def test_a_direction_dotted_with_the_last_norm_is_the_logit():
    model = small_model(dtype="float64", normalization_type="LNPre")
    logits, cache = model.run_with_cache(small_tokens())
    direction = model.tokens_to_residual_directions(small_tokens())
    wanted = logits.gather(-1, small_tokens()[..., None])[..., 0] - model.b_U[small_tokens()]
    assert_equal_to(1e-12, (cache["normalized"] * direction).sum(-1), wanted)


def test_a_string_is_one_token_of_the_tokenizer():
    model = small_model()
    with pytest.raises(
        InputError, match=r"^wanted a model with a tokenizer, to read or write text; got one without"
    ):
        model.tokens_to_residual_directions(" the")
    model.to_single_token = {" the": 4}.__getitem__
    assert torch.equal(model.tokens_to_residual_directions(" the"), model.W_U[:, 4])


@pytest.mark.parametrize(
    ("tokens", "got"),
    [
        (11, "got 11;"),
        (-1, "got -1;"),
        (torch.tensor([0, 11]), "got torch.int64 of shape (2,);"),
        (torch.tensor([0, -1]), "got torch.int64 of shape (2,);"),
        (torch.tensor([0.0, 1.0]), "got torch.float32 of shape (2,);"),
        (torch.tensor([], dtype=torch.int64), "got torch.int64 of shape (0,);"),
        (True, "got True;"),
    ],
    ids=str,
)
def test_tokens_that_have_no_direction_are_refused(tokens: object, got: str):
    with as_users_run(), pytest.raises(InputError) as raised:
        small_model().tokens_to_residual_directions(tokens)
    assert str(raised.value).startswith(f"wanted tokens from 0 to 10; {got} check")


def test_head_labels():
    model = small_model(n_layers=3, n_heads=2)
    assert model.all_head_labels() == ["L0H0", "L0H1", "L1H0", "L1H1", "L2H0", "L2H1"]
    assert len(model.all_head_labels()) == len(model.W_Q.flatten(0, 1))
