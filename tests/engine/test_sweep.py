from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.engine import naive
from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave import KL, HookedTransformer, LogitDifference, Loss, Probability, Rank, Result, Site, sweep
from unweave.core.errors import HookError, InputError
from unweave.engine import Add, Mean, Zero


@pytest.fixture
def model() -> HookedTransformer:
    return small_model(n_layers=3, dtype="float64", positional_embedding_type="standard")


TOKENS = small_tokens()
OTHER = (TOKENS + 1 + torch.arange(7)) % 11
GIVEN = {"input": TOKENS}
RIGHT, WRONG, LAST = TOKENS[:, 0], OTHER[:, 0], torch.tensor([6, 6, 6])
METRIC = LogitDifference(RIGHT, WRONG)


def difference(logits: Tensor) -> Tensor:
    return naive.logit_difference(logits, RIGHT, WRONG, LAST)


def resid_pre_by_hand(model: HookedTransformer, measure: Any) -> Tensor:
    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(model.cfg.n_layers)]
    there = naive.cached(model, {"input": OTHER}, names)
    cells = [
        measure(
            naive.logits_with(
                model, GIVEN, [(name, naive.replacing({"pos": {pos}}, lambda tensor, hook: there[hook]))]
            )
        )
        for name, pos in itertools.product(names, range(7))
    ]
    return torch.stack(cells).unflatten(0, (len(names), 7))


def samples_of(result: Result) -> Tensor:
    assert result.per_sample is not None
    return result.per_sample


METRICS: dict[str, tuple[Any, Any]] = {
    "loss": (Loss(), lambda logits: naive.losses(logits, TOKENS, torch.ones_like(TOKENS))),
    "loss of a target": (
        Loss(target=WRONG, pos=-1),
        lambda logits: -logits[:, -1].log_softmax(-1)[torch.arange(3), WRONG],
    ),
    "probability": (Probability(RIGHT), lambda logits: logits[:, -1].softmax(-1)[torch.arange(3), RIGHT]),
    "rank": (
        Rank(RIGHT),
        lambda logits: (logits[:, -1] > logits[torch.arange(3), -1, RIGHT][:, None]).sum(-1).double(),
    ),
    "two positions": (
        LogitDifference(RIGHT, WRONG, pos=[2, 5]),
        lambda logits: (
            sum(naive.logit_difference(logits, RIGHT, WRONG, torch.full((3,), pos)) for pos in (2, 5)) / 2
        ),
    ),
    "each sample's own position": (
        LogitDifference(RIGHT, WRONG, pos=torch.tensor([1, 4, 6])),
        lambda logits: naive.logit_difference(logits, RIGHT, WRONG, torch.tensor([1, 4, 6])),
    ),
    "a function": (difference, difference),
}


@pytest.mark.parametrize("name", METRICS)
@pytest.mark.parametrize("memory", [1, 2**28])
def test_every_metric_is_the_one_of_full_runs(model: HookedTransformer, name: str, memory: int):
    metric, measure = METRICS[name]
    result = sweep(model, TOKENS, ("resid_pre", "layer", "pos"), source=OTHER, metric=metric, memory=memory)
    assert_equal_to(1e-10, samples_of(result), resid_pre_by_hand(model, measure))
    assert result.dims == ("layer", "pos")
    assert result.coords == {"layer": (0, 1, 2), "pos": tuple(range(7))}
    assert_equal_to(1e-10, result.baselines["clean"], measure(model(TOKENS)))


def test_kl_is_to_the_clean_run(model: HookedTransformer):
    clean = model(TOKENS)[:, -1].log_softmax(-1)

    def divergence(logits: Tensor) -> Tensor:
        return (clean.exp() * (clean - logits[:, -1].log_softmax(-1))).sum(-1)

    result = sweep(model, TOKENS, "resid_pre", source=OTHER, metric=KL())
    assert_equal_to(1e-10, samples_of(result), resid_pre_by_hand(model, divergence))
    assert float(result.baselines["clean"].abs().max()) < 1e-12


def test_a_function_that_gives_one_number(model: HookedTransformer):
    result = sweep(model, TOKENS, "resid_pre", source=OTHER, metric=lambda logits: difference(logits).mean())
    assert_equal_to(1e-10, result.values, resid_pre_by_hand(model, difference).mean(-1))
    assert result.per_sample is None
    with pytest.raises(InputError, match="wanted values by sample"):
        _ = result.interval


