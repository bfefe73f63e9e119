"""What TransformerLens 3.9.0 pickled whole opens through the door, and is what it was."""

from __future__ import annotations

import io
import warnings
from typing import Any

import pytest
import torch

import unweave.compat
from tests.compat.pickled import PATH
from unweave.compat.transformer_lens import ActivationCache, HookedTransformer, HookedTransformerConfig


@pytest.fixture
def saved() -> dict[str, Any]:
    """As a user opens it: the pickle says `transformer_lens`, which is ours meanwhile."""
    unweave.compat.install()
    try:
        before = torch.random.get_rng_state()
        opened = torch.load(PATH, weights_only=False)
        assert torch.equal(torch.random.get_rng_state(), before)
    finally:
        unweave.compat.uninstall()
    return opened


@torch.no_grad()
def test_a_pickled_model_answers_as_it_did(saved: dict[str, Any]):
    model, tokens = saved["model"], saved["tokens"]
    assert type(model) is HookedTransformer
    assert model.cfg is saved["cfg"] and model.cfg.seed == 3
    assert torch.allclose(model(tokens), saved["logits"], rtol=1e-5, atol=1e-6)
    assert not model.training
    assert not model.unembed.b_U.requires_grad and model.W_U.requires_grad
    given, cache = model.run_with_cache(tokens)
    assert torch.allclose(given, saved["logits"], rtol=1e-5, atol=1e-6)
    assert torch.allclose(cache["z", 0], saved["cache"]["z", 0], rtol=1e-5, atol=1e-6)
    # The mistake: to leave the weights that a new model draws by that seed.
    assert not torch.allclose(HookedTransformer(saved["cfg"])(tokens), saved["logits"])


def test_a_pickled_config_makes_the_model_for_a_state_dict(saved: dict[str, Any]):
    cfg = saved["cfg"]
    assert type(cfg) is HookedTransformerConfig
    assert cfg == HookedTransformerConfig(
        n_layers=1, d_model=4, d_head=2, n_ctx=3, d_vocab=5, d_mlp=3, act_fn="gelu", seed=3, device="cpu"
    )
    model = HookedTransformer(cfg)
    model.load_state_dict(saved["model"].state_dict())
    assert torch.allclose(model(saved["tokens"]), saved["logits"], rtol=1e-5, atol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cfg.d_mlp = 7
    assert cfg.d_mlp == 7


def test_a_pickled_cache_and_a_factored_matrix_are_read(saved: dict[str, Any]):
    assert type(saved["cache"]) is ActivationCache
    assert list(saved["cache"]) == ["blocks.0.attn.hook_z"] and saved["cache"].model is saved["model"]
    model, factored = saved["model"], saved["factored"]
    assert torch.allclose(factored.AB, model.W_V[0, 0] @ model.W_O[0, 0])


def test_what_we_pickle_is_not_built_anew(saved: dict[str, Any]):
    """A hook of the user's own, on the module, is still there."""
    model, file = saved["model"], io.BytesIO()
    model.marked = "here"
    torch.save({"model": model, "cfg": model.cfg}, file)
    file.seek(0)
    opened = torch.load(file, weights_only=False)
    assert opened["model"].marked == "here" and opened["cfg"] == model.cfg
    assert torch.equal(opened["model"](saved["tokens"]), model(saved["tokens"]))


def test_of_an_unknown_field_there_is_a_warning():
    cfg = HookedTransformerConfig.__new__(HookedTransformerConfig)
    with pytest.warns(unweave.compat.CompatWarning, match="a pickled config has d_soul=21, which nothing"):
        cfg.__setstate__({"n_layers": 1, "d_model": 4, "d_head": 2, "n_ctx": 3, "d_vocab": 5, "d_soul": 21})
    assert cfg.d_model == 4
