"""Path patching against runs written out path by path, and against planted circuits; and what goes wrong without care."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.analysis.models import assert_equal, no_hooks_left, random_model, random_tokens
from tests.equivalent_models import equivalents
from tests.planted import by_hand
from tests.planted.loaded import exact
from unweave import planted
from unweave.analysis.paths import every_receiver, path_patching
from unweave.core.edges import Edge, Node
from unweave.core.errors import InputError
from unweave.engine.inputs import Inputs
from unweave.engine.metrics import LogitDifference, Probability
from unweave.engine.site import Site
from unweave.engine.sweep import sweep
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer

Measure = Callable[[Tensor], Tensor]


def weighted(model: HookedTransformer, n_pos: int) -> Measure:
    """Every logit counts, each with a weight of its own."""
    weights = torch.randn(n_pos, model.cfg.d_vocab_out, generator=torch.Generator().manual_seed(5)).double()

    def measure(logits: Tensor) -> Tensor:
        return (logits.double() * weights).sum((1, 2))

    return measure


def runs_of(it: planted.PlantedModel, n: int = 24) -> tuple[Tensor, Tensor]:
    rows = it.inputs()
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1))
    return rows[order[:n]], rows[order[n : 2 * n]]


def swapped(it: planted.PlantedModel, clean: Tensor, sent: dict[Node, Tensor], edges: list[Edge]) -> Tensor:
    return by_hand.run(it.model, clean, {edge: sent[edge.sender] for edge in edges})[0]


@pytest.mark.parametrize("name", planted.names())
def test_every_edge_of_a_planted_model(name: str):
    """Each sender by each receiver is the run in which that edge alone carries what the other run sends; and it
    changes something exactly if the edge is one that carries tokens."""
    it = exact(name)
    clean, other = runs_of(it)
    measure = weighted(it.model, clean.shape[1])
    _, sent = by_hand.run(it.model, other)
    found = path_patching(it.model, clean, other, measure, receivers=every_receiver(it.model), controls=0)
    assert found.per_sample is not None
    assert found.dims == ("sender", "receiver")
    before = measure(it.model(clean))
    acting: set[str] = set()
    for (row, sender), (column, receiver) in itertools.product(
        enumerate(found.coords["sender"]), enumerate(found.coords["receiver"])
    ):
        got = found.per_sample[row, column]
        try:
            edge = Edge.parse(f"{sender}->{receiver}")
        except InputError:
            assert torch.equal(got, before.detach()), "there is no path that runs backwards"
            continue
        assert_equal(got, measure(swapped(it, clean, sent, [edge])), 1e-9)
        if float(found.effect_per_sample[row, column].abs().max()) > 1e-3:
            acting.add(str(edge))
    assert acting == {str(edge) for edge in it.token_edges}


def test_sets_of_senders_and_receivers():
    it = exact("sort-by-frequency")
    clean, other = runs_of(it)
    measure = weighted(it.model, clean.shape[1])
    _, sent = by_hand.run(it.model, other)
    found = path_patching(
        it.model,
        clean,
        other,
        measure,
        senders={"both": ["embed", "m1"], "the MLP": "m0"},
        receivers=[["a2.h0", "a3.h0<v>"], "m1"],
    )
    assert found.coords["receiver"] == ("a2.h0 + a3.h0<v>", "m1")
    ends = ["a2.h0<q>", "a2.h0<k>", "a2.h0<v>", "a3.h0<v>"]
    edges = [Edge.parse(f"{sender}->{end}") for sender in ("embed", "m1") for end in ends]
    wanted = measure(swapped(it, clean, sent, edges)).mean()
    assert_equal(found.sel(sender="both", receiver="a2.h0 + a3.h0<v>").values, wanted, 1e-9)
    for some in (edges[4:], edges[:4], [edges[3], edges[4]]):
        assert not torch.allclose(wanted, measure(swapped(it, clean, sent, some)).mean(), rtol=1e-3)
    [only] = [Edge.parse("m0->m1")]
    wanted = measure(swapped(it, clean, sent, [only])).mean()
    assert_equal(found.sel(sender="the MLP", receiver="m1").values, wanted, 1e-9)


@pytest.mark.parametrize(
    ("through", "recomputed"),
    [
        ("mlps", ["m0", "m1", "m2"]),
        (["m0", "a2.h0"], ["m0", "a2.h0"]),
        ("all", ["a0.h0", "m0", "m1", "a2.h0", "m2"]),
    ],
)
def test_what_may_carry_the_change_is_computed_anew(through: str | list[str], recomputed: list[str]):
    """Two runs by hand: what everyone sends when only these react, and then the receiver, who hears of it."""
    it = exact("sort-by-frequency")
    clean, other = runs_of(it)
    measure = weighted(it.model, clean.shape[1])
    (_, kept), (_, sent) = by_hand.run(it.model, clean), by_hand.run(it.model, other)
    frozen = {node: kept[node] for node in kept if str(node) not in recomputed} | {
        Node("embed"): sent[Node("embed")]
    }
    _, carried = by_hand.run(it.model, clean, ablate=frozen)
    ends = ["a3.h0<k>", "m2"]
    found = path_patching(
        it.model, clean, other, measure, senders="embed", receivers=ends, through=through, controls=0
    )
    for end in ends:
        receiver = Edge.parse(f"embed->{end}").receiver
        edges = [Edge.parse(f"{node}->{end}") for node in carried if node.depth < receiver.depth]
        wanted = measure(swapped(it, clean, carried, edges))
        assert_equal(found.sel(receiver=end).values[0], wanted.mean(), 1e-9)


# Models that do all sorts of things between a sender and a receiver.
KINDS: dict[str, dict[str, Any]] = {
    "plain": {"positional_embedding_type": "standard"},
    "grouped, rotary, gated, RMS": {
        "d_head": 4,
        "n_heads": 4,
        "n_key_value_heads": 2,
        "positional_embedding_type": "rotary",
        "gated_mlp": True,
        "act_fn": "silu",
        "normalization_type": "RMS",
    },
    "parallel": {"parallel_attn_mlp": True, "act_fn": "gelu"},
    "norms after": {"use_normalization_before_and_after": True},
    "norms of the stream": {"norm_position": "stream"},
}


def by_three_runs(
    model: HookedTransformer, clean: Tensor, other: Tensor, sender: str, end: tuple[str, Any]
) -> Tensor:
    """Wang et al.'s: cache, then freeze all but the sender, then put the receiver's input in; by plain hooks.

    Args:
        end: a hook of a receiver's own, past the norm (queries, say), and the head of it; None is all.
    """
    names = [n for n in model.hook_dict if n.endswith(("hook_z", "mlp_out", "hook_embed"))]
    _, kept = model.run_with_cache(clean, names_filter=names)
    _, sent = model.run_with_cache(other, names_filter=names)
    node, (name, head) = Node.parse(sender), end

    def freeze(tensor: Tensor, *, hook: Any) -> Tensor:
        new = kept[hook.name].clone()
        if hook.name.endswith("hook_z") and node.kind == "head" and f"blocks.{node.layer}." in hook.name:
            new[:, :, node.head] = sent[hook.name][:, :, node.head]
        elif node.kind != "head" and hook.name == node.writes:
            new = sent[hook.name]
        return new

    kept_hooks = [(n, freeze) for n in names]
    if name == "logits":
        return model.run_with_hooks(clean, fwd_hooks=kept_hooks)
    with model.hooks(kept_hooks):
        _, told = model.run_with_cache(clean, names_filter=[name])

    def put(tensor: Tensor, *, hook: Any) -> Tensor:
        new = tensor.clone()
        new[:, :, head] = told[name][:, :, head]
        return new if head is not None else told[name]

    return model.run_with_hooks(clean, fwd_hooks=[(name, put)])


@pytest.mark.parametrize("kind", KINDS)
def test_against_three_runs_by_hand(kind: str):
    model = random_model(n_layers=3, **KINDS[kind])
    clean, other = random_tokens(3), random_tokens(3, seed=1)
    measure = weighted(model, clean.shape[1])
    grouped = model.cfg.n_key_value_heads is not None
    ends: dict[str, tuple[str, Any]] = {
        "a1.h1<q>": ("blocks.1.attn.hook_q", 1),
        "a2.h0<k>": ("blocks.2.attn.hook_k", 0),
        "a2.g1<v>" if grouped else "a2.h1<v>": ("blocks.2.attn.hook_v", 1),
        "m1": ("blocks.1.mlp.hook_pre", None),
        "logits": ("logits", None),
    }
    if model.cfg.gated_mlp or model.cfg.norm_position == "stream":
        # Such an MLP's input goes in by two doors; or is the stream itself, and the MLP no receiver.
        del ends["m1"]
    senders = ["embed", "a0.h0", "m0"]
    found = path_patching(model, clean, other, measure, senders=senders, receivers=list(ends), controls=0)
    for sender, (label, end) in itertools.product(senders, ends.items()):
        wanted = measure(by_three_runs(model, clean, other, sender, end)).mean()
        assert_equal(found.sel(sender=sender, receiver=label).values, wanted, 1e-9)
    assert no_hooks_left(model)


def ungrouped_twin(model: HookedTransformer) -> HookedTransformer:
    """The same function, with keys and values of its own for every head."""
    cfg = HookedTransformerConfig.from_dict({**model.cfg.to_dict(), "n_key_value_heads": None})
    twin = HookedTransformer(cfg)
    weights = dict(model.state_dict())
    for name in list(weights):
        if "attn._" in name:
            weights[name.replace("attn._", "attn.")] = weights.pop(name).repeat_interleave(2, 0)
    twin.load_state_dict(weights)
    return twin


def test_keys_of_a_group_are_the_keys_of_all_its_heads():
    """Said by head or by group, once or twice, it is one patch; to tell one head alone is another."""
    model = random_model(n_layers=2, d_head=4, n_heads=4, n_key_value_heads=2)
    twin = ungrouped_twin(model)
    clean, other = random_tokens(3), random_tokens(3, seed=1)
    measure = weighted(model, clean.shape[1])
    assert_equal(twin(clean), model(clean))
    ends = ["a1.g1<k>", "a1.h2<k>", "a1.h3<k>", ["a1.h2<k>", "a1.h3<k>"]]
    found = path_patching(model, clean, other, measure, senders="a0.h1", receivers=ends)
    apart = path_patching(
        twin, clean, other, measure, senders="a0.h1", receivers=[["a1.h2<k>", "a1.h3<k>"], "a1.h2<k>"]
    )
    assert_equal(found.values[0], apart.values[0, :1].expand(4))
    assert not torch.allclose(apart.values[0, 0], apart.values[0, 1], rtol=1e-3), "one head alone"
    assert [text for text in found.warnings if "heads 2 to 3" in text] == [
        "a1.h2<k>: keys and values are those of a group, and heads 2 to 3 read them",
        "a1.h3<k>: keys and values are those of a group, and heads 2 to 3 read them",
        "a1.h2<k> + a1.h3<k>: keys and values are those of a group, and heads 2 to 3 read them",
    ]
    assert "a1.g1<v>" in every_receiver(model)
    assert "a1.h3<v>" in every_receiver(twin)


def test_mistakes_give_other_answers():
    """Others not frozen; the whole stream of the other run and not what one sender adds to it."""
    it = exact("sort-by-frequency")
    clean, other = runs_of(it)
    measure = weighted(it.model, clean.shape[1])

    def changes(receiver: str, **options: Any) -> bool:
        found = path_patching(it.model, clean, other, measure, senders="a0.h0", receivers=receiver, **options)
        return bool(found.effect_per_sample.abs().max() > 1e-3)

    assert changes("m0")
    assert not changes("a2.h0<k>", controls=0), "a0.h0 tells m0, m0 tells m1, m1 tells a2.h0"
    assert changes("a2.h0<k>", through="mlps"), (
        "with the MLPs not frozen it would look as if a0.h0 told it itself"
    )
    whole = sweep(
        it.model, clean, [Site("k_input", 2, head=0).interchange(other)], metric=measure, controls=0
    )
    assert whole.effect.abs().max() > 1e-3, "so would it with the whole stream patched"


def test_positions_of_senders_and_of_receivers():
    """Token 1 at position 1 is read there by the previous-token head's values, and heard at position 2."""
    it = exact("previous-token")
    clean, other = torch.tensor([[0, 1, 2, 3]]), torch.tensor([[0, 4, 2, 3]])

    def measure(logits: Tensor) -> Tensor:
        return logits[:, 2, 4] - logits[:, 2, 1]

    def effect(**options: Any) -> float:
        found = path_patching(it.model, clean, other, measure, controls=0, **options)
        return found.effect[0, 0].item()

    values = {"senders": "embed", "receivers": "a0.h0<v>"}
    assert effect(**values) == pytest.approx(20.0)
    assert effect(**values, sender_pos=1, receiver_pos=[1, 2]) == pytest.approx(20.0)
    assert effect(**values, receiver_pos=2) == pytest.approx(0.0, abs=1e-9)
    head = {"senders": "a0.h0", "receivers": "logits"}
    assert effect(**head, receiver_pos=2) == pytest.approx(20.0)
    assert effect(**head, receiver_pos=torch.tensor([2])) == pytest.approx(20.0)
    assert effect(**head, receiver_pos=3) == pytest.approx(0.0, abs=1e-9)


