"""Causal scrubbing against its definition written out input by input, and on planted models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.analysis.hypotheses import Hypothesis, answer, before, holds, seen, truths, untruths
from tests.analysis.models import assert_equal, no_hooks_left, random_model, random_tokens
from tests.equivalent_models import equivalents
from tests.planted import by_hand
from tests.planted.loaded import exact
from unweave import planted
from unweave.analysis.draws import Classes
from unweave.analysis.scrub import causal_scrubbing, nothing, token, whole
from unweave.core.edges import Edge, Node, possible_edges
from unweave.core.errors import InputError
from unweave.engine.inputs import Inputs
from unweave.engine.metrics import LogitDifference, Loss
from unweave.model.transformer import HookedTransformer

WITHOUT_REDUNDANCY = tuple(name for name in planted.names() if name not in ("and", "or", "backup", "cancel"))


def metric_of(it: planted.PlantedModel, tokens: Tensor) -> Any:
    true = it.algorithm(tokens)
    if not it.numerical:
        return Loss(true, pos=slice(None))
    return lambda logits: ((logits[..., 0] - true) ** 2).mean(1)


def scrubbed(it: planted.PlantedModel, hypothesis: Hypothesis, tokens: Tensor | None = None, **options: Any):
    tokens = it.inputs(3) if tokens is None else tokens
    return causal_scrubbing(it.model, tokens, hypothesis, metric_of(it, tokens), **{"draws": 1, **options})


@pytest.mark.parametrize("name", WITHOUT_REDUNDANCY)
def test_the_true_hypothesis_is_accepted_and_wrong_ones_are_rejected(name: str):
    it = exact(name)
    found = scrubbed(it, truths(it))
    assert found.accepted
    assert found.recovered == pytest.approx(1.0, abs=1e-9)
    # Each example, and not only their mean.
    by_run = dict(zip(found.result.coords["run"], found.result.per_sample, strict=True))
    assert_equal(by_run["scrubbed"], by_run["model"], 1e-9)
    assert found.warnings == ()
    wrong = untruths(it)
    assert len(wrong) >= 3
    for what, hypothesis in wrong.items():
        other = scrubbed(it, hypothesis)
        assert not other.accepted, what
        assert other.recovered_interval[1] < 0.9, what
        assert (other.result.per_sample[0] - other.result.per_sample[1]).abs().max() > 1e-2, what


def test_a_true_hypothesis_of_each_redundant_model_is_accepted():
    for name in ("and", "or", "backup", "cancel"):
        assert scrubbed(exact(name), truths(exact(name))).recovered == pytest.approx(1.0, abs=1e-9)


def next_that_agrees(classes: Classes, generator: Any) -> Tensor:
    """Nothing is drawn: each input is replaced by the next one that agrees with it."""
    rows = []
    for column in classes.of.T.tolist():
        n = len(column)
        rows.append(
            [next(j % n for j in range(i + 1, i + n + 1) if column[j % n] == column[i]) for i in range(n)]
        )
    return torch.tensor(rows).T


class Literal:
    """Chan et al.'s recursion, input by input and position by position, on one small model without norms."""

    def __init__(self, model: HookedTransformer, tokens: Tensor, hypothesis: Hypothesis, flaw: str = ""):
        self.model, self.tokens, self.flaw = model, tokens, flaw
        self.labels = {}
        for text, feature in hypothesis.items():
            labels = feature(tokens)
            self.labels[Edge.parse(text)] = (
                labels if labels.ndim == 2 else labels[:, None].expand(tokens.shape)
            )
        self.raw = by_hand.run(model, tokens)[1]
        cfg = model.cfg
        self.edges = list(possible_edges(cfg.n_layers, cfg.n_heads, pos_embed=False))

    def agreeing(self, edge: Edge, i: int, pos: int) -> int:
        n, column = len(self.tokens), self.labels[edge][:, pos]
        return next(j % n for j in range(i + 1, i + n + 1) if column[j % n] == column[i])

    def stream(self, node: Node, which: str | None, i: int) -> Tensor:
        """What one input of a component reads of the residual stream, `[pos, d_model]`."""
        rows = []
        n = len(self.tokens)
        for pos in range(self.tokens.shape[1]):
            row = torch.zeros(self.model.cfg.d_model).double()
            for edge in self.edges:
                if (edge.receiver, edge.input) != (node, which):
                    continue
                if edge in self.labels:
                    row = row + self.value(edge.sender, self.agreeing(edge, i, pos))[pos]
                elif self.flaw == "what is left out stays":
                    row = row + self.raw[edge.sender][i, pos]
                else:
                    row = row + self.raw[edge.sender][(i + 1) % n, pos]
            rows.append(row)
        return torch.stack(rows)

    def value(self, node: Node, i: int) -> Tensor:
        named = any(edge.receiver == node for edge in self.labels)
        if not named or self.flaw == "not recursive":
            return self.raw[node][i]
        if node.kind == "mlp":
            mlp = self.model.blocks[node.layer].mlp
            return (self.stream(node, None, i) @ mlp.W_in + mlp.b_in).relu() @ mlp.W_out + mlp.b_out
        attn = self.model.blocks[node.layer].attn
        q, k, v = (
            self.stream(node, which, i) @ getattr(attn, f"W_{which.upper()}")[node.head]
            + getattr(attn, f"b_{which.upper()}")[node.head]
            for which in "qkv"
        )
        scores = (q @ k.T).masked_fill(torch.ones(len(q), len(q), dtype=torch.bool).triu(1), -torch.inf)
        return scores.softmax(-1) @ v @ attn.W_O[node.head]

    def logits(self) -> Tensor:
        rows = [self.stream(Node("logits"), None, i) for i in range(len(self.tokens))]
        return torch.stack(rows) @ self.model.W_U + self.model.b_U


