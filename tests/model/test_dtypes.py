from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.model.features import FEATURES
from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.model.cache import ActivationCache
from unweave.model.run import Run
from unweave.model.saved import load


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("positions", ["none", "standard", "sinusoidal"])
def test_one_dtype_from_the_weights_to_the_logits(dtype: torch.dtype, positions: str):
    model = small_model(dtype=dtype, positional_embedding_type=positions)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    logits, cache = model.run_with_cache(small_tokens(), names_filter=list(model.hook_dict))
    # The inside of a norm is at least float32, as in TransformerLens: tests/model/test_norm.py.
    assert {value.dtype for name, value in cache.items() if ".ln" not in f".{name}"} == {dtype}
    assert logits.dtype == dtype


# A token may go to another expert where two are almost equal.
SMOOTH = {name: fields for name, fields in FEATURES.items() if "num_experts" not in fields}


# A product of two numbers with 8 significant bits (11 in float16), 10 of them in a row: a few percent.
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-5), ("bfloat16", 1e-1), ("float16", 2e-2)])
@pytest.mark.parametrize("fields", [{}, *SMOOTH.values()], ids=["plain", *SMOOTH])
def test_the_logits_are_those_of_float32(fields: dict, dtype: str, tolerance: float):
    tokens, mask = small_tokens(), torch.tensor([[1] * 7, [0, 0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1, 0]])
    single = small_model(**fields, seed=5)(tokens, attention_mask=mask)
    model = small_model(**fields, seed=5, dtype=dtype)
    logits = model(tokens, attention_mask=mask)
    assert logits.dtype == model.cfg.torch_dtype
    assert_equal_to(tolerance, logits, single, "no hook read")
    logits, _ = model.run_with_cache(tokens, names_filter=list(model.hook_dict), attention_mask=mask)
    assert_equal_to(tolerance, logits, single, "every hook read")


@pytest.mark.parametrize("fields", [FEATURES["experts"], FEATURES["multipliers"]])
def test_float16_trains_caches_saves_and_generates(fields: dict, tmp_path: Path):
    model, tokens = small_model(**fields, dtype="float16", n_ctx=9), small_tokens()
    loss, cache = model.run_with_cache(tokens, return_type="loss", incl_bwd=True)
    assert_equal_to(1e-2, loss, small_model(**fields, n_ctx=9)(tokens, return_type="loss"))
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())
    cache.get_full_resid_decomposition()
    cache.save(tmp_path / "cache")
    assert torch.equal(ActivationCache.load(tmp_path / "cache", model)["q", 1], cache["q", 1])
    model.save(tmp_path / "model")
    assert torch.equal(load(tmp_path / "model")(tokens), model(tokens))
    greedy = {"max_new_tokens": 2, "do_sample": False, "stop_at_eos": False}
    cached, uncached = (model.generate(tokens, **greedy, use_past_kv_cache=use) for use in (True, False))
    assert torch.equal(cached, uncached)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_norm_of_queries_and_keys_is_made_in_float32(dtype: torch.dtype):
    model = small_model(use_qk_norm=True, dtype=dtype, d_head=8, n_heads=2)
    # Their squares are beyond float16, and their mean is not what a norm of bf16 numbers would give.
    x = 300 * torch.randn(1, 3, 2, 8, generator=torch.Generator().manual_seed(4)).to(dtype)
    norm, seen = model.blocks[0].attn.q_norm, {}
    for point in ("scale", "normalized"):
        norm.get_submodule(f"hook_{point}").add_hook(lambda x, hook: seen.update({hook.name: x}))
    given = norm(x)
    exact = x.float() / (x.float().pow(2).mean(-1, keepdim=True) + 1e-5).sqrt()
    assert {value.dtype for value in seen.values()} == {torch.float32}
    assert seen["blocks.0.attn.q_norm.hook_scale"].shape == (1, 3, 2, 1)
    assert_equal_to(1e-6, seen["blocks.0.attn.q_norm.hook_normalized"], exact)
    assert torch.equal(given, exact.to(dtype) * norm.w)
    assert torch.equal(norm.quiet(x), given)


def test_float16_scores_do_not_overflow_before_they_are_scaled():
    model = small_model(dtype="float16", d_model=64, d_head=64)
    q = torch.full((1, 2, 1, 64), 40.0, dtype=torch.float16)  # 102,400 a product of two, 12,800 scaled
    run, attn = Run(2, q.device), model.blocks[0].attn
    with model.recording("blocks.0.attn.hook_attn_scores") as kept:
        explicit = attn.mix(q, q, q, run)
    assert kept["blocks.0.attn.hook_attn_scores"][0, 0, 1].tolist() == [12_800, 12_800]
    assert torch.equal(explicit, attn.mix(q, q, q, run))


def test_under_autocast_the_stream_and_the_heads_results_stay_float32():
    model, tokens = small_model(n_heads=2), small_tokens()
    plain = model(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        logits, cache = model.run_with_cache(tokens, names_filter=list(model.hook_dict))
    assert {value.dtype for value in cache.values()} == {torch.float32}
    assert not torch.equal(logits, plain), "the products were not in bf16"
    assert_equal_to(5e-2, logits, plain)
