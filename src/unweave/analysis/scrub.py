"""Causal scrubbing: whether a model can do with what a hypothesis says that it uses, and nothing else.

(Chan et al., 2022, "Causal Scrubbing: a method for rigorously testing interpretability hypotheses".)
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Int
from torch import Tensor

from unweave.analysis.draws import Classes, Feature, nothing, token, whole
from unweave.analysis.nodes import nodes
from unweave.analysis.path_ends import receivers_of, require_nodes
from unweave.analysis.scrubber import LOGITS, Scrubber, Sent, all_sent
from unweave.core import seeds
from unweave.core.edges import Edge
from unweave.core.errors import InputError
from unweave.core.results import Result, t_quantile
from unweave.engine.inputs import Inputs, as_inputs, require_model
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import Resample
from unweave.engine.site import Intervention
from unweave.engine.sweep import sweep
from unweave.model.transformer import HookedTransformer

__all__ = ["Feature", "Scrubbing", "causal_scrubbing", "nothing", "token", "whole"]

# From which part of the model's performance on a hypothesis counts as accepted, where nothing else is said.
THRESHOLD = 0.95


@dataclass(frozen=True, eq=False)
class Scrubbing:
    """What scrubbing by a hypothesis leaves of a model.

    Args:
        result: the metric by "run": "scrubbed"; "model", as it is; "random", with what the model makes of another
            input in place of its own. By sample, the mean over draws.
        threshold: which part must be left for the hypothesis to be accepted.
        freedom: of each edge, which part of all inputs may stand in for one, on average.
        without: what is recovered without each edge of the hypothesis, where that was asked for.
    """

    result: Result
    threshold: float
    freedom: Mapping[str, float]
    without: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def recovered(self) -> float:
        """0: no more than a random input's output tells; 1: all that the model does. May lie outside of both."""
        return _recovered(self.result)[0]

    @property
    def recovered_interval(self) -> tuple[float, float]:
        """The ends of its 95% interval over samples, NaN with fewer than two."""
        return _recovered(self.result)[1:]

    @property
    def accepted(self) -> bool:
        """Whether at least `threshold` is recovered: the data don't speak against the hypothesis."""
        return self.recovered >= self.threshold

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a reader must know before using it."""
        return self.result.warnings


def causal_scrubbing(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    hypothesis: Mapping[str, Feature],
    metric: Metric | Function,
    *,
    left_out: str = "apart",
    draws: int = 4,
    threshold: float = THRESHOLD,
    without_each: bool = False,
    seed: int = 0,
) -> Scrubbing:
    """Replace everything that the hypothesis says doesn't matter, and see what is left.

    A hypothesis names edges, and of each what of the input that which it carries depends on. Beginning at
    the logits: each sender that has a named edge into a receiver is computed on another input, which
    agrees with the sample in the edge's feature, and is scrubbed in turn; all other senders are
    taken from runs on any inputs. A sender of which no incoming edge is named is computed as it is.

    Args:
        tokens: the inputs, of one length, that are scrubbed, and that others are drawn from.
        hypothesis: from edges, as "a0.h0->a1.h0<k>", to features: functions of tokens `[sample, pos]` that
            give a label a sequence `[sample]`; or a label a position `[sample, pos]`, and then what is
            carried at each position may come from another input. `token`, `whole` and `nothing` are some.
        metric: a `Metric`, or a function of the logits that gives a number for each sample.
        left_out: "apart": what isn't in the hypothesis comes from another run for each sender; "together":
            from one run for each input of a component.
        draws: rounds, whose mean is taken.
        threshold: the part that must be recovered for `accepted`.
        without_each: scrub also with each edge carrying what any input's run has, to see which the hypothesis can
            do without.

    Returns:
        See `Scrubbing`. Within one round an input that is drawn twice for an edge is scrubbed alike.

    Raises:
        InputError: for edges that the model doesn't have, features of another shape, a residual stream that
            isn't a sum, or a metric that doesn't tell the model's output from another input's.
    """
    model = require_model(model)
    inputs = as_inputs(tokens)
    tokens = inputs.tokens.to(model.W_E.device)
    if inputs.attention_mask is not None or left_out not in ("apart", "together") or draws < 1:
        raise InputError(
            wanted='sequences without padding, left_out="apart" or "together", and at least one draw',
            got=f"{'a mask, ' if inputs.attention_mask is not None else ''}{left_out!r}, {draws}",
            remedy="scrub sequences of one length",
        )
    edges = {
        edge: Classes.by(feature, tokens, str(edge)) for edge, feature in _parsed(model, hypothesis).items()
    }
    study = _Study(model, tokens, metric, all_sent(model, tokens), draws, seed)
    result = study.result(edges, left_out == "together")
    found = Scrubbing(result, threshold, {str(edge): classes.freedom for edge, classes in edges.items()})
    warnings = [*_vacuous(edges), *_alike(edges)]
    if not found.accepted and left_out == "apart":
        warnings += _cancelling(study.result(edges, True), found)
    without: dict[str, float] = {}
    if without_each:
        for edge in edges:
            # In place, and not taken out: a component of which no input is named would be computed as it is.
            some = {**edges, edge: Classes.by(nothing, tokens, str(edge))}
            without[str(edge)] = _recovered(study.result(some, left_out == "together"))[0]
        warnings += _superfluous(without, found)
    facts = {
        "hypothesis": {
            str(edge): getattr(hypothesis[name], "__name__", "a function")
            for name, edge in zip(hypothesis, edges, strict=True)
        },
        "left out": left_out,
        "draws": draws,
        "recovered": found.recovered,
    }
    result = replace(result, provenance={**result.provenance, **facts}, warnings=tuple(warnings))
    return replace(found, result=result, without=without)


@dataclass(frozen=True, eq=False)
class _Study:
    """The runs themselves, and what scrubs them."""

    model: HookedTransformer
    tokens: Int[Tensor, "sample pos"]
    metric: Metric | Function
    raw: Mapping[str, Sent]
    draws: int
    seed: int

    def result(self, edges: Mapping[Edge, Classes], together: bool) -> Result:
        """The metric scrubbed, as it is, and with another input's output."""
        patches: dict[str, list[Intervention]] = {}
        [end] = receivers_of(self.model, LOGITS)
        for draw in range(self.draws):
            seed = seeds.derive(self.seed, "round", draw)
            scrubber = Scrubber(self.model, self.tokens, edges, self.raw, together, seed)
            patches[f"scrubbed {draw}"] = scrubber.into(LOGITS)
            patches[f"random {draw}"] = [Intervention(end.site, Resample(seed=seed))]
        found = sweep(self.model, self.tokens, patches, metric=self.metric, controls=0, allow_equal=True)
        if found.per_sample is None:
            raise InputError(
                wanted="a metric that gives a number for each sample",
                got="one for all",
                remedy="return a tensor [sample] from the metric",
            )
        scrubbed, random = found.per_sample.unflatten(0, (-1, 2)).mean(0)
        per_sample = torch.stack([scrubbed, found.baselines["clean"].to(scrubbed), random])
        return replace(
            found,
            values=per_sample.mean(-1),
            dims=("run",),
            coords={"run": ("scrubbed", "model", "random")},
            per_sample=per_sample,
            provenance={**found.provenance, "operation": "causal scrubbing", "seed": self.seed},
        )