def test_what_a_result_holds():
    it = exact("and")
    assert it.contrast is not None
    metric = LogitDifference(1, 0, pos=it.contrast.position)
    args = (it.model, it.contrast.clean, it.contrast.corrupted)
    found = path_patching(
        *args, metric, senders=[["a0.h0", "a0.h1"], "a0.h0"], receivers=["m0", "logits"], normalise=True
    )
    # Both are needed: either one, noised, is as bad as both.
    assert_equal(found.values[:, 0], torch.ones(2, dtype=torch.float64))
    assert_equal(found.values[:, 1] + 1, torch.ones(2, dtype=torch.float64))
    assert found.provenance["operation"] == "path patching"
    assert found.provenance["through"] == []
    assert {"weights", "data", "source data", "dtype", "seed"} <= set(found.provenance)
    assert set(found.baselines) == {"clean", "source", "random"}
    _, cache = it.model.run_with_cache(it.contrast.corrupted)
    again = path_patching(it.model, it.contrast.clean, cache, metric, senders="a0.h0", receivers="m0")
    assert again.effect[0, 0].item() == pytest.approx(-10.0)
    padded = Inputs(it.contrast.clean, torch.ones_like(it.contrast.clean))
    masked = path_patching(
        it.model,
        padded,
        Inputs(it.contrast.corrupted, torch.ones_like(it.contrast.clean)),
        metric,
        receivers="m0",
    )
    assert masked.sel(sender="a0.h0", receiver="m0").effect.item() == pytest.approx(-10.0)


