"""Weights that were changed between two calls never give an answer of before: at every door, in every way to change them."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave import HookedTransformer, LogitDifference, Site, analysis, intervene, patching, sweep

TOKENS = small_tokens()
OTHER = (TOKENS + 1 + torch.arange(7)) % 11
METRIC = LogitDifference(TOKENS[:, 0], OTHER[:, 0])
Answer = Callable[[HookedTransformer], Tensor]


def small(seed: int = 0) -> HookedTransformer:
    fields = {"dtype": "float64", "positional_embedding_type": "standard", "act_fn": "gelu"}
    return small_model(**fields, n_layers=2, seed=seed)


def swept(**given: Any) -> Answer:
    return lambda model: (
        sweep(model, TOKENS, "resid_pre", source=OTHER, metric=METRIC, controls=2, **given).values
    )


def patched(model: HookedTransformer) -> Tensor:
    clean = model.run_with_cache(TOKENS)[1]
    return patching.get_act_patch_resid_pre(model, OTHER, clean, lambda logits: logits[:, -1, 3].mean())


DOORS: dict[str, Answer] = {
    "intervene": lambda model: intervene(model, TOKENS, [Site("z", 1).interchange(OTHER)]).logits,
    "intervene, mean": lambda model: intervene(model, TOKENS, [Site("mlp_out").mean()]).logits,
    "intervene, freeze": lambda model: (
        intervene(model, TOKENS, [Site("resid_pre", 0).add(0.5), Site("mlp_out", 1).freeze()]).logits
    ),
    "sweep": swept(),
    "sweep, attribution": swept(method="attribution"),
    "sweep, integrated": swept(method="integrated", steps=2),
    "patching": patched,
    "attribution_patching": lambda model: analysis.attribution_patching(model, TOKENS, OTHER, METRIC).values,
    "ablate_components": lambda model: analysis.ablate_components(model, TOKENS, METRIC).values,
    "direct_logit_attribution": lambda model: analysis.direct_logit_attribution(model, TOKENS, 3).values,
    "logit_lens": lambda model: analysis.logit_lens(model, TOKENS, METRIC).values,
}


def step(model: HookedTransformer) -> None:
    model(TOKENS, return_type="loss").backward()
    torch.optim.SGD(model.parameters(), lr=0.5).step()


def copied(model: HookedTransformer) -> None:
    with torch.no_grad():
        model.blocks[1].attn.W_V.copy_(model.blocks[1].attn.W_V * 2)
        model.blocks[0].mlp.W_in.copy_(model.blocks[0].mlp.W_in * 2)


def data(model: HookedTransformer) -> None:
    model.W_E.data[:] *= 2
    model.blocks[1].attn.W_V.data *= 2


def reloaded(model: HookedTransformer) -> None:
    model.load_state_dict(small(seed=5).state_dict())


@pytest.mark.parametrize("change", [step, copied, data, reloaded])
@pytest.mark.parametrize("door", DOORS)
def test_changed_weights_are_seen(door: str, change: Callable[[HookedTransformer], None]):
    model, answer = small(), DOORS[door]
    before = answer(model).clone()
    change(model)
    # A model that was never asked anything before.
    fresh = small(seed=9)
    fresh.load_state_dict(deepcopy(model.state_dict()))
    wanted = answer(fresh)
    assert_equal_to(1e-10, answer(model), wanted)
    with pytest.raises(AssertionError):
        # What a door that keeps its answers by the model would have given.
        assert_equal_to(1e-10, before, wanted)
