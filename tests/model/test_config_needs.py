"""Fields that mean something only together, old switches, and what a config file cannot hold."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch

import unweave
from tests.core.unchecked import as_users_run
from tests.model.features import FEATURES
from tests.model.small import small_config, small_model, small_tokens
from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.config_needs import NEEDS

ALONE = [
    (
        {"window_size": 3},
        "wanted window_size left out, or use_local_attn=True with it; got window_size=3 alone;",
    ),
    ({"attn_types": ["local", "local"]}, "wanted attn_types left out, or use_local_attn=True with it; got"),
    (
        {"use_local_attn": True},
        "wanted a whole number of at least 1 for window_size; got None; set window_size",
    ),
    (
        {"use_local_attn": True, "window_size": 2},
        "wanted one of 'global' and 'local' for each of 2 layers in attn_types; got none; set both",
    ),
    (
        {"use_local_attn": True, "window_size": 2, "attn_types": ["near", "local"]},
        "wanted each of attn_types to be one of 'global', 'local'; got 'near'; set",
    ),
    (
        {"rotary_dim": 2},
        "wanted rotary_dim left out, or positional_embedding_type='rotary' with it; got rotary_dim=2",
    ),
    ({"rotary_base": 500}, "wanted rotary_base left out, or positional_embedding_type='rotary' with it;"),
    (
        {**FEATURES["rotary"], "rotary_dim": 3},
        "wanted an even rotary_dim of at most d_head=4; got 3; set both",
    ),
    (
        {**FEATURES["rotary"], "rotary_dim": 6},
        "wanted an even rotary_dim of at most d_head=4; got 6; set both",
    ),
    (
        {**FEATURES["rotary"], "rotary_base_local": 9},
        "wanted rotary_base_local left out, or 'local' among attn_types",
    ),
    (
        {**FEATURES["rotary"], "NTK_by_parts_factor": 9.0},
        "wanted NTK_by_parts_factor left out, or use_NTK_by_parts",
    ),
    (
        {**FEATURES["rotary"], "yarn_factor": 9.0},
        "wanted yarn_factor left out, or use_yarn_rope=True with it;",
    ),
    (
        {**FEATURES["rotary"], "use_yarn_rope": True, "rotary_scaling_factor": 2.0},
        "wanted at most one of rotary_scaling_factor, use_NTK_by_parts_rope, use_yarn_rope and use_longrope; got 2; set both",
    ),
    (
        {"positional_embedding_type": "relative_positional_bias"},
        "wanted a whole number of at least 4 for relative_att",
    ),
    (
        {"relative_attention_num_buckets": 8},
        "wanted relative_attention_num_buckets left out, or positional_emb",
    ),
    ({"n_heads": 2, "n_key_value_heads": 3}, "wanted n_key_value_heads to divide n_heads=2; got 3; set both"),
    (
        {"ungroup_grouped_query_attention": True},
        "wanted ungroup_grouped_query_attention left out, or n_key_value_heads",
    ),
    ({"attn_only": True, "gated_mlp": True}, "wanted gated_mlp left out, or attn_only=False with it;"),
    (
        {"attn_only": True, "parallel_attn_mlp": True},
        "wanted parallel_attn_mlp left out, or attn_only=False with it",
    ),
    (
        {"attn_only": True, "use_hook_mlp_in": True},
        "wanted use_hook_mlp_in left out, or attn_only=False with it;",
    ),
    (
        {"gated_mlp": True, "act_fn": "solu_ln"},
        "wanted gated_mlp=False with act_fn='solu_ln'; got gated_mlp=True;",
    ),
    (
        {"num_experts": 3},
        "wanted num_experts and experts_per_token together; got no experts_per_token; set both",
    ),
    (
        {"experts_per_token": 3},
        "wanted num_experts and experts_per_token together; got no num_experts; set both",
    ),
    (
        {"num_experts": 2, "experts_per_token": 3},
        "wanted at most num_experts=2 for experts_per_token; got 3;",
    ),
    (
        {"num_experts": 2, "experts_per_token": 1},
        "wanted gated_mlp=True with num_experts: experts are gated; got",
    ),
    (
        {"norm_topk_prob": True},
        "wanted norm_topk_prob left out, or num_experts with it; got norm_topk_prob=True alone",
    ),
    (
        {"use_attn_scale": False, "attn_scale": 3.0},
        "wanted attn_scale left out, or use_attn_scale=True with it; got 3.0",
    ),
    (
        {"attn_scores_soft_cap": 0.0},
        "wanted a finite number above 0, or -1.0 for none, for attn_scores_soft_cap; got 0.0",
    ),
    ({"residual_multiplier": 0}, "wanted a finite number other than 0 for residual_multiplier; got 0; set"),
    (
        {"tie_word_embeddings": True, "d_vocab_out": 5},
        "wanted d_vocab_out=11 with tie_word_embeddings; got 5; set",
    ),
    (
        {"without_biases": ["b_q"]},
        "wanted names from b_Q, b_K, b_V, b_O, b_in, b_out, b_U in without_biases; got 'b_q'",
    ),
    (
        {"normalization_type": None, "use_normalization_before_and_after": True},
        "wanted use_normalization_before_and_after left out, or a normalization_type with it; got",
    ),
    (
        {"attention_dir": "backward"},
        "wanted attention_dir to be one of 'causal', 'bidirectional'; got 'backward'; set",
    ),
    (
        {"gate_biases": True},
        "wanted gate_biases left out, or gated_mlp=True with it; got gate_biases=True al",
    ),
    (
        {**FEATURES["experts"], "gate_biases": True},
        "wanted gate_biases left out, or num_experts=None with it",
    ),
    ({"clip_qkv": 0}, "wanted a finite number above 0 for clip_qkv; got 0; set clip_qkv"),
    (
        {"qk_norm_type": "LN"},
        "wanted qk_norm_type left out, or use_qk_norm=True with it; got qk_norm_type='LN'",
    ),
    (
        {"qk_norm_scope": "all"},
        "wanted qk_norm_scope to be one of 'head', 'each_head', 'all_heads'; got 'all'; set",
    ),
    (
        {"norm_position": "post"},
        "wanted norm_position to be one of 'before', 'after', 'stream'; got 'post'; set",
    ),
    (
        {"norm_position": "after", "normalization_type": None},
        "wanted norm_position left out, or a normalization_type with it; got norm_position='after' alone; set",
    ),
    (
        {"norm_position": "after", "use_normalization_before_and_after": True},
        "wanted use_normalization_before_and_after=False with norm_position='after'; got use_normalization_be",
    ),
    (
        {"norm_position": "stream", "parallel_attn_mlp": True},
        "wanted parallel_attn_mlp=False with norm_position='stream'; got parallel_attn_mlp=True; set both",
    ),
    (
        {"norm_position": "stream", "attn_only": True},
        "wanted attn_only=False with norm_position='stream'; got",
    ),
    (
        {"norm_position": "stream", "final_rms": True},
        "wanted final_rms=False with norm_position='stream'; got",
    ),
    (
        {"rotary_layers": [True, True]},
        "wanted rotary_layers left out, or positional_embedding_type='rotary' wi",
    ),
    (
        {**FEATURES["rotary"], "rotary_layers": [True]},
        "wanted one of True and False for each of 2 layers in rotary_layers; got 1; set both",
    ),
    (
        {**FEATURES["rotary"], "rotary_layers": [1, 0]},
        "wanted each of rotary_layers to be one of True, False; got 1; set",
    ),
    (
        {**FEATURES["rotary, two bases"], "rotary_scaling_local": True},
        "wanted rotary_scaling_local left out, or rotary positions that are stretched with it; got",
    ),
    (
        {**FEATURES["rotary"], "rotary_scaling_factor": 2.0, "rotary_scaling_local": True},
        "wanted rotary_scaling_local left out, or 'local' among attn_types with it; got",
    ),
    (
        {**FEATURES["rotary, yarn, global"], "rotary_scaling_local": True},
        "wanted yarn_global_attn_only in place of rotary_scaling_local with use_yarn_rope; got both; set both",
    ),
    ({"gated_mlp": 1}, "wanted gated_mlp to be one of True, False; got 1; set gated_mlp in"),
    (
        {"n_token_types": -1},
        "wanted a whole number of at least 0 for n_token_types; got -1; set n_token_types in",
    ),
]


@pytest.mark.parametrize(("fields", "sentence"), ALONE)
def test_what_would_be_ignored_or_contradicts_itself_is_refused(fields: dict, sentence: str):
    with as_users_run(), pytest.raises(InputError) as raised:
        small_config(**fields)
    assert str(raised.value).startswith(sentence)


def test_every_field_that_needs_another_is_a_field():
    known = {field.name for field in dataclasses.fields(HookedTransformerConfig)}
    assert {name for need in NEEDS for name in need.fields} <= known


def test_positions_can_be_assigned_back_and_forth():
    config = small_config()
    config.positional_embedding_type = "rotary"
    assert config.rotary_dim == 4
    config.positional_embedding_type = "alibi"
    assert config.rotary_dim is None


def test_two_fields_can_be_set_at_once():
    config = dataclasses.replace(small_config(), use_local_attn=True, window_size=2, attn_types=["local"] * 2)
    assert config.attn_types == ("local", "local")
    assert [config.layer_is_local(layer) for layer in (0, 1)] == [True, True]


@pytest.mark.parametrize("feature", [name for name in FEATURES if name != "a function"])
def test_configs_survive_json_and_models_their_folder(feature: str, tmp_path: Path):
    model, tokens = small_model(**FEATURES[feature]), small_tokens()
    again = HookedTransformerConfig.from_dict(json.loads(json.dumps(model.cfg.to_dict())))
    assert again == model.cfg
    model.save(tmp_path / "model")
    loaded = unweave.load(tmp_path / "model")
    assert torch.equal(loaded(tokens), model(tokens))


def test_a_model_whose_activation_is_a_function_is_not_saved(tmp_path: Path):
    with pytest.raises(InputError) as raised:
        small_model(act_fn=torch.sin).save(tmp_path / "model")
    assert str(raised.value) == (
        "wanted an activation that has a name, to save the model; got act_fn=sin, a function; "
        "save model.state_dict() yourself, and give the function again when you load it"
    )
    assert not list(tmp_path.iterdir())


def test_biases_that_are_off_are_zero_and_not_trained():
    model = small_model(without_biases=["b_Q", "b_out"], n_heads=2)
    names = dict(model.named_parameters())
    assert not [name for name in names if name.endswith(("b_Q", "b_out"))]
    assert len([name for name in names if name.endswith(("b_K", "b_in"))]) == 4
    assert model.b_Q.shape == (2, 2, 4)
    assert not model.b_Q.any()
    assert not model.b_out.any()
    assert not [name for name in model.state_dict() if name.endswith("b_Q")]


def test_tied_embeddings_are_one_parameter():
    model, tokens = small_model(tie_word_embeddings=True), small_tokens()
    assert [name for name, _ in model.named_parameters() if name.endswith(("W_E", "W_U"))] == ["embed.W_E"]
    assert torch.equal(model.W_U, model.W_E.t())
    model(tokens).sum().backward()
    unused = [token for token in range(11) if token not in tokens]
    assert unused or model.W_E.grad.any()
    assert model.W_E.grad[unused].any(-1).all(), "those that are not read are still unembedded"
