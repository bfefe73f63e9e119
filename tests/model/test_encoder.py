"""The encoder against transformers' BertForPreTraining, and its hooks' names against TransformerLens 3.9's."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertForPreTraining

import unweave
from tests.core.unchecked import as_users_run
from tests.model.small import SIZES, assert_equal_to, small_config, small_tokens
from unweave.core.errors import HookError, InputError
from unweave.model.encoder import HookedEncoder

FIELDS = {
    **SIZES,
    "act_fn": "gelu",
    "attention_dir": "bidirectional",
    "positional_embedding_type": "standard",
}
RIGHT = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0, 0]])
TYPES = torch.tensor([[0, 0, 0, 1, 1, 1, 1]]).expand(3, 7)


def published(**fields: object) -> BertForPreTraining:
    """A small BERT of which nothing is left at zero or one."""
    config = BertConfig(
        vocab_size=11,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=7,
        **{"layer_norm_eps": 1e-5, **fields},
    )
    model, generator = BertForPreTraining(config).eval(), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def heads(linear: nn.Module) -> Tensor:
    """`[head * d_head, d_model]` as `[head, d_model, d_head]`."""
    return linear.get_parameter("weight").reshape(2, 4, 8).mT


def ours_of(theirs: BertForPreTraining, **fields: object) -> HookedEncoder:
    """The same weights in an encoder of ours."""
    model, weights = HookedEncoder({**FIELDS, **fields}), {}
    part = theirs.get_submodule

    def norm(name: str, module: str) -> None:
        weights[f"{name}.w"] = part(module).get_parameter("weight")
        weights[f"{name}.b"] = part(module).get_parameter("bias")

    def dense(name: str, module: str, letters: tuple[str, str]) -> None:
        weights[f"{name}.{letters[0]}"] = part(module).get_parameter("weight").mT
        weights[f"{name}.{letters[1]}"] = part(module).get_parameter("bias")

    tables = {
        "embed.W_E": "word",
        "pos_embed.W_pos": "position",
        "token_type_embed.W_token_type": "token_type",
    }
    for name, kind in tables.items():
        weights[f"embed.{name}"] = part(f"bert.embeddings.{kind}_embeddings").get_parameter("weight")
    norm("embed.ln", "bert.embeddings.LayerNorm")
    for layer in (0, 1):
        at, there = f"blocks.{layer}", f"bert.encoder.layer.{layer}"
        for letter, name in (("Q", "query"), ("K", "key"), ("V", "value")):
            module = part(f"{there}.attention.self.{name}")
            weights[f"{at}.attn.W_{letter}"] = heads(module)
            weights[f"{at}.attn.b_{letter}"] = module.get_parameter("bias").reshape(2, 4)
        output = part(f"{there}.attention.output.dense")
        weights[f"{at}.attn.W_O"] = output.get_parameter("weight").mT.reshape(2, 4, 8)
        weights[f"{at}.attn.b_O"] = output.get_parameter("bias")
        norm(f"{at}.ln1", f"{there}.attention.output.LayerNorm")
        dense(f"{at}.mlp", f"{there}.intermediate.dense", ("W_in", "b_in"))
        dense(f"{at}.mlp", f"{there}.output.dense", ("W_out", "b_out"))
        norm(f"{at}.ln2", f"{there}.output.LayerNorm")
    dense("pooler", "bert.pooler.dense", ("W", "b"))
    dense("mlm_head", "cls.predictions.transform.dense", ("W", "b"))
    norm("mlm_head.ln", "cls.predictions.transform.LayerNorm")
    dense("unembed", "cls.predictions.decoder", ("W_U", "b_U"))
    dense("nsp_head", "cls.seq_relationship", ("W", "b"))
    if model.cfg.tie_word_embeddings:
        del weights["unembed.W_U"]
    model.load_state_dict(weights)
    return model


CASES = [({}, {}), ({"hidden_act": "relu"}, {"act_fn": "relu"}), ({"layer_norm_eps": 0.1}, {"eps": 0.1})]


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("mask", [None, RIGHT, RIGHT.flip(1)], ids=["whole", "right", "left"])
@pytest.mark.parametrize("case", CASES, ids=["gelu", "relu", "eps"])
def test_it_is_bert(case: tuple[dict, dict], mask: Tensor | None, tied: bool):
    theirs = published(**case[0], tie_word_embeddings=tied)
    ours, tokens = ours_of(theirs, **case[1], tie_word_embeddings=tied), small_tokens()
    given = {"token_type_ids": TYPES, "one_zero_attention_mask": mask}
    logits, cache = ours.run_with_cache(tokens, **given)
    with torch.no_grad():
        wanted = theirs(tokens, token_type_ids=TYPES, attention_mask=mask, output_hidden_states=True)
    assert_equal_to(1e-5, logits, wanted.prediction_logits)
    assert_equal_to(1e-5, ours(tokens, **given), wanted.prediction_logits)
    assert_equal_to(1e-5, cache["hook_full_embed"], wanted.hidden_states[0])
    for layer in (0, 1):
        assert_equal_to(1e-5, cache["normalized_resid_post", layer], wanted.hidden_states[layer + 1])
    assert_equal_to(1e-5, ours(tokens, "next_sentence", **given), wanted.seq_relationship_logits)


def test_its_hooks_have_transformer_lens_names():
    block = [
        "hook_q_input",
        "hook_k_input",
        "hook_v_input",
        "hook_attn_out",
        "hook_mlp_in",
        "hook_mlp_out",
        "hook_resid_pre",
    ]
    block += ["hook_resid_mid", "hook_resid_post", "hook_normalized_resid_post"]
    block += [f"attn.hook_{site}" for site in ("k", "q", "v", "z", "attn_scores", "pattern", "result")]
    block += [f"{norm}.hook_{site}" for norm in ("ln1", "ln2") for site in ("scale", "normalized")]
    wanted = {
        f"blocks.{layer}.{name}" for layer in (0, 1) for name in [*block, "mlp.hook_pre", "mlp.hook_post"]
    }
    wanted |= {f"embed.hook_{site}" for site in ("embed", "pos_embed", "token_type_embed")}
    wanted |= {
        f"{norm}.hook_{site}" for norm in ("embed.ln", "mlm_head.ln") for site in ("scale", "normalized")
    }
    wanted |= {"unembed.hook_in", "unembed.hook_out"}
    wanted |= {"hook_full_embed", "pooler.hook_pooler_out", "nsp_head.hook_nsp_out"}
    ours = set(HookedEncoder(FIELDS).hook_dict)
    # It has one more in each layer.
    assert ours - wanted == {"blocks.0.hook_attn_in", "blocks.1.hook_attn_in"}
    assert wanted <= ours


def test_edits_and_what_is_computed_on_demand():
    model, tokens = HookedEncoder(FIELDS), small_tokens()
    names = [name for name in model.hook_dict if not name.startswith(("pooler", "nsp_head"))]
    logits, cache = model.run_with_cache(tokens, names_filter=names)
    assert_equal_to(1e-5, cache["blocks.1.attn.hook_result"].sum(2) + model.b_O[1], cache["attn_out", 1])
    edits = [("blocks.0.hook_mlp_in", lambda x, hook: 2 * x), ("blocks.1.hook_k_input", lambda x, hook: -x)]
    for edit in edits:
        assert not torch.allclose(model.run_with_hooks(tokens, fwd_hooks=[edit]), logits)
    assert_equal_to(1e-5, model(tokens), logits)
    with pytest.raises(HookError, match=r"pooler\.hook_pooler_out"):
        model.run_with_cache(tokens, names_filter=["pooler.hook_pooler_out"])
    pooled, cache = model.run_with_cache(tokens, "next_sentence", names_filter=["nsp_head.hook_nsp_out"])
    assert torch.equal(cache["nsp_head.hook_nsp_out"], pooled)


def test_gradients_reach_every_weight_and_a_seed_fixes_them():
    model = unweave.HookedEncoder(FIELDS)
    (model(small_tokens()).square().sum() + model(small_tokens(), "next_sentence").square().sum()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    again = HookedEncoder(FIELDS).state_dict()
    assert all(torch.equal(again[name], weight) for name, weight in model.state_dict().items())
    assert (model.mlm_head.W.std() > 0.1) & (model.W_E_pos.shape == (11 + 7, 8))
    assert model.cfg.norm_position == "stream"
    assert model.cfg.n_token_types == 2


REFUSED = [
    (
        {"attention_dir": "causal"},
        "wanted attention_dir='bidirectional' for a HookedEncoder; got 'causal'; set",
    ),
    ({"positional_embedding_type": "alibi"}, "wanted positional_embedding_type='standard' for a HookedEnc"),
    ({"logit_multiplier": 2.0}, "wanted logit_multiplier=1.0 for a HookedEncoder; got 2.0; set logit_multi"),
    ({"normalization_type": None}, "wanted norms, and an activation without one of its own, for a HookedEnc"),
    (
        {"act_fn": "solu_ln"},
        "wanted norms, and an activation without one of its own, for a HookedEncoder; got",
    ),
    (
        {"parallel_attn_mlp": True},
        "wanted parallel_attn_mlp=False with norm_position='stream'; got parallel_",
    ),
]


@pytest.mark.parametrize(("fields", "sentence"), REFUSED)
def test_what_is_no_encoder_is_refused(fields: dict, sentence: str):
    with as_users_run(), pytest.raises(InputError) as raised:
        HookedEncoder({**FIELDS, **fields})
    assert str(raised.value).startswith(sentence)


def test_the_config_given_is_left_alone_and_unknown_outputs_are_refused():
    cfg = small_config(**FIELDS)
    before = copy.deepcopy(dataclasses.asdict(cfg))
    model = HookedEncoder(cfg)
    assert dataclasses.asdict(cfg) == before
    with as_users_run(), pytest.raises(InputError) as raised:
        model(small_tokens(), "predictions")
    assert str(raised.value).startswith(
        "wanted return_type 'logits', 'next_sentence' or None; got 'predictions';"
    )
