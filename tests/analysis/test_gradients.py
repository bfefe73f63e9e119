"""Attribution patching, against the gradient taken by hand, and where it can't see a planted circuit."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model.small import assert_equal_to, small_model, small_tokens
from tests.planted.loaded import exact
from unweave import LogitDifference, sweep
from unweave.analysis import attribution_patching
from unweave.core.errors import InputError

TOKENS = small_tokens()
OTHER = (TOKENS + 1 + torch.arange(7)) % 11
METRIC = LogitDifference(TOKENS[:, 0], OTHER[:, 0])


def test_it_is_the_gradient_times_the_change():
    model = small_model(dtype="float64", positional_embedding_type="standard", act_fn="gelu")
    found = attribution_patching(model, TOKENS, OTHER, METRIC)
    there = model.run_with_cache(OTHER)[1]
    kept: dict[str, Tensor] = {}

    def keep(tensor: Tensor, hook: Any) -> None:
        tensor.retain_grad()
        kept[hook.name] = tensor

    names = [f"blocks.{layer}.attn.hook_z" for layer in (0, 1)]
    logits = model.run_with_hooks(TOKENS, fwd_hooks=[(name, keep) for name in names])[:, -1]
    rows = torch.arange(3)
    (logits[rows, TOKENS[:, 0]] - logits[rows, OTHER[:, 0]]).sum().backward()
    wanted = torch.stack(
        [(kept[name].grad * (there[name] - kept[name])).sum((1, 3)).T.detach() for name in names]  # type: ignore[operator]
    )
    assert found.dims == ("layer", "head")
    assert_equal_to(1e-10, found.effect_per_sample, wanted)
    # The change taken the other way round is the usual mistake.
    assert not torch.allclose(found.effect_per_sample, -wanted)
    assert found.approximate
    exact_ = sweep(model, TOKENS, ("z", "layer", "head"), source=OTHER, metric=METRIC)
    for check in found.rechecks:
        if check.why != "all cells together":
            cell = exact_.sel(**check.labels)
            assert check.exact == pytest.approx(cell.effect.item(), abs=1e-10)


def test_in_the_planted_and_both_heads_look_idle_and_the_whole_layer_tells():
    """Denoising: each path is off without the other, so that the gradient is zero, and the layer's effect is not."""
    loaded = exact("and")
    contrast = loaded.contrast
    assert contrast is not None
    metric = LogitDifference(1, 0, pos=contrast.position)
    found = attribution_patching(loaded.model, contrast.corrupted, contrast.clean, metric)
    assert float(found.effect.abs().max()) == 0.0
    [whole] = [check for check in found.rechecks if check.why == "all cells together"]
    assert whole.exact > 5
    assert any("gradients vanish or cancel" in text for text in found.warnings)


def test_exact_is_asked_of_sweep():
    with pytest.raises(InputError, match="for exact values call"):
        attribution_patching(small_model(), TOKENS, OTHER, METRIC, method="exact")
