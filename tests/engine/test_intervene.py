from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave import HookedTransformer, Inputs, Site, intervene
from unweave.core.errors import HookError, InputError
from unweave.engine import Intervention

N_LAYERS, N_HEADS, D_MODEL = 3, 2, 8


@pytest.fixture
def model() -> HookedTransformer:
    return small_model(n_layers=N_LAYERS, dtype="float64", positional_embedding_type="standard")


def tokens() -> Tensor:
    return small_tokens()


def other() -> Tensor:
    return (small_tokens() + 1 + torch.arange(7)) % 11


def only(model: HookedTransformer, given: Tensor, name: str, **others: Any) -> Tensor:
    """One activation, cached alone: hooks elsewhere may change which kernel computes it."""
    return model.run_with_cache(given, names_filter=[name], **others)[1][name]


def at(model: HookedTransformer, change: Intervention, name: str, **given: Any) -> tuple[Tensor, Tensor]:
    """The activation without the change and with it."""
    clean = only(model, tokens(), name)
    found = intervene(model, tokens(), change, cache=[name], **given)
    assert found.cache is not None
    return clean, found.cache[name]


def test_zero_reaches_what_it_names_and_nothing_else(model: HookedTransformer):
    clean, after = at(model, Site("z", 0, head=1, pos=[0, 3]).zero(), "blocks.0.attn.hook_z")
    wanted = clean.clone()
    wanted[:, 0, 1] = wanted[:, 3, 1] = 0
    assert torch.equal(after, wanted)


def test_positions_of_each_sample(model: HookedTransformer):
    clean, after = at(
        model, Site("resid_pre", 1, pos=torch.tensor([0, 2, -1])).set(5.0), "blocks.1.hook_resid_pre"
    )
    wanted = clean.clone()
    for sample, pos in enumerate([0, 2, 6]):
        wanted[sample, pos] = 5.0
    assert torch.equal(after, wanted)


def test_several_positions_and_heads_that_are_not_neighbours(model: HookedTransformer):
    model = small_model(n_layers=1, n_heads=4, dtype="float64")
    site = Site("pattern", 0, head=[0, 3], pos=torch.tensor([[1, 4], [0, 2], [5, 6]]), key=[0, 2])
    clean, after = at(model, site.zero(), "blocks.0.attn.hook_pattern")
    wanted = clean.clone()
    for sample, queries in enumerate([[1, 4], [0, 2], [5, 6]]):
        for head in (0, 3):
            for query in queries:
                for key in (0, 2):
                    wanted[sample, head, query, key] = 0
    assert torch.equal(after, wanted)


def test_add_neurons(model: HookedTransformer):
    clean, after = at(model, Site("post", 1, neuron=slice(2, 5)).add(0.25), "blocks.1.mlp.hook_post")
    wanted = clean.clone()
    wanted[..., 2:5] += 0.25
    assert torch.equal(after, wanted)


def test_the_mean_of_each_position_and_over_all(model: HookedTransformer):
    name = "blocks.1.hook_mlp_out"
    there = only(model, other(), name)
    _, after = at(model, Site("mlp_out", 1).mean(other()), name)
    assert_equal_to(1e-12, after, there.mean(0).expand_as(after))
    _, after = at(model, Site("mlp_out", 1).mean(other(), per="all"), name)
    assert_equal_to(1e-12, after, there.mean((0, 1)).expand_as(after))


def test_padding_is_left_out_of_the_mean(model: HookedTransformer):
    name, mask = "blocks.1.hook_resid_pre", torch.ones(3, 7, dtype=torch.long)
    mask[0, :3] = mask[1, :1] = 0
    there = model.run_with_cache(other(), attention_mask=mask)[1][name]
    _, after = at(model, Site("resid_pre", 1).mean(Inputs(other(), mask), per="all"), name)
    wanted = torch.cat([there[0, 3:], there[1, 1:], there[2]]).mean(0)
    assert_equal_to(1e-12, after, wanted.expand_as(after))


