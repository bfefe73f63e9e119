"""The transformations that invariance is tested with leave a model's function as it is, and do move its parts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.equivalent_models import (
    TRANSFORMATIONS,
    NotEquivalent,
    equivalents,
    permute_heads,
    permute_neurons,
    rescale_neurons,
)
from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave import planted
from unweave.model.transformer import HookedTransformer

CONFIGS: dict[str, dict[str, Any]] = {
    "standard": {"positional_embedding_type": "standard", "d_head": 2},
    "no norms": {"normalization_type": None},
    "grouped, rotary, gated": {
        "d_head": 4,
        "n_heads": 4,
        "n_key_value_heads": 2,
        "positional_embedding_type": "rotary",
        "gated_mlp": True,
        "act_fn": "silu",
        "normalization_type": "RMS",
    },
    "rotary, adjacent, in part": {
        "d_head": 8,
        "n_heads": 2,
        "rotary_dim": 4,
        "positional_embedding_type": "rotary",
        "rotary_adjacent_pairs": True,
        "parallel_attn_mlp": True,
        "act_fn": "gelu",
    },
    "neurons normed": {"act_fn": "solu_ln"},
    "queries and keys normed": {"use_qk_norm": True, "use_normalization_before_and_after": True},
    "attention only": {"attn_only": True, "act_fn": None, "tie_word_embeddings": True},
    "experts": {"num_experts": 3, "experts_per_token": 2, "gated_mlp": True, "act_fn": "silu"},
    "alibi": {"positional_embedding_type": "alibi"},
    "both ways, float64": {"attention_dir": "bidirectional", "dtype": "float64"},
}
# What doesn't apply to a config; everything else does.
LEFT_OUT = {
    "neurons rescaled": {"rotary, adjacent, in part", "neurons normed", "attention only", "experts"},
    "neurons permuted": {"attention only", "experts"},
    "QK rotated": {"queries and keys normed"},
    "heads permuted": {"alibi"},
}


def logits_of(model: HookedTransformer, tokens: Tensor) -> Tensor:
    with torch.no_grad():
        return model(tokens)


@pytest.mark.parametrize("config", CONFIGS)
def test_the_function_is_the_same_and_the_weights_are_not(config: str) -> None:
    model, tokens = small_model(**CONFIGS[config]), small_tokens()
    found = equivalents(model, seed=3)
    assert set(found) == {name for name in TRANSFORMATIONS if config not in LEFT_OUT.get(name, ())}
    for name, equivalent in found.items():
        assert_equal_to(1e-5, logits_of(equivalent.model, tokens), logits_of(model, tokens), name)
        same = [
            torch.equal(a, b) for a, b in zip(model.parameters(), equivalent.model.parameters(), strict=True)
        ]
        assert not all(same), name


@pytest.mark.parametrize("config", ["standard", "grouped, rotary, gated"])
def test_parts_are_where_the_relabelling_says(config: str) -> None:
    """What each component writes, read at its new place, is what the old one wrote."""
    model, tokens = small_model(**CONFIGS[config]), small_tokens()
    names = [f"blocks.{layer}.attn.hook_{site}" for layer in (0, 1) for site in ("result", "k")]
    names += [f"blocks.{layer}.mlp.hook_post" for layer in (0, 1)]
    _, old = model.run_with_cache(tokens, names_filter=names)
    for name, equivalent in equivalents(model).items():
        _, new = equivalent.model.run_with_cache(tokens, names_filter=names)
        for layer in (0, 1):
            result, post = f"blocks.{layer}.attn.hook_result", f"blocks.{layer}.mlp.hook_post"
            for head in range(model.cfg.n_heads):
                wanted = equivalent.stream(old[result][:, :, head])
                assert_equal_to(1e-5, new[result][:, :, equivalent.head(layer, head)], wanted, name)
                assert equivalent.node(f"a{layer}.h{head}") == f"a{layer}.h{equivalent.head(layer, head)}"
            scale = equivalent.scales.get(layer, torch.ones(model.cfg.d_mlp))
            for neuron in range(model.cfg.d_mlp):
                at = equivalent.neuron(layer, neuron)
                assert_equal_to(1e-5, new[post][..., at], old[post][..., neuron] * scale[neuron], name)
            if name != "QK rotated":
                keys = f"blocks.{layer}.attn.hook_k"
                for group in range(new[keys].shape[2]):
                    at = equivalent.group(layer, group)
                    assert_equal_to(1e-5, new[keys][:, :, at], old[keys][:, :, group], name)


def test_edges_are_renamed() -> None:
    equivalent = permute_heads(small_model(d_head=2), seed=1)
    first, last = equivalent.head(0, 1), equivalent.head(1, 2)
    assert equivalent.edge("a0.h1->a1.h2<k>") == f"a0.h{first}->a1.h{last}<k>"
    assert equivalent.edge("embed->m0") == "embed->m0"


@pytest.mark.parametrize("name", planted.names())
def test_planted_models_stay_exact(name: str) -> None:
    it = planted.load(name, decoys=1)
    tokens = it.inputs(3)
    found = equivalents(it.model, seed=5)
    assert "residual permuted" in found and "heads permuted" in found
    for what, equivalent in found.items():
        assert_equal_to(1e-5, logits_of(equivalent.model, tokens), logits_of(it.model, tokens), what)


def test_plausible_mistakes_change_the_function() -> None:
    """A bias left where it was, heads moved out of their group, a negative factor: each shows in the logits."""
    tokens = small_tokens()
    model = small_model(n_heads=4, n_key_value_heads=2)
    wanted = logits_of(model, tokens)

    forgotten = permute_neurons(model).model
    forgotten.load_state_dict({"blocks.0.mlp.b_in": model.state_dict()["blocks.0.mlp.b_in"]}, strict=False)
    assert not torch.allclose(logits_of(forgotten, tokens), wanted, atol=1e-3)

    across = permute_heads(model).model
    weights = {
        name: model.state_dict()[f"blocks.0.attn.{name}"][[1, 2, 3, 0]] for name in ("W_Q", "b_Q", "W_O")
    }
    across.load_state_dict(
        {f"blocks.0.attn.{name}": weight for name, weight in weights.items()}, strict=False
    )
    assert not torch.allclose(logits_of(across, tokens), wanted, atol=1e-3)

    negative = rescale_neurons(model).model
    flipped = {
        f"blocks.0.mlp.{name}": -negative.state_dict()[f"blocks.0.mlp.{name}"]
        for name in ("W_in", "b_in", "W_out")
    }
    negative.load_state_dict(flipped, strict=False)
    assert not torch.allclose(logits_of(negative, tokens), wanted, atol=1e-3)


def test_what_would_change_the_function_is_refused() -> None:
    with pytest.raises(NotEquivalent, match="no multiple"):
        rescale_neurons(small_model(act_fn="gelu"), 0)
    with pytest.raises(NotEquivalent, match="by their numbers"):
        permute_heads(small_model(positional_embedding_type="alibi"), 0)
