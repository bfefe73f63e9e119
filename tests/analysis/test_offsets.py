"""Attention at one offset: read, and taken out in four ways, against loops over single positions."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import Tensor

from tests.analysis.models import assert_equal, no_hooks_left, random_model, random_tokens
from unweave.analysis.offsets import REMOVALS, Removal, attention_by_offset, offset_write, remove_offset
from unweave.core.errors import InputError
from unweave.model.cache import ActivationCache

MODEL, TOKENS = random_model(), random_tokens()
_, CLEAN = MODEL.run_with_cache(TOKENS)
MEAN_V = torch.randn(6, 2, 3, generator=torch.Generator().manual_seed(5), dtype=torch.float64)


def test_attention_by_offset_by_hand():
    pattern = torch.tensor(
        [[1.0, 0.0, 0.0, 0.0], [0.9, 0.1, 0.0, 0.0], [0.5, 0.3, 0.2, 0.0], [0.1, 0.2, 0.4, 0.3]]
    )
    # Without key 0: offset 0 has 0.1, 0.2, 0.3; offset 1 has 0.3, 0.4; offset 2 has 0.2.
    assert attention_by_offset(pattern, 2).tolist() == pytest.approx([0.2, 0.35, 0.2])
    both = attention_by_offset(torch.stack([pattern, torch.eye(4)])[None], 1)
    assert both.shape == (1, 2, 2)
    assert both[0, 1].tolist() == [1.0, 0.0]
    for most in (3, -1):
        with pytest.raises(InputError, match=f"wanted most from 0 to 2; got {most}"):
            attention_by_offset(pattern, most)


@pytest.mark.parametrize("layer", [0, 1])
def test_writes_of_all_offsets_and_the_bias_are_the_attentions_output(layer: int):
    total = sum(offset_write(MODEL, CLEAN, layer, offset) for offset in range(6))
    assert_equal(total + MODEL.b_O[layer], CLEAN["attn_out", layer])


def test_the_write_of_one_offset_by_hand():
    found = offset_write(MODEL, CLEAN, 1, 2)
    assert (found[:, :2] == 0).all()
    for b in range(4):
        for i in range(2, 6):
            heads = [
                CLEAN["pattern", 1][b, h, i, i - 2] * CLEAN["v", 1][b, i - 2, h] @ MODEL.W_O[1, h]
                for h in (0, 1)
            ]
            assert_equal(found[b, i], heads[0] + heads[1])


def z_by_loops(how: Removal, offset: int) -> Tensor:
    scores, pattern, v = CLEAN["attn_scores", 1], CLEAN["pattern", 1], CLEAN["v", 1]
    z = torch.zeros_like(v)
    for b in range(4):
        for h in range(2):
            for i in range(6):
                removed = i - offset
                keys = [j for j in range(i + 1) if how != "renormalise" or j != removed or i == 0]
                weights = torch.stack([scores[b, h, i, j] for j in keys]).softmax(0)
                for n, j in enumerate(keys):
                    value, weight = v[b, j, h], weights[n]
                    if how != "renormalise":
                        weight = pattern[b, h, i, j]
                    if j == removed and how == "zero":
                        value = torch.zeros_like(value)
                    if j == removed and how == "mean":
                        value = MEAN_V[j, h]
                    if j == removed and how == "resample":
                        value = v[(b - 1) % 4, j, h]
                    z[b, i, h] += weight * value
    return z


def hooked(how: Removal, offset: int, tokens: Tensor = TOKENS) -> ActivationCache:
    with MODEL.hooks(fwd_hooks=remove_offset(1, offset, how, MEAN_V)):
        _, cache = MODEL.run_with_cache(tokens)
    assert no_hooks_left(MODEL)
    return cache


@pytest.mark.parametrize("how", REMOVALS)
@pytest.mark.parametrize("offset", [0, 1, 3])
def test_removal_by_loops(how: Removal, offset: int):
    found, wanted = hooked(how, offset), z_by_loops(how, offset)
    assert (wanted - CLEAN["z", 1]).abs().max() > 0.01
    assert_equal(found["z", 1], wanted)
    assert_equal(found["attn_out", 1], torch.einsum("bphe,hed->bpd", wanted, MODEL.W_O[1]) + MODEL.b_O[1])
    for site in ("q", "k", "v"):
        assert (found[site, 1] == CLEAN[site, 1]).all()


@pytest.mark.parametrize("how", ["zero", "mean", "resample"])
def test_the_pattern_itself_stays(how: Removal):
    assert_equal(hooked(how, 0)["pattern", 1], CLEAN["pattern", 1])


def test_zero_takes_out_just_what_the_offset_writes():
    for offset in (0, 1):
        rest = CLEAN["attn_out", 1] - offset_write(MODEL, CLEAN, 1, offset)
        assert_equal(hooked("zero", offset)["attn_out", 1], rest)


def test_renormalised_rows_sum_to_one():
    self_masked, previous_masked = (hooked("renormalise", offset)["pattern", 1] for offset in (0, 1))
    for pattern in (self_masked, previous_masked):
        assert_equal(pattern.sum(-1), torch.ones(4, 2, 6, dtype=torch.float64))
    assert (self_masked[..., 0, 0] == 1).all()
    assert (self_masked[..., 1, 0] == 1).all()
    assert (self_masked.diagonal(0, -2, -1)[..., 1:] == 0).all()
    assert (previous_masked[..., 0, 0] == 1).all()
    assert (previous_masked[..., 1, 1] == 1).all()
    assert (previous_masked.diagonal(-1, -2, -1) == 0).all()
    # The keys that are left keep their proportions.
    kept = (CLEAN["pattern", 1][..., 4, 1] / CLEAN["pattern", 1][..., 4, 0]).clone()
    assert_equal(self_masked[..., 4, 1] / self_masked[..., 4, 0], kept)


def test_other_layers_and_other_offsets_are_left_alone():
    for how in REMOVALS:
        assert_equal(hooked(how, 0)["attn_out", 0], CLEAN["attn_out", 0])
        # Only query 5 has a key 5 back.
        assert_equal(hooked(how, 5)["z", 1][:, :5], CLEAN["z", 1][:, :5])


def test_the_same_hooks_serve_several_runs():
    others = random_tokens(batch=2, seed=9)
    hooks = remove_offset(1, 0, "resample")
    alone = [MODEL.run_with_hooks(tokens, fwd_hooks=hooks) for tokens in (TOKENS, others)]
    with MODEL.hooks(fwd_hooks=hooks):
        together = [MODEL(tokens) for tokens in (TOKENS, others)]
    for a, b in zip(together, alone, strict=True):
        assert_equal(a, b)


def test_bad_input():
    with pytest.raises(InputError, match="wanted mean_v for how='mean'; got none"):
        remove_offset(1, 0, "mean")
    # Unwrapped: the tests' own type check would refuse it first.
    with pytest.raises(InputError, match="how to be one of zero, mean, resample, renormalise; got 'drop'"):
        inspect.unwrap(remove_offset)(1, 0, "drop")
    with pytest.raises(InputError, match=r"wanted an offset \(keys back from the query\).*; got -1"):
        remove_offset(1, -1, "zero")
    for offset in (-1, 6, 9):
        with pytest.raises(InputError, match=f"that some query has; got {offset}"):
            offset_write(MODEL, CLEAN, 1, offset)
    for how in REMOVALS:
        with pytest.raises(InputError, match="that some query has; got 6"):
            hooked(how, 6)
    with pytest.raises(InputError, match="at least 2 sequences to resample from; got 1"):
        hooked("resample", 0, TOKENS[:1])
    narrow = remove_offset(1, 0, "mean", MEAN_V[:1])
    with pytest.raises(InputError, match=r"mean_v of shape \(6, 2, 3\); got \(1, 2, 3\)"):
        MODEL.run_with_hooks(TOKENS, fwd_hooks=narrow)
    assert no_hooks_left(MODEL)