def test_resample_reads_the_permutation_and_no_sample_stays(model: HookedTransformer):
    name = "blocks.1.attn.hook_q"
    clean, after = at(model, Site("q", 1).resample(permutation=torch.tensor([1, 2, 0])), name)
    assert torch.equal(after, clean[[1, 2, 0]])
    clean, after = at(model, Site("q", 1).resample(seed=3), name)
    assert all(not torch.equal(after[s], clean[s]) for s in range(3))
    assert sorted(after.flatten(1).sum(1).tolist()) == sorted(clean.flatten(1).sum(1).tolist())


def test_interchange_from_other_positions(model: HookedTransformer):
    name, longer = "blocks.1.hook_resid_pre", torch.cat([other(), other()], 1)[:, :7]
    there = only(model, longer, name)
    clean, after = at(model, Site("resid_pre", 1, pos=[1, 2]).interchange(longer, pos=[6, 0]), name)
    wanted = clean.clone()
    wanted[:, 1], wanted[:, 2] = there[:, 6], there[:, 0]
    assert torch.equal(after, wanted)


def test_a_cache_serves_as_the_source(model: HookedTransformer):
    name = "blocks.1.hook_resid_pre"
    cache = model.run_with_cache(other())[1]
    _, after = at(model, Site("resid_pre", 1).interchange(cache), name)
    assert torch.equal(after, cache[name])


