"""Runs that read keys and values of earlier runs, against one run over everything."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.core.unchecked import as_users_run
from tests.model.features import FEATURES
from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.core.errors import InputError
from unweave.model.kv_cache import KeyValueCache

CAUSAL = {name: fields for name, fields in FEATURES.items() if fields.get("attention_dir") is None}
LEFT = torch.tensor([[1, 1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 1, 1, 1], [0, 0, 0, 0, 1, 1, 1]])


@pytest.mark.parametrize("watched", [False, True], ids=["fused", "explicit"])
@pytest.mark.parametrize("mask", [None, LEFT, LEFT.flip(1)], ids=["whole", "left", "right"])
@pytest.mark.parametrize("feature", ["none", "standard", "sinusoidal", *CAUSAL])
def test_piece_by_piece_is_all_at_once(feature: str, mask: torch.Tensor | None, watched: bool):
    fields = CAUSAL.get(feature, {"positional_embedding_type": feature})
    model, tokens = small_model(**fields, dtype="float64"), small_tokens()
    names = [n for n in model.hook_dict if n.endswith("pattern")] if watched else "hook_embed"
    cache = KeyValueCache.init_cache(model.cfg, batch_size=3)
    pieces = []
    with model.recording(names):
        for piece in (slice(0, 3), slice(3, 4), slice(4, 7)):
            part = None if mask is None else mask[:, piece]
            pieces.append(model(tokens[:, piece], attention_mask=part, past_kv_cache=cache))
    assert_equal_to(1e-12, torch.cat(pieces, 1), model(tokens, attention_mask=mask))
    heads = model.cfg.n_key_value_heads or model.cfg.n_heads
    assert cache[1].past_keys.shape == (3, 7, heads, model.cfg.d_head)
    assert cache.length == 7


def test_hooks_see_new_positions_and_all_keys():
    model, tokens = small_model(positional_embedding_type="rotary"), small_tokens()
    cache = KeyValueCache.init_cache(model.cfg, batch_size=3)
    model(tokens[:, :4], past_kv_cache=cache)
    _, acts = model.run_with_cache(tokens[:, 4:6], past_kv_cache=cache)
    _, whole = model.run_with_cache(tokens[:, :6])
    for site in ("q", "k", "v", "z", "rot_q"):
        assert_equal_to(1e-5, acts[site, 0], whole[site, 0][:, 4:], site)
    assert_equal_to(1e-5, acts["rot_k", 0], whole["rot_k", 0])
    for site in ("attn_scores", "pattern"):
        assert_equal_to(1e-5, acts[site, 0], whole[site, 0][:, :, 4:], site)
    assert model.run_offset == 0
    model(tokens[:, 6:], past_kv_cache=cache)
    assert model.run_offset == 6


def test_a_mask_may_cover_what_is_cached_and_must_then_agree():
    model, tokens = small_model(), small_tokens()
    cache = KeyValueCache.init_cache(model.cfg, batch_size=3)
    model(tokens[:, :4], attention_mask=LEFT[:, :4], past_kv_cache=cache)
    got = model(tokens[:, 4:], attention_mask=LEFT, past_kv_cache=cache)
    assert_equal_to(1e-5, got, model(tokens, attention_mask=LEFT)[:, 4:])
    cache = KeyValueCache.init_cache(model.cfg, batch_size=3)
    model(tokens[:, :4], past_kv_cache=cache)
    with pytest.raises(
        InputError, match=r"^wanted an attention_mask that says of cached positions what the cache"
    ):
        model(tokens[:, 4:], attention_mask=LEFT, past_kv_cache=cache)


def test_frozen_it_is_read_and_not_extended():
    model, tokens = small_model(), small_tokens()
    cache = KeyValueCache.init_cache(model.cfg, batch_size=3)
    model(tokens[:, :4], past_kv_cache=cache)
    cache.freeze()
    first = model(tokens[:, 4:], past_kv_cache=cache)
    assert torch.equal(model(tokens[:, 4:], past_kv_cache=cache), first)
    assert cache.length == cache[0].past_keys.shape[1] == 4
    assert_equal_to(1e-5, first, model(tokens)[:, 4:])
    cache.unfreeze()
    model(tokens[:, 4:], past_kv_cache=cache)
    assert cache.length == 7


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_run_that_raises_leaves_it_as_it_was(error: type[BaseException]):
    model, tokens = small_model(), small_tokens()
    cache = KeyValueCache.init_cache(model.cfg, batch_size=3)
    model(tokens[:, :4], past_kv_cache=cache)

    def fail(tensor: torch.Tensor, hook: object) -> None:
        raise error

    with pytest.raises(error), model.hooks(fwd_hooks=[("blocks.1.hook_resid_pre", fail)]):
        model(tokens[:, 4:], past_kv_cache=cache)
    assert [cache[layer].past_keys.shape[1] for layer in (0, 1)] == [4, 4]
    assert_equal_to(1e-5, model(tokens[:, 4:], past_kv_cache=cache), model(tokens)[:, 4:])


def test_a_cache_that_does_not_fit_is_refused():
    model, tokens = small_model(), small_tokens()
    cache = KeyValueCache.init_cache(model.cfg, batch_size=3)
    with pytest.raises(
        InputError, match=r"^wanted a batch of 3, as in past_kv_cache; got 2; make a cache with"
    ):
        model(tokens[:2], past_kv_cache=cache)
    model(tokens[:, :2], past_kv_cache=cache, stop_at_layer=1)
    with pytest.raises(
        InputError, match=r"^wanted 2 cached positions in layer 1 of past_kv_cache; got 0; run every"
    ):
        model(tokens[:, 2:], past_kv_cache=cache)
    cache = KeyValueCache.init_cache(model.cfg, batch_size=3)
    model(tokens, past_kv_cache=cache)
    with pytest.raises(
        InputError, match=r"^wanted at most n_ctx=7 positions; got 7 in past_kv_cache and 1 new ones;"
    ):
        model(tokens[:, :1], past_kv_cache=cache)
    other = small_model(attention_dir="bidirectional")
    with (
        as_users_run(),
        pytest.raises(InputError, match=r"^wanted causal attention with past_kv_cache; got bidirec"),
    ):
        other(tokens[:, :1], past_kv_cache=KeyValueCache.init_cache(other.cfg, batch_size=3))


SHORT_AND_LONG: dict[str, Any] = {
    "positional_embedding_type": "rotary",
    "use_longrope": True,
    "longrope_short_factors": [1.5, 4.0],
    "longrope_long_factors": [2.0, 9.0],
    "longrope_original_ctx_len": 4,
}


def test_longrope_is_not_continued_over_its_length():
    """Beyond it earlier positions have other keys and values than they had within it."""
    model, tokens = small_model(**SHORT_AND_LONG, dtype="float64"), small_tokens()
    cache = KeyValueCache.init_cache(model.cfg, batch_size=3)
    within = torch.cat([model(tokens[:, at : at + 2], past_kv_cache=cache) for at in (0, 2)], 1)
    assert_equal_to(1e-12, within, model(tokens[:, :4]))
    with pytest.raises(InputError, match="got 4 cached positions and 1 new ones"):
        model(tokens[:, 4:5], past_kv_cache=cache)
    assert cache.length == 4
    # Padding is no position: with one less there is room for it.
    padded = KeyValueCache.init_cache(model.cfg, batch_size=3)
    mask = torch.tensor([[0, 1, 1, 1, 1]] * 3)
    model(tokens[:, :4], attention_mask=mask[:, :4], past_kv_cache=padded)
    last = model(tokens[:, 4:5], past_kv_cache=padded)
    assert_equal_to(1e-12, last, model(tokens[:, :5], attention_mask=mask)[:, 4:])


def test_longrope_s_first_positions_of_a_long_run_are_continued():
    model, tokens = small_model(**SHORT_AND_LONG, dtype="float64"), small_tokens()
    whole = KeyValueCache.init_cache(model.cfg, batch_size=3)
    wanted = model(tokens, past_kv_cache=whole)
    first = KeyValueCache.init_cache(model.cfg, batch_size=3)
    for entry, full in zip(first.entries, whole.entries, strict=True):
        entry.past_keys, entry.past_values = full.past_keys[:, :3], full.past_values[:, :3]
    first.previous_attention_mask, first.made_in = whole.previous_attention_mask[:, :3], 7
    assert_equal_to(1e-12, model(tokens[:, 3:], past_kv_cache=first), wanted[:, 3:])


def test_generation_goes_over_longrope_s_length():
    model, tokens = small_model(**SHORT_AND_LONG, dtype="float64"), small_tokens()[:, :2]
    piecewise, whole = (
        model.generate(tokens, 5, stop_at_eos=False, do_sample=False, use_past_kv_cache=cached)
        for cached in (True, False)
    )
    assert isinstance(piecewise, torch.Tensor) and isinstance(whole, torch.Tensor)
    assert torch.equal(piecewise, whole)
