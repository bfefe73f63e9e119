"""Where paths begin and end: senders, receivers, and what may be recomputed between them, by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from unweave.analysis.nodes import nodes
from unweave.core.edges import Node
from unweave.core.errors import InputError, nearest
from unweave.core.sites import block_site
from unweave.engine.layout import Index
from unweave.engine.site import Site
from unweave.model.transformer import HookedTransformer

# One name, several that act together, or labels of such.
Names = str | Sequence[str | Sequence[str]] | Mapping[str, str | Sequence[str]]

_GROUP = re.compile(r"a(\d+)\.g(\d+)<([kv])>")
_HEAD = re.compile(r"a(\d+)\.h(\d+)(?:<([qkv])>)?")


@dataclass(frozen=True)
class Receiver:
    """One input of one component, or the logits.

    Args:
        node: the component; for a group's keys or values its first head.
        input: "q", "k" or "v", "mlp" or "logits".
        site: where what it reads of the residual stream can be changed for it alone.
        hook: the site's.
        width: how many heads (or groups) that hook has a stream for; 0 if it has one for all.
        reads: the hook of the residual stream that it reads.
        shared: the heads that read the same, where keys and values are a group's.
    """

    node: Node
    input: str
    site: Site
    hook: str
    width: int
    reads: str
    shared: tuple[int, ...] = ()


def grouped(names: Names) -> dict[str, tuple[str, ...]]:
    """Sets of names by label; the label of an unnamed set is its names, joined.

    Raises:
        InputError: for none, or a set of none.
    """
    given: dict[str, tuple[str, ...]] = {}
    if isinstance(names, Mapping):
        given = {
            label: (group,) if isinstance(group, str) else tuple(group) for label, group in names.items()
        }
    else:
        for group in [names] if isinstance(names, str) else names:
            members = (group,) if isinstance(group, str) else tuple(group)
            given[" + ".join(members)] = members
    if not given or not all(given.values()):
        raise InputError(
            wanted="at least one name in each set of senders or receivers",
            got="none",
            remedy='write senders=["a0.h0"], receivers=["a1.h0<q>", "logits"]',
        )
    return given


def sender_sites(model: HookedTransformer, pos: Index = None) -> dict[str, Site]:
    """Every component that can send, and where what it sends is."""
    return {name: site if pos is None else site.at(pos=pos) for name, site in nodes(model).items()}


def require_nodes(names: Sequence[str], known: Mapping[str, Site], what: str) -> None:
    """Raise InputError for a name that isn't a component of the model."""
    for name in names:
        if name not in known:
            raise InputError(
                wanted=f"components of this model as {what}",
                got=repr(name),
                remedy=f"nearest: {nearest(name, known)}",
            )


def through_parts(model: HookedTransformer, through: str | Sequence[str]) -> frozenset[str]:
    """The components that `through` names: "mlps", "heads", "all", or names."""
    known = nodes(model)
    kinds = {"mlps": ("mlp",), "heads": ("head",), "all": ("mlp", "head")}
    if isinstance(through, str) and through in kinds:
        return frozenset(name for name in known if _kind(name) in kinds[through])
    names = (through,) if isinstance(through, str) else tuple(through)
    require_nodes(names, known, 'through (or "mlps", "heads", "all")')
    return frozenset(names)


