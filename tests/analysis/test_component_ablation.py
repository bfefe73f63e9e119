"""Ablation of every component, against the loop that edits what each component writes."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model.small import assert_equal_to, small_model, small_tokens
from tests.planted.loaded import exact
from unweave import HookedTransformer, LogitDifference, Probability, Site
from unweave.analysis import ablate_components, nodes
from unweave.analysis.pitfalls import some, zero_is_far
from unweave.core.errors import InputError
from unweave.engine.operations import others

TOKENS = small_tokens()
OTHER = (TOKENS + 1 + torch.arange(7)) % 11
METRIC = LogitDifference(TOKENS[:, 0], OTHER[:, 0])


def model_of(**fields: Any) -> HookedTransformer:
    return small_model(
        **{"dtype": "float64", "positional_embedding_type": "standard", "act_fn": "gelu", **fields}
    )


def difference(logits: Tensor) -> Tensor:
    rows = torch.arange(3)
    return logits[rows, -1, TOKENS[:, 0]] - logits[rows, -1, OTHER[:, 0]]


# What each component writes to the stream, not what this code ablates.
WRITES = {
    "embed": ("hook_embed", None),
    "pos_embed": ("hook_pos_embed", None),
    "a0.h0": ("blocks.0.attn.hook_result", 0),
    "a0.h1": ("blocks.0.attn.hook_result", 1),
    "m0": ("blocks.0.hook_mlp_out", None),
    "a1.h0": ("blocks.1.attn.hook_result", 0),
    "a1.h1": ("blocks.1.attn.hook_result", 1),
    "m1": ("blocks.1.hook_mlp_out", None),
}


def by_hand(model: HookedTransformer, instead: Any, source: Tensor = OTHER) -> Tensor:
    rows = []
    for hook, head in WRITES.values():
        there = model.run_with_cache(source, names_filter=[hook])[1][hook]

        def replace(tensor: Tensor, hook: Any, head: Any = head, there: Tensor = there) -> Tensor:
            value = instead(there)
            if head is None:
                return value.expand_as(tensor)
            return torch.cat(
                [(value.expand_as(tensor) if n == head else tensor)[:, :, n : n + 1] for n in range(2)], 2
            )

        with torch.no_grad():
            rows.append(difference(model.run_with_hooks(TOKENS, fwd_hooks=[(hook, replace)])))
    return torch.stack(rows)


@pytest.mark.parametrize(
    ("given", "instead"),
    [
        ({"kind": "zero"}, torch.zeros_like),
        ({"kind": "mean", "of": OTHER}, lambda there: there.mean(0, keepdim=True)),
        ({"kind": "mean", "of": OTHER, "per": "all"}, lambda there: there.mean((0, 1), keepdim=True)),
        ({"kind": "resample", "of": OTHER, "seed": 3}, lambda there: there[others(3, 3)]),
    ],
    ids=["zero", "mean", "global mean", "resample"],
)
def test_every_component_is_ablated_alone(given: dict[str, Any], instead: Any):
    model = model_of()
    found = ablate_components(model, TOKENS, METRIC, controls=0, **given)
    assert found.dims == ("component",)
    assert found.coords["component"] == tuple(WRITES) == tuple(nodes(model))
    assert found.per_sample is not None
    wanted = by_hand(model, instead)
    assert_equal_to(1e-10, found.per_sample, wanted)
    # The plausible mistakes: another kind of mean, or one of the run itself.
    wrongs = {
        "zero": by_hand(model, torch.zeros_like),
        "mean": by_hand(model, lambda there: there.mean(0, keepdim=True)),
        "global mean": by_hand(model, lambda there: there.mean((0, 1), keepdim=True)),
        "of itself": by_hand(model, lambda there: there.mean(0, keepdim=True), TOKENS),
    }
    others_ = [wrong for wrong in wrongs.values() if not torch.allclose(wrong, wanted)]
    assert len(others_) >= 3
    assert given["kind"] in found.provenance["operation"]


def test_grouped_heads_attention_alone_and_no_positions():
    model = model_of(
        n_heads=4, n_key_value_heads=2, attn_only=True, positional_embedding_type="rotary", d_head=2
    )
    assert list(nodes(model)) == ["embed", *(f"a{layer}.h{head}" for layer in (0, 1) for head in range(4))]
    assert ablate_components(model, TOKENS, METRIC, kind="zero").values.shape == (9,)


def test_positions_and_components_can_be_named():
    model = model_of()
    over = {"first MLP": Site("mlp_out", 0)}
    found = ablate_components(model, TOKENS, METRIC, kind="zero", over=over, pos=[2], controls=0)

    def zero(tensor: Tensor, hook: Any) -> Tensor:
        tensor[:, 2] = 0
        return tensor

    wanted = difference(model.run_with_hooks(TOKENS, fwd_hooks=[("blocks.0.hook_mlp_out", zero)]))
    assert found.coords["component"] == ("first MLP",)
    assert found.per_sample is not None
    assert_equal_to(1e-10, found.per_sample[0], wanted)


def test_a_backup_hides_the_head_that_works():
    """Planted: ablated to zero, neither head is missed; resampled, the one that works is."""
    loaded = exact("backup")
    tokens = loaded.inputs(4)
    wanted = loaded.algorithm(tokens)[:, -1].long()
    metric = LogitDifference(wanted, wanted % loaded.n_tokens + 1)
    zero, mean, resampled = (
        ablate_components(loaded.model, tokens, metric, kind=kind, controls=0)
        for kind in ("zero", "mean", "resample")
    )
    for head in ("a0.h0", "a1.h0"):
        assert abs(zero.sel(component=head).effect.item()) < 1e-9
        assert abs(mean.sel(component=head).effect.item()) < 1e-9
    assert resampled.sel(component="a0.h0").effect.item() < -5
    assert abs(resampled.sel(component="a1.h0").effect.item()) < 1e-9


def test_what_is_refused():
    with pytest.raises(InputError, match="kind"):
        ablate_components(model_of(), TOKENS, METRIC, kind="media")
    with pytest.raises(InputError, match="wanted patches that change something"):
        # One sample is its own mean.
        ablate_components(model_of(), TOKENS[:1], LogitDifference(1, 2), kind="mean")
    with pytest.raises(InputError, match="wanted two samples or more"):
        ablate_components(model_of(), TOKENS[:1], LogitDifference(1, 2), kind="resample")


def test_what_zero_is_far_from_is_named_by_the_result():
    model = model_of(n_heads=2)
    with torch.no_grad():
        # Writes about the same whatever it reads: never near zero.
        model.blocks[1].mlp.b_out += 100.0
    tokens = torch.randint(0, 11, (200, 7), generator=torch.Generator().manual_seed(5))
    metric = LogitDifference(3, 4)
    [text] = ablate_components(model, tokens, metric, kind="zero", controls=0).warnings
    _, cache = model.run_with_cache(tokens)
    far: list[str] = []
    for name, site in nodes(model).items():
        [hook] = site.hooks(model)
        sent = cache[hook] if site.index.get("head") is None else cache[hook][:, :, site.index["head"]]
        # Position by position: how far zero is from the mean, and a sample in the middle.
        lengths = [(sent[:, p].mean(0).norm() ** 2, sent[:, p].var(0, correction=0).sum()) for p in range(7)]
        if sum(mean for mean, _ in lengths) > 4 * sum(spread for _, spread in lengths):
            far.append(name)
    assert {"pos_embed", "m1"} <= set(far) and "embed" not in far
    assert text.startswith(f"zero is nothing that {some(far)} ever send on these samples")
    assert ablate_components(model, tokens, metric, kind="mean", of=tokens, controls=0).warnings == ()
    # The mistake: all positions compared with one mean. A table of positions then seems to be spread about zero.
    table = model.W_pos[:7].detach().expand(200, 7, -1)
    assert zero_is_far(table)
    assert not zero_is_far(table.flatten(0, 1)[:, None])


def test_what_a_probability_hides_is_said_by_the_result():
    result = ablate_components(model_of(n_heads=2), TOKENS, Probability(3), kind="mean", of=OTHER, controls=0)
    assert result.warnings == (
        "a probability saturates at 0 and 1: components that lower a small one, or raise a large one, hardly show; "
        "compare with LogitDifference",
    )


def test_the_warnings_of_estimates_stay():
    result = ablate_components(
        model_of(n_heads=2),
        TOKENS,
        METRIC,
        kind="mean",
        of=OTHER,
        controls=0,
        method="attribution",
        recheck=0,
    )
    assert result.approximate
    assert "no estimate was checked exactly: recheck=0" in result.warnings