def test_a_direction_and_a_subspace(model: HookedTransformer):
    name = "blocks.2.hook_resid_pre"
    rows = torch.randn(2, D_MODEL, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    clean, after = at(model, Site("resid_pre", 2, direction=rows).project_out(), name)
    projector = rows.T @ torch.linalg.inv(rows @ rows.T) @ rows
    assert_equal_to(1e-12, after, clean - clean @ projector)
    there = only(model, other(), name)
    _, after = at(model, Site("resid_pre", 2, direction=rows).interchange(other()), name)
    assert_equal_to(1e-12, after, clean + (there - clean) @ projector)


def test_freeze_keeps_what_the_run_has_without_interventions(model: HookedTransformer):
    clean = only(model, tokens(), "blocks.2.attn.hook_pattern")
    found = intervene(
        model,
        tokens(),
        [Site("resid_pre", 0).add(1.0), Site("pattern").freeze()],
        cache=["blocks.2.attn.hook_pattern"],
    )
    assert found.cache is not None
    assert_equal_to(1e-12, found.cache["pattern", 2], clean)
    assert not torch.equal(found.logits, model(tokens()))


def test_several_at_one_site_act_in_order(model: HookedTransformer):
    site, name = Site("resid_mid", 1), "blocks.1.hook_resid_mid"
    first = intervene(model, tokens(), [site.add(1.0), site.set(2.0)], cache=[name])
    second = intervene(model, tokens(), [site.set(2.0), site.add(1.0)], cache=[name])
    assert first.cache is not None and second.cache is not None
    assert bool((first.cache[name] == 2.0).all()) and bool((second.cache[name] == 3.0).all())


def test_functions_of_both_kinds(model: HookedTransformer):
    name = "blocks.1.hook_resid_mid"
    clean, after = at(model, Site("resid_mid", 1, pos=2).apply(torch.sin), name)
    wanted = clean.clone()
    wanted[:, 2] = clean[:, 2].sin()
    assert torch.equal(after, wanted)
    found = intervene(model, tokens(), (name, lambda tensor, hook: tensor.sin()))
    assert_equal_to(
        1e-12, found.logits, model.run_with_hooks(tokens(), fwd_hooks=[(name, lambda t, hook: t.sin())])
    )


def test_the_receipt_says_what_was_done(model: HookedTransformer):
    clean = model.run_with_cache(tokens())[1]["blocks.0.attn.hook_z"][:, :, 1]
    hit, later = intervene(
        model, tokens(), [Site("z", 0, head=1).zero(), Site("resid_post", -1, pos=-1).add(2.0)]
    ).receipt
    assert (hit.hook, hit.operation) == ("blocks.0.attn.hook_z", "zero ablation")
    assert hit.entries == hit.changed == clean.numel()
    assert hit.norm_before == pytest.approx(clean.norm().item()) == hit.norm_change
    assert hit.norm_after == 0.0
    assert later.norm_change == pytest.approx(2.0 * (3 * D_MODEL) ** 0.5)


def test_gradients_flow_through_an_intervention(model: HookedTransformer):
    value = torch.zeros(D_MODEL, dtype=torch.float64, requires_grad=True)
    intervene(model, tokens(), Site("resid_pre", 1, pos=2).add(value)).logits.sum().backward()
    assert value.grad is not None and bool(value.grad.abs().sum() > 0)


def test_nothing_stays(model: HookedTransformer):
    before = model(tokens())
    intervene(model, tokens(), Site("z").zero())
    assert torch.equal(model(tokens()), before)
    assert not any(point.active for point in model.hook_points())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda: Site("zz", 0).zero(), "wanted the name of a hook"),
        (lambda: Site("z", 7).zero(), "wanted a layer from -3 to 2; got 7"),
        (lambda: Site("resid_pre", 0, head=1).zero(), "wanted a site with a dimension 'head'"),
        (lambda: Site("z", 0, head=5).zero(), "wanted head from -2 to 1; got 5"),
        (lambda: Site("z", 0, pos=7).zero(), "wanted pos from -7 to 6; got 7"),
        (lambda: Site("z", 0, pos=[1, 1]).zero(), "wanted each pos once"),
        (lambda: Site("z", 0, pos=slice(3, 3)).zero(), "wanted at least one pos"),
        (lambda: Site("z", 0).project_out(), "wanted a direction or subspace"),
        (lambda: Site("z", 0).set(torch.zeros(3)), r"wanted a number, 4 numbers, or one for each entry"),
        (lambda: Site("z", 0).interchange(small_tokens(pos=5)), "wanted a source of 7 positions"),
        (lambda: Site("z", 0).interchange(small_tokens(batch=2)), "wanted a source of 3 samples"),
        (lambda: Site("z", 0).interchange(small_tokens()), "wanted patches that change something"),
        (lambda: Site("z", 0).interchange({}), "wanted a cache that holds blocks.0.attn.hook_z"),
        (
            lambda: Site("resid_pre", 0, direction=torch.zeros(8)).zero(),
            "wanted directions of which none depends",
        ),
        (lambda: Site("resid_pre", 0, direction=torch.ones(5)).zero(), "wanted a direction of 8 numbers"),
        (lambda: Site("pattern", 0).mean(per="all"), "wanted a mean of each position"),
        (lambda: Site("z", 0).apply(lambda z: z[0]), "wanted a tensor of shape"),
        (lambda: Site("z", 0).resample(permutation=torch.tensor([0, 1])), "wanted a permutation of 3"),
        (list, "wanted at least one intervention"),
    ],
)
def test_what_is_refused(model: HookedTransformer, change: Any, message: str):
    with pytest.raises(InputError, match=message):
        intervene(model, tokens(), change())


def test_a_site_that_is_not_there_names_its_neighbours(model: HookedTransformer):
    with pytest.raises(HookError, match=r"nearest: .*resid_pre"):
        intervene(model, tokens(), Site("resid_per", 1).zero())


def test_plain_tokens_beside_a_mask_are_refused(model: HookedTransformer):
    mask = torch.ones(3, 7, dtype=torch.long)
    with pytest.raises(InputError, match="wanted a source that says what is padded"):
        intervene(model, tokens(), Site("z", 0).interchange(other()), attention_mask=mask)