def test_a_result_says_what_a_probability_hides():
    it = exact("previous-token")
    assert it.contrast is not None
    found = path_patching(it.model, it.contrast.clean, it.contrast.corrupted, Probability(3, pos=4))
    [text] = found.warnings
    assert text.startswith("a probability saturates at 0 and 1: paths that lower a small one")
    assert text.endswith("compare with LogitDifference")


def test_estimates_are_refused_and_not_passed_for_exact():
    it = exact("previous-token")
    assert it.contrast is not None
    with pytest.raises(
        InputError, match=r"^wanted path patching as it is, exactly; got method='attribution'; leave method"
    ):
        path_patching(
            it.model, it.contrast.clean, it.contrast.corrupted, LogitDifference(3, 4), method="attribution"
        )


INVARIANT = {
    "induction": (["embed", "a0.h0", "a0.h1"], ["a1.h0<k>", "a1.h1<k>", "a1.h1<q>"]),
    "histogram": (["embed", "a0.h0", "a0.h1", "m0"], ["a0.h0<q>", "m0", "logits"]),
}


@pytest.mark.parametrize("name", INVARIANT)
def test_invariance(name: str):
    it = exact(name, 1)
    clean, other = runs_of(it, 8)
    measure = weighted(it.model, clean.shape[1])
    senders, ends = INVARIANT[name]
    wanted = path_patching(it.model, clean, other, measure, senders=senders, receivers=ends, controls=0)
    assert wanted.effect.abs().max() > 1e-2
    for what, same in equivalents(it.model, seed=2).items():
        # Each name by itself goes through the relabelling of an edge.
        at = {name: same.edge(f"{name}->logits").partition("->")[0] for name in senders}
        to = {name: same.edge(f"embed->{name}").partition("->")[2] for name in ends}
        found = path_patching(
            same.model,
            clean,
            other,
            measure,
            senders=list(at.values()),
            receivers=list(to.values()),
            controls=0,
        )
        torch.testing.assert_close(found.values, wanted.values, rtol=1e-4, atol=1e-7, msg=what)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"senders": "a9.h0"}, "wanted components of this model as senders; got 'a9.h0'; nearest: "),
        ({"senders": "logits"}, "wanted components of this model as senders; got 'logits'"),
        (
            {"receivers": "a1.h0<x>"},
            "wanted receivers of this model, such as a1.h0<q>, a1.h0, m1 or logits; got",
        ),
        ({"receivers": "a1.g0<k>"}, "got 'a1.g0<k>'"),
        ({"receivers": "m5"}, "got 'm5'"),
        ({"receivers": []}, "wanted at least one name in each set of senders or receivers; got none"),
        ({"through": "mpls"}, 'wanted components of this model as through (or "mlps", "heads", "all")'),
        (
            {"senders": [["embed", "a1.h0"]], "receivers": [["a1.h0<q>", "logits"]]},
            "wanted senders that don't hear of each other through a receiver of their own set; got a1.h0, which comes "
            "after a1.h0; patch them in sets of their own",
        ),
        ({"senders": "a1.h0", "receivers": "a0.h0"}, "wanted patches that change something"),
    ],
)
def test_refusals(given: dict[str, Any], words: str):
    it = exact("induction")
    clean, other = runs_of(it, 4)
    with pytest.raises(InputError) as raised:
        path_patching(it.model, clean, other, LogitDifference(1, 2), **given)
    assert words in str(raised.value)


def test_an_mlp_that_reads_where_the_stream_is_normed_is_refused():
    model = random_model(norm_position="stream")
    assert "m1" not in every_receiver(model)
    with pytest.raises(
        InputError, match="wanted receivers that read the residual stream without changing it; got m1"
    ):
        path_patching(
            model, random_tokens(2), random_tokens(2, seed=1), LogitDifference(1, 2), receivers="m1"
        )


def test_a_source_without_its_mask_is_refused():
    it = exact("induction")
    clean, other = runs_of(it, 4)
    with pytest.raises(InputError, match="says what is padded"):
        path_patching(it.model, clean, other, LogitDifference(1, 2), attention_mask=torch.ones_like(clean))