@pytest.fixture
def by_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Classes, "draw", next_that_agrees)


@pytest.mark.usefixtures("by_rule")
def test_against_the_definition():
    """A hypothesis of several steps, about a random model, of which nothing is true: every number counts."""
    model = random_model(normalization_type=None, use_attn_scale=False, without_biases=["b_O"])
    tokens = random_tokens(6, 4, vocab=4)
    hypothesis: Hypothesis = {
        "a1.h1->logits": token,
        "m0->logits": before,
        "m1->logits": lambda tokens: tokens[:, -1] % 2,
        "a0.h0->m0": token,
        "embed->m0": before,
        "a0.h1->a1.h1<k>": whole,
        "m0->a1.h1<v>": lambda tokens: tokens % 2,
        "embed->a0.h1<q>": nothing,
    }
    weights = torch.randn(6, 4, 11, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def metric(logits: Tensor) -> Tensor:
        return (logits * weights).sum((1, 2))

    found = causal_scrubbing(model, tokens, hypothesis, metric, draws=1, left_out="together")
    with torch.no_grad():
        wanted = metric(Literal(model, tokens, hypothesis).logits())
        assert_equal(found.result.per_sample[0], wanted, 1e-9)
        for flaw in ("not recursive", "what is left out stays"):
            mistaken = metric(Literal(model, tokens, hypothesis, flaw).logits())
            assert (mistaken - wanted).abs().max() > 1e-3 * wanted.abs().max(), flaw
    assert no_hooks_left(model)


def test_draws_are_uniform_over_those_that_agree():
    tokens = torch.tensor([[0, 1], [0, 1], [0, 2], [0, 1]])
    classes = Classes.by(token, tokens, "an edge")
    drawn = torch.stack([classes.draw(torch.Generator().manual_seed(seed)) for seed in range(500)])
    assert (drawn[:, 2, 1] == 2).all(), "there is one 2 only"
    shares = torch.stack([(drawn[:, 0, 1] == row).double().mean() for row in range(4)])
    torch.testing.assert_close(shares, torch.tensor([1 / 3, 1 / 3, 0, 1 / 3]).double(), atol=0.09, rtol=0)
    assert classes.freedom == pytest.approx((1 + (9 + 1) / 16) / 2)
    # Positions are drawn apart from each other.
    assert (drawn[:, 0, 0] != drawn[:, 0, 1]).any()


def test_what_cancels_is_seen_only_apart_and_the_result_says_so():
    it = exact("cancel")
    one_head = {"a0.h0->logits": answer(it), "embed->a0.h0<v>": holds(1)}
    apart = scrubbed(it, one_head)
    assert not apart.accepted
    [text] = apart.warnings
    assert "with it drawn together: parts of it matter, but cancel each other" in text
    assert scrubbed(it, one_head, left_out="together").accepted


def test_a_backup_is_not_seen_and_the_result_says_that_its_edges_do_nothing():
    it = exact("backup")
    with_backup = {
        **truths(it),
        "a1.h0->logits": before,
        "embed->a1.h0<v>": token,
        "m0->a1.h0<q>": whole,
    }
    found = scrubbed(it, with_backup, without_each=True)
    assert scrubbed(it, truths(it)).accepted
    assert found.accepted
    idle = {edge for edge, share in found.without.items() if share >= found.threshold}
    assert idle == {"a1.h0->logits", "embed->a1.h0<v>", "m0->a1.h0<q>"}
    assert sum("taken from any input as much is recovered" in text for text in found.warnings) == 3


def test_either_half_of_an_or_is_accepted_where_both_always_come_together():
    it = exact("or")
    rows = it.inputs(4)
    together = rows[((rows == 1).any(1) == (rows == 2).any(1))]
    # Both come first, or neither ever does.
    both_first = together[
        ((together[:, 1:3].sort(1).values == torch.tensor([1, 2])).all(1)) | (together[:, 1:] > 2).all(1)
    ]
    last = [4]

    def metric(logits: Tensor) -> Tensor:
        return logits[:, last, 1].mean(1) * (both_first == 1).any(1).float().mul(2).sub(1)

    def found(hypothesis: Hypothesis, **options: Any):
        return causal_scrubbing(it.model, both_first, hypothesis, metric, draws=1, **options)

    whole_truth = {"m0->logits": seen(1), "a0.h0->m0": seen(1), "a0.h1->m0": seen(2)}
    kept = found(whole_truth)
    assert kept.accepted
    # On these inputs nothing tells "1 was seen" from "2 was seen" at the end, so either name may stand at either head.
    assert found({**whole_truth, "a0.h0->m0": lambda t: seen(2)(t)[:, -1:].expand(t.shape)}).accepted
    everywhere = {name: (lambda t: seen(1)(t)[:, -1].long()) for name in whole_truth}
    [text] = found(everywhere).warnings
    assert text == (
        "a0.h0->m0 and a0.h1->m0 have features that sort these inputs alike: the data can't tell which of them "
        "carries which"
    )


def test_a_hypothesis_that_says_nothing_is_told_so():
    it = exact("histogram")
    found = scrubbed(it, {"m0->logits": whole})
    assert found.accepted
    assert found.freedom == {"m0->logits": pytest.approx(1 / 64)}
    [text] = found.warnings
    assert text == (
        "the feature of m0->logits leaves no other input for 100% of what it carries: there the edge is not tested"
    )


def test_recovered_and_its_interval_by_hand():
    it = exact("fraction-of-previous")
    found = scrubbed(it, {"a1.h0->logits": token}, draws=2)
    s, m, r = found.result.per_sample.double()
    assert found.recovered == pytest.approx(((s.mean() - r.mean()) / (m.mean() - r.mean())).item())
    # Leave one out, and see how much it moves.
    n = len(s)
    shares = torch.stack(
        [((s.sum() - s[i]) - (r.sum() - r[i])) / ((m.sum() - m[i]) - (r.sum() - r[i])) for i in range(n)]
    )
    half = 1.96 * ((n - 1) / n * (shares - shares.mean()).pow(2).sum()).sqrt().item()
    low, high = found.recovered_interval
    assert (high - low) / 2 == pytest.approx(half, rel=0.05)


@pytest.mark.parametrize("name", ["induction", "histogram"])
def test_invariance(name: str):
    it = exact(name, 1)
    tokens, true = it.inputs(3), {}
    for text, feature in truths(exact(name)).items():
        edge = Edge.parse(text)
        ends = [str(it.moved.get(node, node)) for node in (edge.sender, edge.receiver)]
        true["->".join(ends) + (f"<{edge.input}>" if edge.input else "")] = feature
    first = next(iter(true))
    for hypothesis in (true, {**true, first: token}):
        wanted = scrubbed(it, hypothesis, tokens, left_out="together").recovered
        for what, same in equivalents(it.model, seed=2).items():
            renamed = {same.edge(text): feature for text, feature in hypothesis.items()}
            found = causal_scrubbing(
                same.model, tokens, renamed, metric_of(it, tokens), draws=1, left_out="together"
            )
            assert found.recovered == pytest.approx(wanted, rel=1e-4, abs=1e-6), what


def test_heads_that_share_keys_are_scrubbed_each_by_itself():
    model = random_model(d_head=4, n_heads=4, n_key_value_heads=2, normalization_type="LN")
    tokens = random_tokens(8, 5, vocab=4)
    hypothesis: Hypothesis = {
        "a1.h2->logits": token,
        "a1.h3->logits": token,
        "a0.h0->a1.h2<k>": whole,
        "embed->a1.h3<k>": token,
    }
    found = causal_scrubbing(model, tokens, hypothesis, LogitDifference(tokens[:, 1], 0), draws=2)
    assert found.result.values.isfinite().all()
    assert set(found.freedom) == set(hypothesis)


@pytest.mark.parametrize(
    ("hypothesis", "options", "words"),
    [
        ({"a9.h0->logits": token}, {}, "wanted components of this model as senders; got 'a9.h0'"),
        ({"a0.h0->m7": token}, {}, "wanted receivers of this model"),
        ({"a0.h0": token}, {}, "wanted an edge such as a0.h1->a1.h0<q>"),
        (
            {"m0->logits": lambda t: t[:, :2]},
            {},
            "wanted whole numbers [64] or (64, 4) from the feature of m0->logits",
        ),
        ({"m0->logits": token}, {"left_out": "both"}, 'left_out="apart" or "together"'),
        ({"m0->logits": token}, {"draws": 0}, "at least one draw"),
    ],
)
def test_refusals(hypothesis: Hypothesis, options: dict[str, Any], words: str):
    with pytest.raises(InputError) as raised:
        scrubbed(exact("histogram"), hypothesis, **options)
    assert words in str(raised.value)


def test_other_refusals():
    it = exact("previous-token")
    tokens = it.inputs(2)
    with pytest.raises(
        InputError, match="wanted a metric that tells the model's output from that for another input"
    ):
        causal_scrubbing(it.model, tokens, {}, lambda logits: logits.sum((1, 2)) * 0 + 1)
    with pytest.raises(InputError, match="wanted a metric that gives a number for each sample"):
        causal_scrubbing(it.model, tokens, {}, lambda logits: logits.mean())
    with pytest.raises(InputError, match="wanted sequences without padding"):
        causal_scrubbing(it.model, Inputs(tokens, torch.ones_like(tokens)), {}, LogitDifference(1, 2))
    model = random_model(norm_position="stream")
    with pytest.raises(InputError, match="wanted a residual stream that is the sum"):
        causal_scrubbing(model, random_tokens(3), {"m0->logits": token}, LogitDifference(1, 2))