def test_hooks_of_the_users_act_in_every_run(model: HookedTransformer):
    seen: list[int] = []

    def scale_third(tensor: Tensor, *, hook: Any) -> Tensor:
        seen.append(tensor.shape[1])
        tensor[0, 3] *= 1.7
        return tensor

    plain = sweep(model, TOKENS, "resid_pre", source=OTHER, metric=METRIC)
    for name in ("blocks.0.hook_mlp_out", "blocks.2.attn.hook_z", "hook_embed", "unembed.hook_in"):
        model.add_hook(name, scale_third)
        result = sweep(model, TOKENS, "resid_pre", source=OTHER, metric=METRIC)
        assert_equal_to(1e-10, samples_of(result), resid_pre_by_hand(model, difference), name)
        assert result.provenance["plan"]["positions"].startswith("all: hooks")
        assert not torch.equal(result.values, plain.values)
        model.reset_hooks()
    assert set(seen) == {7}, "they saw whole runs only"


def test_hooks_with_state_of_the_users(model: HookedTransformer):
    kept: list[Tensor] = []

    def keep(tensor: Tensor, *, hook: Any) -> None:
        kept[:] = [tensor.clone()]

    def use(tensor: Tensor, *, hook: Any) -> Tensor:
        return tensor + 0.3 * kept[0].flip(1)

    model.add_hook("blocks.0.hook_resid_post", keep)
    model.add_hook("blocks.2.hook_resid_pre", use)
    result = sweep(model, TOKENS, "resid_pre", source=OTHER, metric=METRIC)
    assert_equal_to(1e-10, samples_of(result), resid_pre_by_hand(model, difference))


def test_torch_hooks_of_the_users(model: HookedTransformer):
    model.blocks[1].register_forward_hook(lambda module, args, out: out * 1.1)
    result = sweep(model, TOKENS, "resid_pre", source=OTHER, metric=METRIC)
    assert_equal_to(1e-10, samples_of(result), resid_pre_by_hand(model, difference))


def test_a_list_of_patches_two_on_one_site(model: HookedTransformer):
    site, name = Site("resid_mid", 1, pos=[0, 4]), "blocks.1.hook_resid_mid"
    over = {
        "both": [site.interchange(OTHER), site.add(0.5)],
        "turned": [site.add(0.5), site.interchange(OTHER)],
        "two layers": [Site("z", 0, head=1).zero(), Site("post", 2, neuron=3, pos=6).set(1.0)],
        "a function": [(name, lambda tensor, hook: tensor * 2)],
    }
    result = sweep(model, TOKENS, over, metric=METRIC)
    there = naive.cached(model, {"input": OTHER}, [name])[name]
    picked = {"pos": {0, 4}}
    hooks: list[list[Any]] = [
        [(name, naive.replacing(picked, lambda tensor, hook: there + 0.5))],
        [(name, naive.replacing(picked, lambda tensor, hook: there))],
        [
            ("blocks.0.attn.hook_z", naive.replacing({"head": {1}}, lambda tensor, hook: 0 * tensor)),
            (
                "blocks.2.mlp.hook_post",
                naive.replacing({"neuron": {3}, "pos": {6}}, lambda tensor, hook: torch.ones_like(tensor)),
            ),
        ],
        [(name, lambda tensor, hook: tensor * 2)],
    ]
    wanted = torch.stack([difference(naive.logits_with(model, GIVEN, some)) for some in hooks])
    assert_equal_to(1e-10, samples_of(result), wanted)
    assert result.coords == {"patch": tuple(over)}


def test_neurons_keys_and_families(model: HookedTransformer):
    neurons = sweep(model, TOKENS, (Site("post", 1), "neuron"), operation=Zero(), metric=METRIC)
    zeroed = [
        naive.logits_with(
            model,
            GIVEN,
            [("blocks.1.mlp.hook_post", naive.replacing({"neuron": {n}}, lambda tensor, hook: 0 * tensor))],
        )
        for n in range(model.cfg.d_mlp or 0)
    ]
    assert_equal_to(1e-10, samples_of(neurons), torch.stack([difference(logits) for logits in zeroed]))
    cells = sweep(
        model,
        TOKENS,
        (Site("pattern", 2, pos=-1), "head", "key"),
        operation=Add(0.1),
        metric=METRIC,
        controls=0,
    )
    assert cells.values.shape == (2, 7)
    streams = sweep(model, TOKENS, Site(("resid_pre", "attn_out", "mlp_out")), source=OTHER, metric=METRIC)
    assert streams.dims == ("site", "layer", "pos")
    assert_equal_to(1e-10, samples_of(streams.sel(site="resid_pre")), resid_pre_by_hand(model, difference))


