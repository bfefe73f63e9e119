"""From a program to a model that runs it: steps, places, coordinates, heads and MLPs, weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Mapping

import torch

from unweave.core.edges import Node
from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer
from unweave.planted import decoys as decoy_heads
from unweave.planted.algorithm import interpreted
from unweave.planted.assemble import Parts, assemble
from unweave.planted.basis import Basis, described, lay_out, step_names
from unweave.planted.circuit import true_edges
from unweave.planted.heads import Head, aggregate_head, share_head
from unweave.planted.language import Aggregate, Elementwise, Op, Present, SelectorWidth, indices, tokens
from unweave.planted.mlps import Neuron, elementwise_mlp, present_mlp, width_mlp
from unweave.planted.planted_model import PlantedModel
from unweave.planted.schedule import Place, schedule
from unweave.planted.values import Values, in_order

SHARPNESS = 100.0


def compile(  # noqa: A001  (reached as planted.compile, as Tracr's and RASP's compilers are called)
    program: Op,
    *,
    n_tokens: int,
    max_length: int,
    causal: bool = True,
    name: str = "program",
    sharpness: float = SHARPNESS,
    decoys: int = 0,
    seed: int = 0,
    dtype: str | torch.dtype = "float32",
    device: str | torch.device | None = None,
) -> PlantedModel:
    """A HookedTransformer that runs `program` on every sequence of these tokens, and its true circuit.

    Sequences are BOS (token 0), then 1 to `max_length` tokens from 1 to `n_tokens`. Each step becomes a
    head, an MLP, or both, in the first layer where its inputs are there, and writes to coordinates
    of its own. There are no norms; the MLPs' activation is relu.

    Exact means: of the n keys that a query does not mean, each gets at most exp(-sharpness / 2) of
    the attention, and an MLP's tables are exact. With the default, 2e-22 n is far below what
    float64 can tell. What remains is rounding: widths come from BOS's share of the attention by steep
    stairs, which magnify it.

    Args:
        causal: whether a position sees only itself and what is before.
        sharpness: how far the scores of selected keys lie above the others', in nats.
        decoys: so many more heads a layer, with random weights, that nothing in the circuit reads.
            The program's heads are shuffled among them, and take other places than without.
        seed: of the decoys.
        dtype: "float32" or "float64".

    Returns:
        The planted model; its `algorithm` is the program, interpreted.

    Raises:
        InputError: for a program that cannot be compiled.
    """
    _check(n_tokens, max_length, decoys, sharpness, dtype)
    steps = in_order(program)
    values = Values(n_tokens, max_length)
    places = schedule(steps)
    basis = lay_out(steps, places, values)
    heads = _heads(places, basis, values, sharpness, both_ways=not causal)
    neurons = _neurons(places, basis, values, both_ways=not causal)
    moved: dict[Node, Node] = {}
    if decoys:
        basis, heads, moved = _with_decoys(basis, heads, neurons, decoys, seed)
    model = assemble(Parts(heads, neurons, basis, values, program, causal, name))
    edges, varying = true_edges(model, basis.coordinates)
    return PlantedModel(
        name=name,
        description=f"compiled from a program of {len(places)} steps",
        model=_converted(model, dtype, device),
        algorithm=interpreted(program, n_tokens, max_length, causal=causal),
        edges=edges,
        token_edges=varying,
        basis=tuple(coordinate.name for coordinate in basis.coordinates),
        steps=_told(model.cfg, places, steps, moved, heads),
        numerical=program.numerical,
        n_tokens=n_tokens,
        max_length=max_length,
        moved=moved,
    )


def _heads(
    places: Mapping[Op, Place], basis: Basis, values: Values, sharpness: float, *, both_ways: bool
) -> dict[tuple[int, int], Head]:
    heads: dict[tuple[int, int], Head] = {}
    for op, place in places.items():
        if place.head is None:
            continue
        if isinstance(op, Aggregate):
            head = aggregate_head(op, basis, values, sharpness=sharpness, both_ways=both_ways)
        else:
            assert isinstance(op, SelectorWidth)
            head = share_head(op, basis, values, sharpness=sharpness)
        heads[_slot(place.head)] = head
    return heads


def _neurons(
    places: Mapping[Op, Place], basis: Basis, values: Values, *, both_ways: bool
) -> dict[int, list[Neuron]]:
    neurons: dict[int, list[Neuron]] = {}
    for op, place in places.items():
        if place.mlp is None or place.mlp.layer is None:
            continue
        match op:
            case Elementwise():
                found = elementwise_mlp(op, basis, values)
            case Present():
                found = present_mlp(op, basis)
            case _:
                assert isinstance(op, SelectorWidth)
                # With queries, BOS has none, and selects nothing.
                silence = both_ways and op.selector.queries is None
                found = width_mlp(op, basis, values, silence_bos=silence)
        neurons.setdefault(place.mlp.layer, []).extend(found)
    return neurons


def _with_decoys(
    basis: Basis, heads: dict[tuple[int, int], Head], neurons: Mapping[int, object], decoys: int, seed: int
) -> tuple[Basis, dict[tuple[int, int], Head], dict[Node, Node]]:
    """Wider, with a decoy in every place that the program leaves free; and where its heads went."""
    n_layers = 1 + max((*(layer for layer, _ in heads), *neurons), default=-1)
    n_heads = decoys + 1 + max((number for _, number in heads), default=-1)
    moved = decoy_heads.shuffled((Node("head", *slot) for slot in heads), n_heads, seed)
    owned = (dataclasses.replace(c, owner=moved.get(c.owner, c.owner)) for c in basis.coordinates if c.owner)
    basis = dataclasses.replace(basis, coordinates=(*owned, *decoy_heads.coordinates()))
    placed = {_slot(moved[Node("head", *slot)]): head for slot, head in heads.items()}
    d_head = max((len(dims) for head in heads.values() for dims in (head.matches, head.moves)), default=1)
    for layer in range(n_layers):
        for number in range(n_heads):
            if (layer, number) not in placed:
                place = Node("head", layer, number)
                placed[layer, number] = decoy_heads.decoy(place, len(basis), d_head, seed)
    return basis, placed, moved


def _told(
    cfg: HookedTransformerConfig,
    places: Mapping[Op, Place],
    steps: list[Op],
    moved: Mapping[Node, Node],
    heads: Container[tuple[int, int]],
) -> dict[str, str]:
    """What each component does, in the order of a run."""
    names = step_names(steps)
    told: dict[Node, list[str]] = {}
    for op, place in places.items():
        if op is tokens or op is indices:
            told[place.last] = [names[op]]
            continue
        line = described(op, names)
        if place.head is not None:
            head = moved.get(place.head, place.head)
            told.setdefault(head, []).append(line if place.mlp is None else f"BOS's share, for {line}")
        if place.mlp is not None:
            told.setdefault(place.mlp, []).append(line)
    for layer in range(cfg.n_layers):
        for number in range(cfg.n_heads):
            told.setdefault(Node("head", layer, number), ["decoy" if (layer, number) in heads else "idle"])
        if not cfg.attn_only:
            told.setdefault(Node("mlp", layer), ["idle"])
    in_run = sorted(told, key=lambda node: (node.depth, node.head or 0))
    return {str(node): "; ".join(told[node]) for node in in_run}


def _slot(node: Node) -> tuple[int, int]:
    assert node.layer is not None and node.head is not None
    return node.layer, node.head


def _converted(
    model: HookedTransformer, dtype: str | torch.dtype, device: str | torch.device | None
) -> HookedTransformer:
    """The same weights, rounded once, in a model of this dtype on this device."""
    cfg = HookedTransformerConfig.from_dict({**model.cfg.to_dict(), "dtype": dtype, "device": device})
    converted = HookedTransformer(cfg)
    converted.load_state_dict(model.state_dict())
    return converted


def _check(n_tokens: int, max_length: int, decoys: int, sharpness: float, dtype: str | torch.dtype) -> None:
    for what, value, least in (
        ("n_tokens", n_tokens, 1),
        ("max_length", max_length, 1),
        ("decoys", decoys, 0),
    ):
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise InputError(
                wanted=f"a whole number of at least {least} for {what}",
                got=repr(value),
                remedy=f"set {what} in compile() or load()",
            )
    if not 20.0 <= sharpness <= 1000.0:
        raise InputError(
            wanted="a sharpness from 20 to 1000 nats",
            got=f"{sharpness:g}",
            remedy="leave it out: with less, attention is no longer exact, with more, float32 isn't",
        )
    if str(dtype).removeprefix("torch.") not in ("float32", "float64"):
        raise InputError(
            wanted="float32 or float64 for dtype, in which a planted model is exact",
            got=repr(dtype),
            remedy="convert the model yourself, as by planted.model.bfloat16(), and check it",
        )
