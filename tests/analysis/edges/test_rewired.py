"""Any set of edges in one forward equals the definition, edge by edge."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.analysis.edges import naive
from tests.core.unchecked import as_users_run
from tests.model.features import FEATURES
from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.analysis import edges
from unweave.core.edges import Edge
from unweave.core.errors import InputError
from unweave.engine import Inputs, Mean, Resample, Zero
from unweave.model.transformer import HookedTransformer

LN = {"normalization_type": "LN", "positional_embedding_type": "standard", "n_heads": 2}
REFUSED = ("norms after", "norms of the stream", "post norms", "before and after", "token types")
CASES: dict[str, dict[str, Any]] = {
    "plain": LN,
    "three layers": {**LN, "n_layers": 3, "normalization_type": "RMS"},
    "attention only": {**LN, "attn_only": True},
    "parallel, multiplied": {**LN, "parallel_attn_mlp": True, "residual_multiplier": 0.5},
    "sinusoidal": {**LN, "positional_embedding_type": "sinusoidal"},
    "no norms": {**LN, "normalization_type": None},
    **{
        name: FEATURES[name]
        for name in (
            *("shortformer", "rotary, adjacent", "alibi", "t5", "grouped", "one group, rotary", "window"),
            *("both ways", "soft caps", "qk norm", "qk norm, each head", "qk norm, all heads", "clipped"),
            *("gated", "experts", "embedding norm", "multipliers", "tied", "no biases, grouped", "final rms"),
        )
    },
}


def model_of(name: str) -> HookedTransformer:
    return small_model(**{"dtype": "float64", **CASES[name]})


def some(possible: list[Edge], share: float, seed: int) -> list[Edge]:
    draw = torch.rand(len(possible), generator=torch.Generator().manual_seed(seed))
    return [edge for edge, number in zip(possible, draw.tolist(), strict=True) if number < share]


def two_runs() -> tuple[Tensor, Tensor]:
    return small_tokens(), torch.randint(0, 11, (3, 7), generator=torch.Generator().manual_seed(5))


@pytest.mark.parametrize("name", CASES)
def test_any_set_of_edges_in_one_forward_is_what_the_definition_says(name: str):
    model, (tokens, other) = model_of(name), two_runs()
    possible = naive.edges_of(model)
    assert set(possible) == set(edges.possible(model))
    instead = naive.sent(model, other)
    for share, seed in ((0.05, 0), (0.4, 1), (1.0, 3)):
        cut = some(possible, share, seed) or possible[:1]
        grouped = model.cfg.n_key_value_heads is not None
        model.cfg.ungroup_grouped_query_attention = grouped
        wanted = naive.run(model, tokens, instead, cut)
        model.cfg.ungroup_grouped_query_attention = False
        assert_equal_to(1e-9, edges.run(model, tokens, other, cut), wanted, f"{name}, {share}")
        assert not model.cfg.ungroup_grouped_query_attention
    # With every edge cut it is the other run.
    assert_equal_to(1e-9, wanted, model(other), name)


@pytest.mark.parametrize("name", ["plain", "parallel, multiplied"])
def test_what_is_taken_out_is_what_the_sender_sends_in_this_run(name: str):
    """The mistake of taking out what it sends in the clean run shows as soon as cut edges follow each other."""
    model, (tokens, other) = model_of(name), two_runs()
    cut = some(naive.edges_of(model), 0.3, 1)
    clean, instead = naive.sent(model, tokens), naive.sent(model, other)
    wanted = naive.run(model, tokens, instead, cut)
    mistaken = naive.run(model, tokens, instead, cut, stale=clean)
    assert (mistaken - wanted).abs().max() > 1e-2 * wanted.abs().max()
    assert_equal_to(1e-9, edges.run(model, tokens, other, cut), wanted)


def test_the_norm_comes_after_what_is_patched():
    """The mistake of adding the difference behind the final norm gives other logits."""
    model, (tokens, other) = model_of("plain"), two_runs()
    edge = Edge.parse("m1->logits")
    change = naive.sent(model, other)["m1"] - naive.sent(model, tokens)["m1"]
    behind = model.run_with_hooks(tokens, fwd_hooks=[("unembed.hook_in", lambda x, hook: x + change)])
    wanted = naive.run(model, tokens, naive.sent(model, other), [edge])
    assert (behind - wanted).abs().max() > 1e-2 * wanted.abs().max()
    assert_equal_to(1e-9, edges.run(model, tokens, other, ["m1->logits"]), wanted)


def test_heads_that_share_keys_have_edges_of_their_own():
    """Beside a model in which every head has its keys and values itself, with the same weights."""
    fields = {**LN, "n_heads": 4, "dtype": "float64"}
    shared, own = small_model(**fields, n_key_value_heads=2), small_model(**fields)
    weights = dict(shared.state_dict())
    for layer in range(2):
        for which in "KV":
            for kind in "Wb":
                name = f"blocks.{layer}.attn.{kind}_{which}"
                weights[name] = weights.pop(name.replace(f"{kind}_", f"_{kind}_")).repeat_interleave(2, 0)
    own.load_state_dict(weights)
    tokens, other = two_runs()
    cut = ["a0.h1->a1.h3<k>", "embed->a1.h2<v>", "embed->a0.h0<k>"]
    assert_equal_to(1e-9, edges.run(shared, tokens, other, cut), edges.run(own, tokens, other, cut))
    # The mistake of cutting the keys of the whole group.
    group = [*cut, "a0.h1->a1.h2<k>", "embed->a1.h3<v>", "embed->a0.h1<k>"]
    assert (edges.run(own, tokens, other, group) - edges.run(own, tokens, other, cut)).abs().max() > 1e-3


def test_padding_is_honoured():
    model, (tokens, other) = model_of("plain"), two_runs()
    mask = torch.ones_like(tokens)
    mask[0, :3], mask[1, 5:] = 0, 0
    cut = some(naive.edges_of(model), 0.3, 1)
    wanted = naive.run(model, tokens, naive.sent(model, other, attention_mask=mask), cut, attention_mask=mask)
    found = edges.run(model, tokens, Inputs(other, mask), cut, attention_mask=mask)
    assert_equal_to(1e-9, found[mask.bool()], wanted[mask.bool()])


def test_what_cut_edges_carry_may_be_zero_a_mean_or_another_sample():
    model, (tokens, other) = model_of("plain"), two_runs()
    cut, there = some(naive.edges_of(model), 0.3, 1), naive.sent(model, other)
    order = torch.tensor([1, 2, 0])
    cases: list[tuple[Any, Any]] = [
        (Zero(), lambda x: torch.zeros_like(x)),
        (Mean(other), lambda x: x.mean(0, keepdim=True).expand_as(x)),
        (Mean(other, "all"), lambda x: x.mean((0, 1), keepdim=True).expand_as(x)),
        (Resample(other, order), lambda x: x[order]),
        (model.run_with_cache(other, names_filter=lambda name: True)[1], lambda x: x),
    ]
    for ablation, of in cases[:4]:
        wanted = naive.run(model, tokens, {name: of(tensor) for name, tensor in there.items()}, cut)
        assert_equal_to(1e-9, edges.run(model, tokens, ablation, cut), wanted)


def test_few_runs_a_batch_or_many_give_the_same():
    model, (tokens, other) = model_of("three layers"), two_runs()
    metric = lambda logits: logits[:, -1, 3]  # noqa: E731
    sets = {str(n): some(naive.edges_of(model), 0.2, n) for n in range(6)}
    found = [edges.patch_sets(model, tokens, other, metric, sets, memory=m) for m in (1, 2**28)]
    assert_equal_to(1e-9, found[0].values, found[1].values)
    assert found[0].provenance["plan"]["batches"] == 7
    assert found[1].provenance["plan"]["batches"] <= 2
    assert found[0].per_sample is not None
    wanted = edges.run(model, tokens, other, sets["4"])[:, -1, 3]
    assert_equal_to(1e-9, found[0].per_sample[4], wanted)


@pytest.mark.parametrize(
    "name", ["norms after", "norms of the stream", "post norms", "token types", "RMS, before and after"]
)
def test_models_whose_components_don_t_add_up_are_refused(name: str):
    with pytest.raises(InputError, match=r"wanted .*for edges; got .*; ask about components with sweep"):
        edges.possible(small_model(**FEATURES[name]))


def test_mistakes_are_told():
    model, (tokens, other) = model_of("plain"), two_runs()
    with pytest.raises(InputError, match=r"got a0.h5->logits; nearest: a0.h1->logits, a0.h0->logits"):
        edges.run(model, tokens, other, ["a0.h5->logits"])
    told = "wanted the run that cut edges carry values from, or an operation"
    with as_users_run(), pytest.raises(InputError, match=told):
        edges.run(model, tokens, "zero", ["m0->logits"])  # pyright: ignore[reportArgumentType]
    with pytest.raises(InputError, match="values equal everywhere to what they replace"):
        edges.run(model, tokens, tokens, ["m0->logits"])
    with pytest.raises(InputError, match="wanted a source of 7 positions"):
        edges.run(model, tokens, other[:, :5], ["m0->logits"])
    model.add_hook("blocks.0.hook_mlp_out", lambda x, hook: x)
    with pytest.raises(
        InputError, match=r"without hooks of your own, for edges; got some on it; model.reset_hooks"
    ):
        edges.run(model, tokens, other, ["m0->logits"])
