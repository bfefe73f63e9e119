"""Components computed from what other inputs send, as a hypothesis allows: the recursion of causal scrubbing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.analysis.carried import Shift
from unweave.analysis.draws import Classes, gathered, nothing
from unweave.analysis.nodes import nodes
from unweave.analysis.path_ends import Receiver, before, receivers_of
from unweave.core import seeds
from unweave.core.edges import Edge, Node
from unweave.core.errors import InputError
from unweave.core.sites import attn_site, block_site
from unweave.engine.intervene import intervene
from unweave.engine.site import Intervention
from unweave.model.transformer import HookedTransformer

Sent = Float[Tensor, "sample pos d_model"]
LOGITS = "logits"


@dataclass(frozen=True, eq=False)
class Scrubber:
    """One round of draws.

    Args:
        edges: which inputs agree, for each edge of the hypothesis, in its order.
        raw: what each component sends in the runs themselves.
        together: whether all that isn't in the hypothesis and goes into one input comes from one other run.
    """

    model: HookedTransformer
    tokens: Int[Tensor, "sample pos"]
    edges: Mapping[Edge, Classes]
    raw: Mapping[str, Sent]
    together: bool
    seed: int
    _made: dict[str, Sent] = field(default_factory=dict[str, Sent])

    def into(self, node: str) -> list[Intervention]:
        """What changes a component's inputs (or the logits') into those that the hypothesis allows."""
        ends = receivers_of(self.model, node)
        if node == LOGITS:
            return [self._shifted(ends[0], self._change(node, None))]
        which = ("q", "k", "v") if len(ends) == 3 else (None,)
        return [self._shifted(end, self._change(node, name)) for end, name in zip(ends, which, strict=True)]

    def sent(self, node: str) -> Sent:
        """What a component sends when it is computed so; as it is if the hypothesis says nothing of its inputs."""
        if not any(str(edge.receiver) == node for edge in self.edges):
            return self.raw[node]
        if node not in self._made:
            hook = _written(self.model, node)
            run = intervene(
                self.model, self.tokens, self.into(node), cache=[hook], return_type=None, allow_equal=True
            )
            assert run.cache is not None
            self._made[node] = _sent(self.model, node, run.cache[hook])
        return self._made[node]

    def _change(self, node: str, which: str | None) -> Sent:
        """The sum over senders of what an agreeing input's run has, less what this one's has."""
        change = torch.zeros_like(self.raw["embed"])
        receiver = Node.parse(node)
        anyone = Classes.by(nothing, self.tokens, node)
        shared = anyone.draw(self._generator("left out of", node, which or ""))
        for number, sender in enumerate(self.raw):
            if not before(self.model, sender, receiver):
                continue
            edge = Edge(Node.parse(sender), receiver, which)
            if edge in self.edges:
                # By its place in the hypothesis: a head's number must not decide what is drawn.
                generator = self._generator("edge", list(self.edges).index(edge))
                sent, drawn = self.sent(sender), self.edges[edge].draw(generator)
            else:
                generator = self._generator("left out", number, node, which or "")
                sent, drawn = self.raw[sender], shared if self.together else anyone.draw(generator)
            change += gathered(sent, drawn) - self.raw[sender]
        return change

    def _shifted(self, end: Receiver, change: Sent) -> Intervention:
        wide = change[:, :, None].expand(-1, -1, end.width, -1) if end.width else change
        return Intervention(end.site, Shift({end.hook: wide}))

    def _generator(self, *names: str | int) -> torch.Generator:
        return seeds.generator(self.seed, "scrub", *names)


@torch.no_grad()
def all_sent(model: HookedTransformer, tokens: Int[Tensor, "sample pos"]) -> dict[str, Sent]:
    """What each component adds to the residual stream, in every run.

    Raises:
        InputError: for a model whose residual stream isn't the sum of that.
    """
    cfg = model.cfg
    normed = cfg.norm_position != "before" or cfg.use_normalization_before_and_after
    if normed or cfg.residual_multiplier != 1.0:
        raise InputError(
            wanted="a residual stream that is the sum of what components write",
            got="norms or a multiplier between components and stream",
            remedy="scrub a model without norm_position, post norms and residual_multiplier",
        )
    known = [name for name in nodes(model) if name != "token_type_embed"]
    names = sorted({_written(model, name) for name in known})
    _, kept = model.run_with_cache(tokens, names_filter=names, return_type=None, return_cache_object=False)
    return {name: _sent(model, name, kept[_written(model, name)]) for name in known}


def _written(model: HookedTransformer, node: str) -> str:
    """The hook from which a component's output is read."""
    it = Node.parse(node)
    if it.kind == "head" and it.layer is not None:
        return attn_site(it.layer, "z")
    return block_site(it.layer, "mlp_out") if it.layer is not None else it.writes


@torch.no_grad()
def _sent(model: HookedTransformer, node: str, kept: Tensor) -> Sent:
    it = Node.parse(node)
    if it.kind != "head":
        return kept
    assert it.layer is not None and it.head is not None
    return kept[:, :, it.head] @ model.W_O[it.layer, it.head]