def _recovered(result: Result) -> tuple[float, float, float]:
    """(scrubbed - random) / (model - random), of the means, and its interval by linearisation."""
    assert result.per_sample is not None
    scrubbed, model, random = result.per_sample.double()
    gap = (model - random).mean()
    # Written so that nan fails too.
    if not gap.abs() > 1e-6 * torch.maximum(model.abs().mean(), random.abs().mean()):
        raise InputError(
            wanted="a metric that tells the model's output from that for another input",
            got=f"{model.mean().item():.6g} and {random.mean().item():.6g}",
            remedy="take inputs with different answers, or another metric",
        )
    share = ((scrubbed - random).mean() / gap).item()
    n = len(model)
    if n < 2:
        return share, math.nan, math.nan
    rest = (scrubbed - random) - share * (model - random)
    half = (t_quantile(n - 1) * rest.std() / (n**0.5 * gap.abs())).item()
    return share, share - half, share + half


def _parsed(model: HookedTransformer, hypothesis: Mapping[str, Feature]) -> dict[Edge, Feature]:
    edges: dict[Edge, Feature] = {}
    for text, feature in hypothesis.items():
        edge = Edge.parse(text)
        require_nodes([str(edge.sender)], nodes(model), "senders")
        receivers_of(model, text.partition("->")[2])
        edges[edge] = feature
    return edges


def _vacuous(edges: Mapping[Edge, Classes]) -> Iterator[str]:
    for edge, classes in edges.items():
        if classes.alone > 0.5 and len(classes.of) > 1:
            yield (
                f"the feature of {edge} leaves no other input for {classes.alone:.0%} of what it carries: there the edge "
                "is not tested"
            )


def _alike(edges: Mapping[Edge, Classes]) -> Iterator[str]:
    """Pairs into one receiver's input that these data can't tell apart."""
    listed = list(edges.items())
    for number, (edge, classes) in enumerate(listed):
        for other, others in listed[number + 1 :]:
            one = (edge.receiver, edge.input) == (other.receiver, other.input)
            if one and classes.same_as(others):
                yield (
                    f"{edge} and {other} have features that sort these inputs alike: the data can't tell which of "
                    "them carries which"
                )


def _cancelling(joined: Result, found: Scrubbing) -> Iterator[str]:
    share = _recovered(joined)[0]
    if share >= found.threshold:
        yield (
            f"{found.recovered:.2f} is recovered with what the hypothesis leaves out drawn apart, and {share:.2f} with it "
            "drawn together: parts of it matter, but cancel each other"
        )


def _superfluous(without: Mapping[str, float], found: Scrubbing) -> Iterator[str]:
    if not found.accepted:
        return
    for edge, share in without.items():
        if share >= found.threshold:
            yield (
                f"with {edge} taken from any input as much is recovered ({share:.2f}): on these inputs the edge makes no "
                "difference, or another does the same"
            )
