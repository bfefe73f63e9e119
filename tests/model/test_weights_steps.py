"""What each step promises of its weights, by hand and by formula; and mistakes that would be seen."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from tests.model.small import assert_equal_to, small_config, small_model, small_tokens
from unweave.core.errors import InputError
from unweave.model.transformer import HookedTransformer
from unweave.model.weights import (
    center_unembed,
    center_writing_weights,
    fold_layer_norm,
    fold_value_biases,
    process_weights,
    refactor_factored_attn_matrices,
)
from unweave.model.weights.refusals import require_valid


def double(**fields: object) -> HookedTransformer:
    return small_model(**{"n_heads": 2, "dtype": "float64", **fields})


def log_probs(model: HookedTransformer) -> Tensor:
    return model(small_tokens()).detach().log_softmax(-1)


def difference(model: HookedTransformer, other: HookedTransformer) -> float:
    return (log_probs(model) - log_probs(other)).abs().max().item()


def test_folding_by_hand():
    # w (2, 3), b (1, -1), W_U ((1, 0), (5, 4)), b_U (10, 20): w W is ((2, 0), (15, 12)), less its
    # columns' means 8.5 and 6; b W is (1 - 5, -4).
    model = HookedTransformer(
        small_config(n_layers=0, d_model=2, d_head=2, d_vocab=2, attn_only=True, dtype="float64")
    )
    with torch.no_grad():
        model.ln_final.w.copy_(torch.tensor([2.0, 3.0]))
        model.ln_final.b.copy_(torch.tensor([1.0, -1.0]))
        model.W_U.copy_(torch.tensor([[1.0, 0.0], [5.0, 4.0]]))
        model.b_U.copy_(torch.tensor([10.0, 20.0]))
    new = fold_layer_norm(model)
    assert new.cfg.normalization_type == "LNPre"
    assert new.W_U.tolist() == [[2 - 8.5, 0 - 6], [15 - 8.5, 12 - 6]]
    assert new.b_U.tolist() == [10 + 1 - 5, 20 - 4]


def test_folding_layer_norm_every_reader():
    model = double(positional_embedding_type="standard")
    new = fold_layer_norm(model)
    assert not [name for name in new.state_dict() if ".ln" in f".{name}"]
    for layer, block in enumerate(model.blocks):
        for part, norm, pairs in [
            (block.attn, block.ln1, [("W_Q", "b_Q"), ("W_K", "b_K"), ("W_V", "b_V")]),
            (block.mlp, block.ln2, [("W_in", "b_in")]),
        ]:
            for matrix, bias in pairs:
                W, b = getattr(part, matrix), getattr(part, bias)
                scaled = norm.w[:, None] * W
                assert_equal_to(1e-12, getattr(new, matrix)[layer], scaled - scaled.mean(-2, keepdim=True))
                assert_equal_to(1e-12, getattr(new, bias)[layer], b + norm.b @ W)
    for name in ("W_E", "W_pos", "W_O", "b_O", "W_out", "b_out"):
        assert torch.equal(getattr(new, name), getattr(model, name))


def test_folding_rms_scales_and_does_nothing_else():
    model = double(normalization_type="RMS")
    new = fold_layer_norm(model)
    assert new.cfg.normalization_type == "RMSPre"
    for layer, block in enumerate(model.blocks):
        assert_equal_to(1e-12, new.W_K[layer], block.ln1.w[:, None] * block.attn.W_K)
        assert_equal_to(1e-12, new.W_in[layer], block.ln2.w[:, None] * block.mlp.W_in)
    assert_equal_to(1e-12, new.W_U, model.ln_final.w[:, None] * model.W_U)
    for name in ("b_Q", "b_K", "b_V", "b_O", "b_in", "b_out", "b_U"):
        assert torch.equal(getattr(new, name), getattr(model, name))


def test_the_hooks_inside_a_folded_norm_stay_what_they_were():
    model = double()
    tokens = small_tokens()
    _, before = model.run_with_cache(tokens)
    _, after = fold_layer_norm(model).run_with_cache(tokens)
    assert set(after) == set(before)
    for name in before:
        # What goes into the unembedding is without the norm's weights now.
        if not name.startswith("unembed."):
            assert_equal_to(1e-10, after[name], before[name], name)


def test_centred_writing():
    model = double(positional_embedding_type="standard")
    new = center_writing_weights(model)
    for name in ("W_E", "W_pos", "W_O", "b_O", "W_out", "b_out"):
        weight = getattr(model, name)
        assert weight.mean(-1).abs().max() > 1e-3
        assert_equal_to(1e-12, getattr(new, name), weight - weight.mean(-1, keepdim=True))
    for name in ("W_Q", "W_K", "W_V", "b_V", "W_in", "W_U", "b_U"):
        assert torch.equal(getattr(new, name), getattr(model, name))
    _, cache = new.run_with_cache(small_tokens())
    for site in ("resid_pre", "resid_mid", "resid_post"):
        assert cache[site, 1].mean(-1).abs().max() < 1e-14


def test_centred_unembedding():
    model = double(normalization_type=None)
    new = center_unembed(model)
    logits = model(small_tokens())
    assert_equal_to(1e-12, new(small_tokens()), logits - logits.mean(-1, keepdim=True))


def test_folded_value_biases():
    model = double()
    new = fold_value_biases(model)
    assert not new.b_V.any()
    for layer in range(2):
        wanted = model.b_O[layer] + sum(model.b_V[layer, head] @ model.W_O[layer, head] for head in (0, 1))
        assert_equal_to(1e-12, new.b_O[layer], wanted)
    # Each head's result no longer has a part that is the same everywhere.
    tokens, name = small_tokens(), "blocks.1.attn.hook_result"
    before, after = (each.run_with_cache(tokens, names_filter=name)[1][name] for each in (model, new))
    constant = torch.einsum("he,hed->hd", model.b_V[1], model.W_O[1])
    assert_equal_to(1e-10, after, before - constant)


def test_refactored_attention():
    model = double()
    new = refactor_factored_attn_matrices(model)
    for layer in range(2):
        for head in range(2):
            assert_equal_to(1e-10, new.OV[layer, head].AB, model.OV[layer, head].AB)
            W_O = new.W_O[layer, head]
            assert_equal_to(1e-12, W_O @ W_O.T, torch.eye(4, dtype=torch.float64))
            S = torch.linalg.svdvals(model.OV[layer, head].AB)[:4]
            assert_equal_to(1e-10, new.W_V[layer, head].norm(dim=0), S)
            # With a row of biases below: the product that decides the scores, and even factors of it.
            old_q, old_k, new_q, new_k = (
                torch.cat([getattr(each, f"W_{n}")[layer, head], getattr(each, f"b_{n}")[layer, head][None]])
                for each in (model, new)
                for n in "QK"
            )
            assert_equal_to(1e-10, new_q @ new_k.T, old_q @ old_k.T)
            S = torch.linalg.svdvals(old_q @ old_k.T)[:4].diag()
            assert_equal_to(1e-10, new_q.T @ new_q, S)
            assert_equal_to(1e-10, new_k.T @ new_k, S)
    assert not new.b_V.any()
    tokens, name = small_tokens(), "blocks.1.attn.hook_attn_scores"
    before, after = (each.run_with_cache(tokens, names_filter=name)[1][name] for each in (model, new))
    assert_equal_to(1e-10, after, before)


def test_the_usual_steps_and_their_order_do_not_undo_each_other():
    new = process_weights(double(positional_embedding_type="standard"), refactor_factored_attn_matrices=True)
    assert new.cfg.normalization_type == "LNPre"
    assert not new.b_V.any()
    for name in ("W_E", "W_pos", "W_O", "b_O", "W_out", "b_out", "W_U", "b_U"):
        assert getattr(new, name).mean(-1).abs().max() < 1e-14, name
    for name in ("W_Q", "W_K", "W_V", "W_in"):
        assert getattr(new, name).mean(-2).abs().max() < 1e-14, name


MISTAKES = {
    "the norm's bias forgotten in b_Q": lambda new, old: new.blocks[1].attn.b_Q.copy_(old.b_Q[1]),
    "the norm's bias forgotten in b_in": lambda new, old: new.blocks[0].mlp.b_in.copy_(old.b_in[0]),
    "the norm's bias forgotten in b_U": lambda new, old: new.unembed.b_U.copy_(old.b_U),
    "its bias through the scaled weights": lambda new, old: new.blocks[0].mlp.b_in.copy_(
        old.b_in[0] + old.blocks[0].ln2.b @ (old.blocks[0].ln2.w[:, None] * old.W_in[0])
    ),
    "its weight forgotten in W_V": lambda new, old: new.blocks[0].attn.W_V.copy_(old.W_V[0]),
    "its weight along the wrong dimension": lambda new, old: new.blocks[0].attn.W_Q.copy_(
        old.W_Q[0] * old.blocks[0].ln1.w[:4]
    ),
    "the value bias of one head only": lambda new, old: new.blocks[0].attn.b_O.sub_(
        (old.b_V[0, 1] + old.blocks[0].ln1.b @ old.W_V[0, 1]) @ old.W_O[0, 1]
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_folding_is_seen(mistake: str):
    model = double()
    new = process_weights(model, center_writing_weights=False, center_unembed=False)
    assert difference(new, model) < 1e-10
    with torch.no_grad():
        MISTAKES[mistake](new, model)
    assert difference(new, model) > 1e-3


def test_not_centring_the_readers_is_no_mistake_in_the_output_but_in_the_weights():
    # Log-probabilities can't tell: the norm's output is centred. So the weights themselves are looked at.
    model = double()
    new = fold_layer_norm(model)
    with torch.no_grad():
        new.blocks[0].attn.W_Q += 1.0
    assert difference(new, model) < 1e-10
    assert new.W_Q[0].mean(-2).abs().max() > 0.5


@pytest.mark.parametrize(
    ("step", "field", "value", "sentence"),
    [
        ("fold_ln", "positional_embedding_type", "shortformer", "norms whose output goes to the weights"),
        ("center_writing_weights", "final_rms", True, "a final LayerNorm, which takes the mean away"),
        ("center_unembed", "output_logits_soft_cap", 30.0, "logits that may be shifted together"),
        ("fold_value_biases", "use_attention_sinks", True, "rows of attention that sum to one"),
        ("fold_value_biases", "clip_qkv", 8.0, "values that are not clipped"),
        (
            "refactor_factored_attn_matrices",
            "positional_embedding_type",
            "rotary",
            "queries and keys that meet as they are",
        ),
        ("refactor_factored_attn_matrices", "use_qk_norm", True, "queries and keys that meet as they are"),
        ("refactor_factored_attn_matrices", "clip_qkv", 8.0, "queries and keys that meet as they are"),
        (
            "refactor_factored_attn_matrices",
            "n_key_value_heads",
            2,
            "heads with keys and values of their own",
        ),
        ("refactor_factored_attn_matrices", "use_attention_sinks", True, "rows of attention that sum to one"),
    ],
)
def test_refusals_by_field(step: str, field: str, value: object, sentence: str):
    plain = {"normalization_type": "LN", "positional_embedding_type": "none", "output_logits_soft_cap": -1.0}
    plain |= {"final_rms": False, "use_qk_norm": False, "clip_qkv": None, "n_key_value_heads": None}
    require_valid(step, SimpleNamespace(**plain))
    with pytest.raises(InputError) as raised:
        require_valid(step, SimpleNamespace(**{**plain, field: value}))
    assert str(raised.value).startswith(f"wanted {sentence}")
    assert str(raised.value).endswith(f" for {step}; got {field}={value!r}; leave {step} out")
