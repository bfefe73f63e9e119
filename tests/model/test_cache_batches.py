"""Sequences and devices of a cache; a cache without a model."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.core.unchecked import as_users_run
from tests.model.small import small_model, small_tokens
from unweave.core.errors import InputError, MissingActivation
from unweave.model.cache import ActivationCache


def cached(**fields: object) -> ActivationCache:
    return small_model(**fields).run_with_cache(small_tokens())[1]


@pytest.mark.parametrize(
    ("batch_slice", "rows"), [(None, [0, 1, 2]), ((1, 3), [1, 2]), ([2, 0], [2, 0]), (slice(2, None), [2])]
)
def test_some_of_the_sequences(batch_slice: object, rows: list[int]):
    cache = cached()
    part = cache.apply_slice_to_batch_dim(batch_slice)
    assert list(part) == list(cache)
    assert all(torch.equal(part[name], cache[name][rows]) for name in cache)
    assert part.has_batch_dim
    assert part.model is cache.model
    assert len(cache["embed"]) == 3, "the cache itself stays"


def test_one_sequence_has_no_batch_dimension():
    cache = cached()
    part = cache.apply_slice_to_batch_dim(1)
    assert all(torch.equal(part[name], cache[name][1]) for name in cache)
    assert not part.has_batch_dim
    assert torch.equal(part.apply_slice_to_batch_dim(None)["embed"], part["embed"])
    with pytest.raises(InputError, match="wanted a cache with a batch dimension; got one without"):
        part.apply_slice_to_batch_dim(0)


def test_what_is_the_same_for_every_sequence_stays_so():
    tensors = {"a": torch.arange(6).reshape(3, 2), "b": torch.tensor([[7, 8]])}
    cache = ActivationCache(tensors, None)
    assert cache.apply_slice_to_batch_dim([2])["b"].tolist() == [[7, 8]]
    assert cache.apply_slice_to_batch_dim(2)["a"].tolist() == [4, 5]
    assert cache.apply_slice_to_batch_dim(2)["b"].tolist() == [7, 8]


@pytest.mark.parametrize("tensors", [{"a": torch.zeros(3), "b": torch.zeros(2)}, {"a": torch.zeros(())}])
def test_what_is_no_batch_cannot_be_sliced(tensors: dict):
    with pytest.raises(InputError, match="wanted activations of one batch"):
        ActivationCache(tensors, None).apply_slice_to_batch_dim(0)


def test_the_batch_dimension_goes_once():
    model = small_model()
    _, whole = model.run_with_cache(small_tokens(batch=1))
    cache = ActivationCache(dict(whole), model)
    assert cache.remove_batch_dim() is cache
    assert not cache.has_batch_dim
    assert all(torch.equal(cache[name], whole[name][0]) for name in whole)
    cache.remove_batch_dim()
    assert cache["embed"].shape == (7, 8)
    with pytest.raises(InputError, match=r"got shape \(3, 7, 8\) at hook_embed"):
        cached().remove_batch_dim()


def test_a_dict_may_be_had_instead():
    _, kept = small_model().run_with_cache(small_tokens(), return_cache_object=False)
    assert type(kept) is dict
    assert "hook_embed" in kept


def test_it_moves():
    cache = cached()
    assert cache.to("meta") is cache
    assert {tensor.device.type for tensor in cache.values()} == {"meta"}
    with pytest.raises(InputError, match="wanted a device of this machine; got 'cuba'"):
        cache.to("cuba")


def test_gradients_of_all_of_torch_are_switched():
    cache, before = cached(), torch.is_grad_enabled()
    try:
        cache.toggle_autodiff(True)
        assert torch.is_grad_enabled()
        cache.toggle_autodiff()
        assert not torch.is_grad_enabled()
    finally:
        torch.set_grad_enabled(before)


def test_it_says_what_it_has():
    cache = cached(positional_embedding_type="standard")
    assert (cache.has_embed, cache.has_pos_embed) == (True, True)
    cache = ActivationCache({}, None)
    assert (cache.has_embed, cache.has_pos_embed) == (False, False)
    assert len(cache) == 0


def test_gradients_go_by_their_site():
    tensors = {
        name: torch.tensor(float(i))
        for i, name in enumerate(["hook_embed_grad", "blocks.1.attn.hook_q_grad"])
    }
    cache = ActivationCache(tensors, small_model())
    assert cache["embed_grad"].item() == 0
    assert cache["q_grad", -1].item() == 1
    assert ("q_grad", 0) not in cache


def test_without_a_model_names_work_and_layers_from_the_end_do_not():
    cache = ActivationCache({"blocks.0.attn.hook_q": torch.ones(1)}, None)
    assert cache["q", 0].item() == 1
    for ask in (lambda: cache["q", -1], cache.decompose_resid, cache.accumulated_resid):
        with pytest.raises(InputError, match="wanted the model that these activations are from"):
            ask()


def test_what_is_asked_of_no_cache_is_told():
    with as_users_run(), pytest.raises(MissingActivation, match=r"got \('pattern', '0', 1, 2\)"):
        _ = cached()["pattern", "0", 1, 2]
    assert 3 not in cached()
    assert ("pattern", 0.5) not in cached()


def test_a_layer_may_be_any_whole_number():
    cache = cached()
    assert torch.equal(cache["q", torch.tensor(1)], cache["q", 1])
    assert torch.equal(cache["q", np.int64(-1)], cache["q", 1])