def test_positions_are_left_out_only_where_attention_looks_back(model: HookedTransformer):
    lengths: list[int] = []
    attention = type(model.blocks[0].attn)
    plain = attention.attend

    def spied(self: Any, q: Tensor, *args: Any) -> Tensor:
        lengths.append(q.shape[1])
        return plain(self, q, *args)

    both = small_model(n_layers=2, dtype="float64", attention_dir="bidirectional")
    try:
        attention.attend = spied
        sweep(
            model,
            TOKENS,
            (Site("resid_pre", pos=[5]), "layer", "pos"),
            source=OTHER,
            metric=METRIC,
            controls=0,
        )
        assert 2 in lengths
        lengths.clear()
        sweep(
            both,
            TOKENS,
            (Site("resid_pre", pos=[5]), "layer", "pos"),
            source=OTHER,
            metric=METRIC,
            controls=0,
        )
        assert set(lengths) == {7}
    finally:
        attention.attend = plain


@pytest.mark.parametrize("change", ["step", "copy_", "data", "load"])
def test_changed_weights_are_seen(model: HookedTransformer, change: str):
    before = sweep(model, TOKENS, "resid_pre", source=OTHER, metric=METRIC)
    if change == "step":
        model(TOKENS, return_type="loss").backward()
        torch.optim.SGD(model.parameters(), lr=0.5).step()
    elif change == "copy_":
        with torch.no_grad():
            model.blocks[1].mlp.W_in.copy_(model.blocks[1].mlp.W_in * 2)
    elif change == "data":
        model.blocks[1].mlp.W_in.data[:] *= 2
    else:
        model.load_state_dict(
            small_model(
                n_layers=3, dtype="float64", positional_embedding_type="standard", seed=5
            ).state_dict()
        )
    after = sweep(model, TOKENS, "resid_pre", source=OTHER, metric=METRIC)
    assert_equal_to(1e-10, samples_of(after), resid_pre_by_hand(model, difference))
    assert not torch.equal(before.values, after.values)
    assert before.provenance["weights"] != after.provenance["weights"]
    assert before.provenance["data"] == after.provenance["data"]


def test_normalised_is_zero_without_patches_and_one_with_all(model: HookedTransformer):
    everything = {"all": Site("resid_pre", 0).interchange(OTHER)}
    result = sweep(model, TOKENS, ("resid_pre", "layer", "pos"), source=OTHER, metric=METRIC, normalise=True)
    clean, source = difference(model(TOKENS)).mean(), difference(model(OTHER)).mean()
    wanted = (resid_pre_by_hand(model, difference).mean(-1) - clean) / (source - clean)
    assert_equal_to(1e-9, result.values, wanted)
    assert result.baselines["source"].mean().item() == pytest.approx(1.0)
    assert sweep(model, TOKENS, everything, metric=METRIC).values.item() == pytest.approx(source.item())


def test_random_controls_change_as_much_in_other_directions(model: HookedTransformer):
    result = sweep(model, TOKENS, "resid_pre", source=OTHER, metric=METRIC, controls=5, seed=3)
    again = sweep(model, TOKENS, "resid_pre", source=OTHER, metric=METRIC, controls=5, seed=3, memory=1)
    assert result.baselines["random"].shape == (5, 3)
    assert_equal_to(1e-10, again.baselines["random"], result.baselines["random"])
    assert result.beyond_random.shape == result.values.shape


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"over": "resid_per"}, "wanted the name of a hook of this model"),
        ({"source": small_tokens(pos=5)}, "wanted a source of 7 positions, as the tokens have; got 5"),
        ({"source": TOKENS}, "wanted patches that change something"),
        ({"operation": Zero()}, "wanted either source= .* or operation= .*; got both"),
        ({"source": None}, "got neither"),
        ({"over": ("resid_pre", "head")}, "wanted a site with heads to sweep over"),
        ({"over": ("resid_pre", "layers")}, "wanted axes among"),
        ({"over": [], "source": None}, "wanted a site, a site and axes"),
        ({"method": "exactly"}, "method"),
        ({"metric": LogitDifference(3, 11)}, "wanted for wrong tokens from 0 to 10; got 11"),
        (
            {"metric": LogitDifference(3, 3), "normalise": True},
            "wanted a metric that differs between run and source",
        ),
        ({"metric": Loss(pos=-1)}, "wanted positions that have a next token"),
        ({"metric": lambda logits: logits}, "wanted a number, or one for each of 3 samples"),
        ({"metric": LogitDifference(1, 2, pos=9)}, "wanted pos from -7 to 6; got 9"),
    ],
)
def test_what_is_refused(model: HookedTransformer, given: dict[str, Any], message: str):
    asked = {"over": "resid_pre", "source": OTHER, "metric": METRIC, **given}
    with pytest.raises(InputError, match=message):
        sweep(model, TOKENS, asked.pop("over"), **asked)


