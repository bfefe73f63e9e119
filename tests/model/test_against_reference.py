"""Every activation and the logits, against an implementation of the formulas that shares no code."""

from __future__ import annotations

import itertools

import pytest
import torch

from tests.model.reference import run_reference
from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.model.transformer import HookedTransformer

CASES = [
    {"n_heads": n_heads, "attn_only": attn_only, "normalization_type": norm, "positional_embedding_type": pos}
    for n_heads, attn_only, norm, pos in itertools.product(
        (1, 2), (False, True), ("LN", "RMS", None), ("none", "standard", "sinusoidal")
    )
]


def check(model: HookedTransformer) -> None:
    tokens, tolerance = small_tokens(), {"float32": 1e-5, "float64": 1e-12}[model.cfg.dtype]
    wanted_logits, wanted = run_reference(model.cfg.to_dict(), model.state_dict(), tokens)
    everything = list(model.hook_dict)
    logits, cache = model.run_with_cache(tokens, names_filter=everything)
    assert set(cache) == set(wanted) == set(everything)
    for name in everything:
        assert cache[name].dtype == model.cfg.torch_dtype
        assert_equal_to(tolerance, cache[name], wanted[name], name)
    assert_equal_to(tolerance, logits, wanted_logits, "logits, every hook read")
    assert_equal_to(tolerance, model(tokens), wanted_logits, "logits, no hook read")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join(map(str, case.values())))
def test_every_activation_and_the_logits(case: dict, dtype: str):
    check(small_model(**case, dtype=dtype))


@pytest.mark.parametrize("norm", ["LNPre", "RMSPre"])
def test_norms_without_weights(norm: str):
    check(small_model(normalization_type=norm))


@pytest.mark.parametrize("act_fn", ["relu", "gelu", "silu"])
def test_activation_functions(act_fn: str):
    check(small_model(act_fn=act_fn))


@pytest.mark.parametrize(
    "fields",
    [
        {"n_heads": 3},  # more heads than fit d_model
        {"d_model": 9, "d_head": 3, "positional_embedding_type": "sinusoidal"},  # no last cosine
        {"d_vocab_out": 5, "d_mlp": 6},
        {"n_layers": 0},
        {"n_layers": 3},
        {"eps": 0.5},
    ],
    ids=str,
)
def test_sizes(fields: dict):
    check(small_model(**fields, dtype="float64"))


def test_the_scale_of_attention_can_be_chosen():
    tokens, at = small_tokens(), "blocks.0.attn.hook_attn_scores"
    usual = small_model().run_with_cache(tokens)[1][at]
    larger = small_model(attn_scale=1.0).run_with_cache(tokens)[1][at]
    assert_equal_to(1e-5, larger, usual * 2.0)  # sqrt(d_head) = 2


def test_a_single_sequence_is_a_batch_of_one():
    model, tokens = small_model(), small_tokens()
    assert torch.equal(model(tokens[0]), model(tokens[:1]))
