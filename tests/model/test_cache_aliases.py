"""One tensor under several names: an edit at one must not reach what another cached."""

from __future__ import annotations

import gc
import weakref
from itertools import permutations

import pytest
import torch
from torch import Tensor

from tests.model.features import FEATURES
from tests.model.small import small_model, small_tokens
from unweave.core.hooks import HookPoint
from unweave.model.transformer import HookedTransformer

MODELS = {
    "no positions": {},
    "positions": {"positional_embedding_type": "standard"},
    "no norms": {"normalization_type": None},
    "attention only": {"attn_only": True},
    **{
        name: FEATURES[name]
        for name in (
            "shortformer",
            "one group, rotary",
            "rotary, part of a head",
            "t5",
            "qk norm",
            "soft caps",
            "post norms",
            "post norms, parallel",
            "parallel",
            "gated",
            "solu_ln",
            "experts",
            "multipliers",
            "embedding norm",
            "token types",
            "no biases",
        )
    },
    "folded": {"normalization_type": "LNPre"},
    "folded, rms": {"normalization_type": "RMSPre"},
    "no scale": {"use_attn_scale": False, "attn_only": True, "normalization_type": None},
}


def everything(model: HookedTransformer) -> list[str]:
    return list(model.hook_dict)


def aliased(model: HookedTransformer) -> list[tuple[str, str]]:
    """Every pair of names whose tensors share memory in a run, found by looking."""
    _, cache = model.run_with_cache(small_tokens(), names_filter=everything(model))
    storage = {name: tensor.untyped_storage().data_ptr() for name, tensor in cache.items()}
    # Empty ones, of an expert to which nothing went, all lie nowhere.
    return [(a, b) for a, b in permutations(cache, 2) if storage[a] == storage[b] and cache[a].numel()]


def wipe(x: Tensor, hook: HookPoint) -> None:
    # Also of what is zero somewhere; whole numbers are an expert's.
    x.fill_(0 if x.dtype == torch.int64 else 7)


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
        assert cache[edited].float().unique().tolist() in ([0.0], [7.0])
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


def test_which_sites_are_one_tensor_in_every_kind_of_model():
    """Known by hand: what a site hands on as it is, under the next one's name."""
    found = {pair for fields in MODELS.values() for pair in aliased(small_model(**fields))}
    for first, second in (
        ("blocks.0.hook_resid_post", "blocks.1.hook_resid_pre"),
        ("hook_embed", "blocks.0.hook_resid_pre"),
        ("ln_final.hook_normalized", "unembed.hook_in"),
    ):
        assert (first, second) in found


@pytest.mark.parametrize("fields", MODELS.values(), ids=MODELS)
def test_an_edit_in_place_anywhere_leaves_what_came_before(fields: dict):
    """Every site, and not only those found to share memory: what was cached before it is as it was."""
    model, tokens = small_model(**fields), small_tokens()
    names = everything(model)
    _, cache = model.run_with_cache(tokens, names_filter=names)
    order, clean = list(cache), {name: value.clone() for name, value in cache.items()}
    for at in range(0, len(order), 3):
        edited = order[at]
        with model.hooks(fwd_hooks=[(edited, wipe)]):
            _, cache = model.run_with_cache(tokens, names_filter=names)
        before = list(cache)[: list(cache).index(edited)]
        changed = [name for name in before if not torch.equal(cache[name], clean[name])]
        assert not changed, (edited, changed)
