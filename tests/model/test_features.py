"""Everything a config can say, against the reference: each alone, padded, and in pairs."""

from __future__ import annotations

import pytest
import torch

from tests.model.features import FEATURES, check_against_reference
from tests.model.small import small_model, small_tokens

LEFT = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1, 1]])
RIGHT = LEFT.flip(1)
INSIDE = torch.tensor([[1, 1, 0, 1, 1, 0, 1], [0, 1, 1, 0, 0, 1, 0], [1, 1, 1, 1, 1, 1, 1]])


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("feature", FEATURES)
def test_every_activation_and_the_logits(feature: str, dtype: str):
    check_against_reference(small_model(**FEATURES[feature], dtype=dtype), small_tokens())


@pytest.mark.parametrize("padding", [LEFT, RIGHT, INSIDE], ids=["left", "right", "inside"])
@pytest.mark.parametrize("feature", ["none", "standard", "sinusoidal", *FEATURES])
def test_with_padding(feature: str, padding: torch.Tensor):
    fields = FEATURES.get(feature, {"positional_embedding_type": feature})
    check_against_reference(small_model(**fields, dtype="float64"), small_tokens(), padding)


PAIRS = [
    ("grouped", "rotary"),
    ("grouped", "alibi"),
    ("grouped", "soft caps"),
    ("grouped", "window"),
    ("parallel", "gated"),
    ("parallel", "rotary, adjacent"),
    ("window", "t5"),
    ("window", "shortformer"),
    ("qk norm", "gated"),
    ("qk norm", "soft caps"),
    ("experts", "parallel"),
    ("post norms", "gated"),
    ("tied", "multipliers"),
    ("tied", "embedding norm"),
    ("token types", "shortformer"),
    ("solu_ln", "parallel"),
]


@pytest.mark.parametrize("pair", PAIRS, ids=" + ".join)
def test_in_pairs(pair: tuple[str, str]):
    fields = {**FEATURES[pair[0]], **FEATURES[pair[1]]}
    check_against_reference(small_model(**fields, dtype="float64"), small_tokens(), LEFT)


def test_token_types_are_added_and_are_0_if_none_are_given():
    model, tokens = small_model(n_token_types=3, dtype="float64"), small_tokens()
    types = torch.arange(7).remainder(3).expand(3, 7)
    check_against_reference(model, tokens, types=types)
    assert torch.equal(model(tokens), model(tokens, token_type_ids=torch.zeros_like(tokens)))
    assert not torch.equal(model(tokens), model(tokens, token_type_ids=types))


@pytest.mark.parametrize("attn_only", ["rotary", "alibi", "grouped", "window", "soft caps", "post norms"])
def test_without_mlps(attn_only: str):
    model = small_model(**FEATURES[attn_only], attn_only=True, dtype="float64")
    check_against_reference(model, small_tokens(), LEFT)
