"""Edges: who adds to the residual stream, and who reads there what was added.

A circuit is a set of edges. They are written as in EAP (Syed, Rager and Conmy, 2023, arXiv:2310.10348)
and its successors: `a0.h1->a1.h0<q>` goes from head 1 of layer 0 into the queries of head 0 of layer 1.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass

from unweave.core.errors import InputError
from unweave.core.sites import attn_site, block_site

KINDS = ("embed", "pos_embed", "head", "mlp", "logits")
_NODE = re.compile(r"a(?P<attn>\d+)\.h(?P<head>\d+)|m(?P<mlp>\d+)|(?P<name>embed|pos_embed|logits)")
_EDGE = re.compile(r"(?P<sender>[^<>-]+)->(?P<receiver>[^<>-]+)(<(?P<input>.*)>)?")


@dataclass(frozen=True)
class Node:
    """A component: `embed`, `pos_embed`, a head `a0.h1`, an MLP `m0`, or `logits`.

    Raises:
        InputError: for a layer or head where there can be none, or none where there must be one.
    """

    kind: str
    layer: int | None = None
    head: int | None = None

    def __post_init__(self) -> None:
        layered, headed = self.kind in ("head", "mlp"), self.kind == "head"
        fits = _number(self.layer) == layered and _number(self.head) == headed
        if self.kind not in KINDS or not fits or (not layered and self.layer is not None):
            raise InputError(
                wanted=f"one of {', '.join(KINDS)}, a head with its layer and number, an MLP with its layer",
                got=f"{self.kind!r}, layer {self.layer!r}, head {self.head!r}",
                remedy='write Node("head", 0, 1), or Node.parse("a0.h1")',
            )

    @classmethod
    def parse(cls, text: str) -> Node:
        """The node that is written so.

        Raises:
            InputError: for any other text.
        """
        found = _NODE.fullmatch(text.strip())
        if found is None:
            raise InputError(
                wanted="embed, pos_embed, a head such as a0.h1, an MLP such as m0, or logits",
                got=repr(text),
                remedy="write layer and head as numbers from 0",
            )
        if found["attn"]:
            return cls("head", int(found["attn"]), int(found["head"]))
        return cls("mlp", int(found["mlp"])) if found["mlp"] else cls(found["name"])

    def __str__(self) -> str:
        if self.kind == "head":
            return f"a{self.layer}.h{self.head}"
        return f"m{self.layer}" if self.kind == "mlp" else self.kind

    @property
    def depth(self) -> int:
        """Where in a run it stands: embeddings -1, layer l's heads 2l, its MLP 2l + 1, logits last."""
        if self.layer is None:
            return 1_000_000 if self.kind == "logits" else -1
        return 2 * self.layer + (self.kind == "mlp")

    @property
    def writes(self) -> str:
        """The hook of what it adds to the residual stream; a head's is one of `hook_result`'s.

        Raises:
            InputError: for the logits, which add nothing to it.
        """
        if self.kind == "logits":
            raise InputError(
                wanted="a node that adds to the residual stream",
                got="logits",
                remedy="read the sender of an edge",
            )
        if self.layer is None:
            return f"hook_{self.kind}"
        return attn_site(self.layer, "result") if self.kind == "head" else block_site(self.layer, "mlp_out")


@dataclass(frozen=True)
class Edge:
    """What `sender` adds to the residual stream, as `receiver` reads it.

    Args:
        input: "q", "k" or "v" of a receiving head; None for an MLP or the logits.

    Raises:
        InputError: for an edge that runs backwards, or an input that the receiver does not have.
    """

    sender: Node
    receiver: Node
    input: str | None = None

    def __post_init__(self) -> None:
        if (self.input in ("q", "k", "v")) != (self.receiver.kind == "head"):
            raise InputError(
                wanted="q, k or v for a receiving head, and no input for another receiver",
                got=f"{self.input!r} for {self.receiver}",
                remedy="write a0.h1->a1.h0<q>, or a0.h1->m0",
            )
        if self.input not in ("q", "k", "v", None) or self.sender.depth >= self.receiver.depth:
            raise InputError(
                wanted="an edge that runs forwards",
                got=str(self),
                remedy="let the sender stand before the receiver",
            )

    @classmethod
    def parse(cls, text: str) -> Edge:
        """The edge that is written so: `a0.h1->a1.h0<q>`, `a0.h1->m0`, `m0->logits`.

        Raises:
            InputError: for any other text.
        """
        found = _EDGE.fullmatch(text.replace(" ", ""))
        if found is None:
            raise InputError(
                wanted="an edge such as a0.h1->a1.h0<q>",
                got=repr(text),
                remedy="write sender->receiver<input>",
            )
        return cls(Node.parse(found["sender"]), Node.parse(found["receiver"]), found["input"])

    def __str__(self) -> str:
        return f"{self.sender}->{self.receiver}" + ("" if self.input is None else f"<{self.input}>")

    @property
    def reads(self) -> str:
        """The hook of what the receiver reads; a head's is one of those of all heads."""
        layer = self.receiver.layer
        if layer is None:
            return "unembed.hook_in"
        return block_site(layer, "mlp_in" if self.input is None else f"{self.input}_input")

    @property
    def order(self) -> tuple[object, ...]:
        """To sort by: in the order of a run."""
        ends = ((n.depth, -1 if n.head is None else n.head, str(n)) for n in (self.receiver, self.sender))
        receiver, sender = ends
        return (*receiver, "" if self.input is None else "qkv".index(self.input), *sender)


def possible_edges(
    n_layers: int, n_heads: int, *, mlp: bool = True, pos_embed: bool = True, parallel: bool = False
) -> Iterator[Edge]:
    """Every edge that a model of this shape has room for, in the order of a run.

    Args:
        mlp: whether layers have one.
        pos_embed: whether positions are a table that is added to the residual stream.
        parallel: whether a layer's MLP reads what its attention reads, and nothing of what it writes.
    """
    senders = [Node("embed"), *([Node("pos_embed")] if pos_embed else [])]
    for layer in range(n_layers):
        heads = [Node("head", layer, head) for head in range(n_heads)]
        mlps = [Node("mlp", layer)] if mlp else []
        for head, which, sender in itertools.product(heads, "qkv", senders):
            yield Edge(sender, head, which)
        for receiver, sender in itertools.product(mlps, senders if parallel else [*senders, *heads]):
            yield Edge(sender, receiver)
        senders += heads + mlps
    for sender in senders:
        yield Edge(sender, Node("logits"))


def _number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
