"""Gradients of a metric at what every receiver reads, and what they say of every edge."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from unweave.analysis.edges.rewired import Rewired
from unweave.core.errors import InputError
from unweave.core.hooks import HookFunction, HookPoint
from unweave.core.shape import Reading
from unweave.core.sites import block_site
from unweave.engine.executor import called
from unweave.engine.metrics import Bound

Scores = Float[Tensor, "edge sample"]
Stream = Float[Tensor, "sample pos d_model"]
# The hooks at which a run is moved, and what is added to each.
Moves = dict[str, Stream]


def first_order(work: Rewired) -> Scores:
    """EAP: `(instead - sent) · gradient`, with the gradient of the run itself, summed over positions."""
    return _scores(work, {})


def along_inputs(work: Rewired, steps: int) -> Scores:
    """EAP-IG, inputs: the gradient averaged over runs whose embeddings lie on the straight path to those that
    are put in their stead.
    """
    whole = {name: change for name, change, _ in _groups(work) if name in ("hook_embed", "hook_pos_embed")}
    total = None
    for point, weight in _points(steps):
        part = weight * _scores(work, {name: point * change for name, change in whole.items()})
        total = part if total is None else total + part
    assert total is not None
    return total


def along_activations(work: Rewired, steps: int) -> Scores:
    """EAP-IG, activations: for the edges out of each component the gradient is averaged over runs in which
    that component's own output (a layer's heads all together) lies on the path; its inputs stay.
    """
    scores = torch.zeros(len(work.shape.edges), work.base.inputs.shape[0], dtype=work.sent.dtype)
    scores = scores.to(work.sent.device)
    for name, change, senders in _groups(work):
        own = _out_of(work, senders)
        for point, weight in _points(steps):
            scores[own] += weight * _scores(work, {name: point * change})[own]
    return scores


def _points(steps: int) -> Iterator[tuple[float, float]]:
    """Points from 0 to 1 and their weights, by the Gauss-Legendre rule."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    return zip(((points + 1) / 2).tolist(), (weights / 2).tolist(), strict=True)


def _groups(work: Rewired) -> Iterator[tuple[str, Stream, range]]:
    """Where components write, by how much that would change, and which senders they are."""
    shape, at = work.shape, 0
    for name in ("hook_embed", "hook_pos_embed")[: 1 + shape.pos_embed]:
        yield name, work.change[at], range(at, at + 1)
        at += 1
    for layer in range(shape.n_layers):
        heads = range(at, at + shape.n_heads)
        yield block_site(layer, "attn_out"), work.change[heads].sum(0), heads
        at = heads.stop
        if shape.mlp:
            yield block_site(layer, "mlp_out"), work.change[at], range(at, at + 1)
            at += 1


def _out_of(work: Rewired, senders: Iterable[int]) -> list[int]:
    names = {work.shape.senders[at] for at in senders}
    return [number for number, edge in enumerate(work.shape.edges) if edge.sender in names]


def _scores(work: Rewired, moves: Moves) -> Scores:
    """`change · gradient` for every edge, the gradient at each receiver's input in a run with these moves."""
    found: Tensor | None = None
    for reading, gradient in _gradients(work, moves):
        change = work.change[: reading.n_senders].flatten(2)
        each = torch.einsum("sbx,rbx->rsb", change, gradient)
        if found is None:
            found = each.new_zeros(len(work.shape.edges), each.shape[-1])
        for receiver, row in enumerate(each):
            numbers = reading.numbers(receiver)
            found[numbers.start : numbers.stop] = row
    assert found is not None
    return found


def _gradients(
    work: Rewired, moves: Moves
) -> Iterator[tuple[Reading, Float[Tensor, "receiver sample features"]]]:
    model, inputs, n_layers = work.model, work.base.inputs, work.shape.n_layers
    kept: dict[str, Tensor] = {}
    names = [_name(reading) for reading in work.shape.readings[:-1]]
    with torch.inference_mode(False), torch.enable_grad():
        hooks: list[tuple[str, HookFunction]] = [(name, _keeper(kept)) for name in names]
        # A zero with a gradient, so that there is one even where the weights have none.
        start = torch.zeros_like(work.sent[0]).requires_grad_()
        moves = {"hook_embed": torch.zeros_like(work.sent[0])} | moves
        hooks += [(n, _mover(by + start if n == "hook_embed" else by)) for n, by in moves.items()]
        with model.hooks(hooks):
            stream = model(inputs.tokens, stop_at_layer=n_layers, **inputs.others)
        total = _total(work, stream)
        if not total.requires_grad:
            raise InputError(
                wanted="a metric with a gradient",
                got="one that is not differentiable",
                remedy="patch edges exactly, with unweave.edges.patch, or take another metric",
            )
        read = [kept[name] for name in names] + [stream]
        found = torch.autograd.grad(total, read, allow_unused=True, materialize_grads=True)
    for reading, gradient in zip(work.shape.readings, found, strict=True):
        headed = gradient if gradient.ndim == 4 else gradient[:, :, None]
        yield reading, headed.permute(2, 0, 1, 3).flatten(2)


def _total(work: Rewired, stream: Stream) -> Tensor:
    """The sum of the metric over samples: its gradient in each sample is that sample's own."""
    model, n_layers, metric = work.model, work.shape.n_layers, work.metric
    if not isinstance(metric, Bound):
        return called(metric, model(stream, start_at_layer=n_layers)).sum()
    rows = torch.arange(len(stream), device=stream.device)[:, None]
    logits = model(stream[rows, metric.where], start_at_layer=n_layers)
    return metric.mean(metric.each(logits)).sum()


def _name(reading: Reading) -> str:
    return block_site(reading.layer, "mlp_in" if reading.input == "mlp" else f"{reading.input}_input")


def _keeper(kept: dict[str, Tensor]) -> HookFunction:
    def keep(tensor: Tensor, /, *, hook: HookPoint) -> None:
        kept[hook.name] = tensor

    return keep


def _mover(by: Tensor) -> HookFunction:
    def move(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
        return tensor + by

    return move