def receivers_of(model: HookedTransformer, name: str) -> list[Receiver]:
    """The inputs that a name means: `a1.h0<q>`, `a1.h0` (all three of a head), `a1.g0<k>`, `m1`, `logits`.

    Raises:
        InputError: for a name that isn't one of this model's.
    """
    cfg, text = model.cfg, name.replace(" ", "")
    group, head = _GROUP.fullmatch(text), _HEAD.fullmatch(text)
    if text == "logits":
        hook = block_site(cfg.n_layers - 1, "resid_post")
        return [Receiver(Node("logits"), "logits", Site(hook), hook, 0, hook)]
    if group and _shares(model) and int(group[1]) < cfg.n_layers and int(group[2]) < _groups(model):
        first = int(group[2]) * (cfg.n_heads // _groups(model))
        return [_head_input(model, int(group[1]), first, group[3])]
    if head and int(head[1]) < cfg.n_layers and int(head[2]) < cfg.n_heads:
        return [_head_input(model, int(head[1]), int(head[2]), which) for which in head[3] or "qkv"]
    if text in nodes(model) and _kind(text) == "mlp":
        return [_mlp_input(model, Node.parse(text))]
    raise InputError(
        wanted="receivers of this model, such as a1.h0<q>, a1.h0, m1 or logits"
        + (" (or a1.g0<k> for a group's keys)" if _shares(model) else ""),
        got=repr(name),
        remedy="count layers, heads and groups from 0",
    )


def every_receiver(model: HookedTransformer) -> list[str]:
    """The name of each input of each component, and the logits, in the order of a run."""
    cfg, found = model.cfg, list[str]()
    for layer in range(cfg.n_layers):
        found += [f"a{layer}.h{head}<q>" for head in range(cfg.n_heads)]
        letter = "g" if _shares(model) else "h"
        found += [f"a{layer}.{letter}{n}<{which}>" for which in "kv" for n in range(_groups(model))]
        found += [] if cfg.attn_only or cfg.norm_position == "stream" else [f"m{layer}"]
    return [*found, "logits"]


def require_no_chain(model: HookedTransformer, senders: Sequence[str], receivers: Sequence[Receiver]) -> None:
    """Raise InputError if a sender hears of another one through a receiver, and tells a further receiver.

    What it then tells is neither what it has in this run nor what it has in the source's.
    """
    for receiver in receivers:
        if not any(before(model, sender, receiver.node) for sender in senders):
            continue
        for sender in senders:
            node = _node(sender)
            hears = node == receiver.node or before(model, str(receiver.node), node)
            if hears and any(before(model, sender, other.node) for other in receivers):
                raise InputError(
                    wanted="senders that don't hear of each other through a receiver of their own set",
                    got=f"{sender}, which comes after {receiver.node}",
                    remedy="patch them in sets of their own, as senders=[[...], [...]]",
                )


def before(model: HookedTransformer, sender: str, node: Node) -> bool:
    """Whether a component's output is part of what `node` reads."""
    if sender == "logits":
        return False
    first = _node(sender)
    beside = model.cfg.parallel_attn_mlp and first.kind == "head" and node.kind == "mlp"
    return first.depth < node.depth and not (beside and first.layer == node.layer)


def _node(name: str) -> Node:
    return Node("embed") if name == "token_type_embed" else Node.parse(name)


def _head_input(model: HookedTransformer, layer: int, head: int, which: str) -> Receiver:
    node, hook, reads = (
        Node("head", layer, head),
        block_site(layer, f"{which}_input"),
        block_site(layer, "resid_pre"),
    )
    if which == "q" or not _shares(model):
        return Receiver(node, which, Site(hook, head=head), hook, model.cfg.n_heads, reads)
    n_groups = _groups(model)
    size = model.cfg.n_heads // n_groups
    group = head // size
    shared = tuple(range(group * size, (group + 1) * size))
    return Receiver(
        Node("head", layer, shared[0]), which, Site(hook, head=group), hook, n_groups, reads, shared
    )


def _mlp_input(model: HookedTransformer, node: Node) -> Receiver:
    cfg, layer = model.cfg, node.layer
    assert layer is not None
    if cfg.norm_position == "stream":
        raise InputError(
            wanted="receivers that read the residual stream without changing it",
            got=f"{node} of a model that norms the stream itself, where it reads",
            remedy="name heads or logits",
        )
    reads = block_site(layer, "resid_pre" if cfg.parallel_attn_mlp else "resid_mid")
    hook = block_site(layer, "mlp_in")
    return Receiver(node, "mlp", Site(hook), hook, 0, reads)


def _shares(model: HookedTransformer) -> bool:
    """Whether keys and values are read once a group and not once a head."""
    return model.cfg.n_key_value_heads is not None and not model.cfg.ungroup_grouped_query_attention


def _groups(model: HookedTransformer) -> int:
    return (model.cfg.n_key_value_heads or model.cfg.n_heads) if _shares(model) else model.cfg.n_heads


def _kind(name: str) -> str:
    return "mlp" if name.startswith("m") else "head" if name.startswith("a") else "embedding"
