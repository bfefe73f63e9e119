"""One tensor under several names: an edit at one must not reach what another cached."""

from __future__ import annotations

import gc
import weakref
from itertools import permutations

import pytest
import torch
from torch import Tensor

from tests.model.small import small_model, small_tokens
from unweave.core.hooks import HookPoint
from unweave.model.transformer import HookedTransformer

MODELS = {
    "no positions": {},
    "positions": {"positional_embedding_type": "standard"},
    "no norms": {"normalization_type": None},
    "attention only": {"attn_only": True},
}


def everything(model: HookedTransformer) -> list[str]:
    return list(model.hook_dict)


def aliased(model: HookedTransformer) -> list[tuple[str, str]]:
    """Every pair of names whose tensors share memory in a run, found by looking."""
    _, cache = model.run_with_cache(small_tokens(), names_filter=everything(model))
    storage = {name: tensor.untyped_storage().data_ptr() for name, tensor in cache.items()}
    return [(a, b) for a, b in permutations(cache, 2) if storage[a] == storage[b]]


def wipe(x: Tensor, hook: HookPoint) -> None:
    x.zero_()


def test_the_pairs_that_are_known_are_found():
    pairs = aliased(small_model())
    assert ("hook_embed", "blocks.0.hook_resid_pre") in pairs
    assert ("blocks.1.hook_resid_pre", "blocks.0.hook_resid_post") in pairs
    assert ("hook_embed", "blocks.0.hook_resid_mid") not in pairs


@pytest.mark.parametrize("fields", MODELS.values(), ids=MODELS)
def test_an_edit_in_place_at_one_name_leaves_what_the_other_cached(fields: dict):
    model, tokens = small_model(**fields), small_tokens()
    names = everything(model)
    clean = {
        name: value.clone() for name, value in model.run_with_cache(tokens, names_filter=names)[1].items()
    }
    order = list(clean)
    for edited, other in aliased(model):
        with model.hooks(fwd_hooks=[(edited, wipe)]):
            _, cache = model.run_with_cache(tokens, names_filter=names)
        assert not cache[edited].any()
        if order.index(other) < order.index(edited):
            assert torch.equal(cache[other], clean[other]), (edited, other)
        # And where the reader came before the editor, at the very same place.
        with model.recording(names) as kept, model.hooks(fwd_hooks=[(edited, wipe)]):
            model(tokens)
        assert torch.equal(kept[edited], clean[edited]), edited


@pytest.mark.parametrize("fields", MODELS.values(), ids=MODELS)
def test_no_name_shares_memory_with_the_weights(fields: dict):
    model = small_model(**fields)
    _, cache = model.run_with_cache(small_tokens(), names_filter=everything(model))
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    assert not [name for name, tensor in cache.items() if tensor.untyped_storage().data_ptr() in weights]


def live_tensors() -> int:
    # Not isinstance, which asks lazy modules of torch for their __class__.
    return sum(issubclass(type(thing), Tensor) for thing in gc.get_objects())


@pytest.mark.parametrize("how", [{}, {"detach": False}, {"pos_slice": -1}, {"remove_batch_dim": True}])
def test_after_a_hundred_cached_runs_no_tensor_is_left(how: dict):
    model, tokens = small_model(), small_tokens(batch=1)
    gone: list[weakref.ref[Tensor]] = []

    def run() -> None:
        _, cache = model.run_with_cache(tokens, **how)
        gone.extend(weakref.ref(tensor) for tensor in cache.values())
        cache.accumulated_resid()

    run()
    gc.collect()
    before = live_tensors()
    gc.disable()  # what only the collector would find is a leak until it runs
    try:
        for _ in range(100):
            run()
        assert len(gone) > 2000
        assert not any(reference() is not None for reference in gone)
        assert live_tensors() == before
    finally:
        gc.enable()


def test_after_many_backward_passes_no_tensor_is_left():
    model, tokens = small_model(), small_tokens()
    gone: list[weakref.ref[Tensor]] = []

    def run() -> None:
        with model.hooks(bwd_hooks=[(None, lambda g, hook: gone.append(weakref.ref(g)))]):
            model(tokens).sum().backward()

    run()
    gc.collect()
    before = live_tensors()
    for _ in range(30):
        run()
    gc.collect()
    assert live_tensors() == before
    assert not any(reference() is not None for reference in gone)