def test_padding_is_not_read_by_accident(model: HookedTransformer):
    mask = torch.ones_like(TOKENS)
    mask[1, -2:] = 0
    with pytest.raises(InputError, match="got padding at a position that it reads"):
        sweep(model, TOKENS, "resid_pre", operation=Zero(), metric=METRIC, attention_mask=mask)


def test_the_identity_patch_changes_nothing_where_that_is_fine(model: HookedTransformer):
    result = sweep(model, TOKENS, "z", source=TOKENS, metric=METRIC, allow_equal=True, controls=0)
    assert_equal_to(1e-10, samples_of(result), difference(model(TOKENS)).expand(3, 2, 3))


def test_nothing_is_left_on_the_model(model: HookedTransformer):
    before, offset = model(TOKENS), model.run_offset
    with pytest.raises(HookError):
        sweep(model, TOKENS, "nowhere", source=OTHER, metric=METRIC)
    sweep(model, TOKENS, "resid_pre", operation=Mean(), metric=METRIC)
    assert torch.equal(model(TOKENS), before)
    assert model.run_offset == offset
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("memory", [1, 2**28])
@pytest.mark.parametrize("kind", ["add", "set"])
def test_values_of_each_sample_stay_with_their_sample_when_samples_are_split(
    model: HookedTransformer, kind: str, memory: int
):
    value = torch.randn(
        3, 2, model.cfg.d_model, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    site = Site("resid_pre", 1, pos=slice(2, 4))
    given = site.add(value) if kind == "add" else site.set(value)
    result = sweep(model, TOKENS, [given], metric=METRIC, controls=0, memory=memory)

    def by_hand(tensor: Tensor, *, hook: Any) -> Tensor:
        new = tensor.clone()
        new[:, 2:4] = value if kind == "set" else new[:, 2:4] + value
        return new

    wanted = difference(naive.logits_with(model, GIVEN, [("blocks.1.hook_resid_pre", by_hand)]))
    assert_equal_to(1e-10, result.per_sample[0], wanted)
    # The mistake: the first rows for every part of the samples.
    assert not torch.allclose(wanted, difference(naive.logits_with(model, GIVEN, [
        ("blocks.1.hook_resid_pre", lambda tensor, *, hook: by_hand_first(tensor, value, kind))])))  # fmt: skip


def by_hand_first(tensor: Tensor, value: Tensor, kind: str) -> Tensor:
    new = tensor.clone()
    new[:, 2:4] = value[:1] if kind == "set" else new[:, 2:4] + value[:1]
    return new


def test_values_for_another_number_of_samples_are_refused_before_anything_runs(model: HookedTransformer):
    for memory in (1, 2**28):
        with pytest.raises(InputError) as raised:
            sweep(
                model,
                TOKENS,
                [Site("resid_pre", 1).add(torch.zeros(6, 7, 16, dtype=torch.float64))],
                metric=METRIC,
                memory=memory,
            )
        assert str(raised.value).startswith(
            "wanted values for each of 3 samples, or for all; got 6 rows, of shape (6, 7, 16); give the first dimension"
        )


@pytest.mark.parametrize("memory", [1, 2**28])
def test_the_last_layer_runs_only_the_positions_that_are_read(
    model: HookedTransformer, memory: int, monkeypatch: pytest.MonkeyPatch
):
    widths: list[int] = []
    mlp = model.blocks[2].mlp
    forward = mlp.forward
    monkeypatch.setattr(mlp, "forward", lambda x: (widths.append(x.shape[1]), forward(x))[1])
    over = ("resid_pre", "layer", "pos")
    late = LogitDifference(RIGHT, WRONG, pos=slice(5, None))
    result = sweep(model, TOKENS, over, source=OTHER, metric=late, controls=0, memory=memory)
    # The run without patches and the source's one go over everything.
    whole = widths.count(7)
    assert whole == 2 and set(widths) - {7} <= {1, 2}
    widths.clear()
    # What is changed within the layer, at an earlier position too, must run from there on.
    sweep(model, TOKENS, ("resid_mid", "layer", "pos"), source=OTHER, metric=late, controls=0, memory=memory)
    assert widths.count(7) > whole

    def measure(logits: Tensor) -> Tensor:
        return torch.stack(
            [naive.logit_difference(logits, RIGHT, WRONG, torch.full((3,), p)) for p in (5, 6)]
        ).mean(0)

    assert_equal_to(1e-10, result.per_sample, resid_pre_by_hand(model, measure))
