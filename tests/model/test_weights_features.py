"""The steps on what a config may say beyond norms and positions; those features that this config knows."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer
from unweave.model.weights import fold_layer_norm, fold_value_biases, process_weights

STEPS = (
    "fold_ln",
    "center_writing_weights",
    "center_unembed",
    "fold_value_biases",
    "refactor_factored_attn_matrices",
)
FOLD, WRITING, UNEMBED, VALUES, REFACTOR = STEPS
ROTARY = {"positional_embedding_type": "rotary"}
EXPERTS = {"num_experts": 4, "experts_per_token": 2, "gated_mlp": True, "act_fn": "silu", "d_mlp": 6}
BIASES = ["b_Q", "b_K", "b_V", "b_O", "b_in", "b_out", "b_U"]

# What a config says, and the steps that are refused under LayerNorm; under RMS, centring as well.
FEATURES: list[tuple[dict[str, Any], set[str]]] = [
    ({"gated_mlp": True, "act_fn": "silu"}, {FOLD}),
    (EXPERTS, {FOLD}),
    ({"parallel_attn_mlp": True}, set()),
    ({"n_heads": 4, "n_key_value_heads": 2}, {REFACTOR}),
    ({"n_heads": 3, "n_key_value_heads": 1, "without_biases": ["b_K", "b_V"]}, {REFACTOR}),
    ({"without_biases": BIASES}, set()),
    ({"without_biases": ["b_K"]}, set()),
    ({"tie_word_embeddings": True}, set()),
    ({"gated_mlp": True, "act_fn": "silu", "gate_biases": True}, set()),
    ({"use_qk_norm": True}, {REFACTOR}),
    ({"use_qk_norm": True, "qk_norm_type": "LN", "qk_norm_scope": "each_head"}, {REFACTOR}),
    ({"use_qk_norm": True, "qk_norm_scope": "all_heads"}, {REFACTOR}),
    ({"clip_qkv": 0.5}, {VALUES, REFACTOR}),
    ({"norm_position": "after"}, {FOLD, WRITING}),
    ({"norm_position": "stream"}, {FOLD, WRITING}),
    ({"rotary_dim": 4, **ROTARY}, {REFACTOR}),
    ({"use_normalization_before_and_after": True}, set()),
    ({"final_rms": True}, {WRITING}),
    ({"post_embedding_ln": True}, set()),
    ({"output_logits_soft_cap": 2.0, "attn_scores_soft_cap": 1.5}, {UNEMBED}),
    ({"embedding_scale": 3.0, "residual_multiplier": 0.5, "logit_multiplier": 0.25}, set()),
    ({"attention_dir": "bidirectional"}, set()),
    ({"scale_attn_by_inverse_layer_idx": True}, set()),
    # Values of fields that were there before: rotary_dim tells the configs that know them.
    ({"positional_embedding_type": "shortformer", "rotary_dim": None}, {FOLD}),
    ({"positional_embedding_type": "alibi", "rotary_dim": None}, set()),
    ({"act_fn": "solu_ln", "rotary_dim": None}, set()),
]
KNOWN = {field.name for field in dataclasses.fields(HookedTransformerConfig)}
HERE = [
    pytest.param(norm, fields, refused, id=f"{norm}-{'-'.join(map(str, fields.items()))}")
    for fields, refused in FEATURES
    for norm in ("LN", "RMS")
    if set(fields) <= KNOWN and not ("final_rms" in fields and norm == "RMS")
]


@pytest.mark.parametrize(("norm", "fields", "refused"), HERE)
def test_each_step_keeps_the_log_probabilities_or_is_refused(
    norm: str, fields: dict[str, Any], refused: set[str]
):
    model = small_model(**{"n_heads": 2, "normalization_type": norm, "dtype": "float64", **fields})
    tokens, valid = small_tokens(), []
    wanted = model(tokens).log_softmax(-1)
    if norm == "RMS":
        # There is no bias that a gate could not take, and no mean that is taken away.
        refused = (refused - {FOLD} if "gated_mlp" in fields else refused) | {WRITING}
    for step in STEPS:
        only = {name: name == step for name in STEPS}
        if step in refused:
            with pytest.raises(InputError, match=rf"leave {step} out"):
                process_weights(model, **only)
        else:
            valid.append(step)
            assert_equal_to(1e-10, process_weights(model, **only)(tokens).log_softmax(-1), wanted, step)
    together = process_weights(model, **{step: step in valid for step in STEPS})
    assert_equal_to(1e-10, together(tokens).log_softmax(-1), wanted)


def without_bias(model: HookedTransformer, *names: str) -> HookedTransformer:
    """The model with these biases zero, and no parameters."""
    for name in names:
        part, _, bias = name.rpartition(".")
        module = model.get_submodule(part)
        zeros = torch.zeros_like(module.get_parameter(bias))
        delattr(module, bias)
        module.register_buffer(bias, zeros, persistent=False)
    return model


def test_a_bias_that_is_switched_off_is_switched_on_where_something_is_to_be_added():
    model = without_bias(
        small_model(dtype="float64"),
        *(f"blocks.{layer}.attn.{b}" for layer in (0, 1) for b in ("b_Q", "b_O")),
    )
    with torch.no_grad():
        model.blocks[1].ln1.b.zero_()
    wanted = model(small_tokens()).log_softmax(-1)
    for new in (fold_layer_norm(model), fold_value_biases(model)):
        assert_equal_to(1e-10, new(small_tokens()).log_softmax(-1), wanted)
    new = fold_layer_norm(model)
    assert_equal_to(1e-12, new.b_Q[0], model.blocks[0].ln1.b @ model.W_Q[0])
    assert not new.b_Q[1].any()
    assert_equal_to(
        1e-12, fold_value_biases(model).b_O[1], torch.einsum("he,hed->d", model.b_V[1], model.W_O[1])
    )
