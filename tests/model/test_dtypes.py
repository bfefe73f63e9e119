from __future__ import annotations

import pytest
import torch

from tests.model.small import assert_equal_to, small_model, small_tokens


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("positions", ["none", "standard", "sinusoidal"])
def test_one_dtype_from_the_weights_to_the_logits(dtype: torch.dtype, positions: str):
    model = small_model(dtype=dtype, positional_embedding_type=positions)
    assert {parameter.dtype for parameter in model.parameters()} == {dtype}
    logits, cache = model.run_with_cache(small_tokens(), names_filter=list(model.hook_dict))
    # The inside of a norm is at least float32, as in TransformerLens: tests/model/test_norm.py.
    assert {value.dtype for name, value in cache.items() if ".ln" not in f".{name}"} == {dtype}
    assert logits.dtype == dtype


# A product of two numbers with 8 significant bits, 10 of them in a row: a few percent.
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-5), ("bfloat16", 5e-2)])
def test_the_logits_are_those_of_float32(dtype: str, tolerance: float):
    single = small_model(seed=5)(small_tokens())
    assert_equal_to(tolerance, small_model(seed=5, dtype=dtype)(small_tokens()), single)


def test_under_autocast_the_stream_and_the_heads_results_stay_float32():
    model, tokens = small_model(n_heads=2), small_tokens()
    plain = model(tokens)
    with torch.autocast("cpu", torch.bfloat16):
        logits, cache = model.run_with_cache(tokens, names_filter=list(model.hook_dict))
    assert {value.dtype for value in cache.values()} == {torch.float32}
    assert not torch.equal(logits, plain), "the products were not in bf16"
    assert_equal_to(5e-2, logits, plain)
