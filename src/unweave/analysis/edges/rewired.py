"""Runs in which any set of edges carries something else, each set in one forward.

The receiver of an edge reads the residual stream with what the sender added in this run taken out,
and what it adds in another run put in its place (path patching's direct edges: Goldowsky-Dill et
al., 2023, arXiv:2304.05969). What each component adds is kept once; the inputs of all receivers at
one hook are then the stream plus one product of a mask with differences.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from unweave.analysis.edges.senders import Sent, as_sent, replacing, shape_of, stacked, writing
from unweave.core.hooks import HookFunction, HookPoint
from unweave.core.shape import Reading, Shape
from unweave.core.sites import attn_site, block_site
from unweave.engine.base import Base, Foreign, run_base
from unweave.engine.edits import require_changed
from unweave.engine.executor import called, read_logits
from unweave.engine.inputs import Inputs
from unweave.engine.metrics import Bound, Function, Metric, bind
from unweave.engine.operations import Operation
from unweave.engine.planner import MEMORY, size_of
from unweave.model.transformer import HookedTransformer

Cut = Bool[Tensor, "set edge"]
Stream = Float[Tensor, "row pos d_model"]
Values = Float[Tensor, "set sample"] | Float[Tensor, " set"]


@dataclass(eq=False)
class Rewired:
    """The run without changes, what components send in it and in its stead, and a metric.

    Args:
        sent: what each component adds in the run itself.
        change: what it adds where an edge is cut, minus that.
        metric: bound, or a function of logits.
        clean: the metric of the run itself, a number a sample or one for all.
        memory: bytes that a batch of changed runs may take.
        runs: how many changed runs were made.
        batches: how many forwards those took.
    """

    model: HookedTransformer
    shape: Shape
    base: Base
    sent: Sent
    change: Sent
    metric: Bound | Function
    clean: Float[Tensor, " sample"] | Float[Tensor, ""]
    memory: int
    progress: Callable[[int], Any] = lambda _: None
    runs: int = 0
    batches: int = 0

    @classmethod
    @torch.no_grad()
    def begun(
        cls,
        model: HookedTransformer,
        inputs: Inputs,
        operation: Operation,
        metric: Metric | Function,
        memory: int = MEMORY,
        allow_equal: bool = False,
    ) -> Rewired:
        """Run the model, and those runs that values come from."""
        shape = shape_of(model)
        # Found before ours are on it: there is none, or the shape would have been refused.
        foreign = Foreign.of(model)
        with model.recording(writing(shape)) as kept:
            base = run_base(model, inputs, [], foreign, all_logits=not isinstance(metric, Metric))
        sent = stacked(kept, shape, model.cfg)
        change = replacing(model, inputs, operation, kept, shape) - sent
        if not allow_equal:
            require_changed(bool(change.any()))
        if not isinstance(metric, Metric):
            assert base.logits is not None
            return cls(model, shape, base, sent, change, metric, called(metric, base.logits), memory)
        bound = bind(metric, inputs, model.cfg.d_vocab_out, model.W_E.device)
        bound.take_clean(read_logits(model, base, bound))
        return cls(model, shape, base, sent, change, bound, bound.mean(bound.clean), memory)

    @torch.no_grad()
    def measured(self, cut: Cut) -> Values:
        """The metric of the run with each of these sets of edges cut."""
        return torch.stack(self._each(cut, self._metric)) if len(cut) else torch.empty(0)

    @torch.no_grad()
    def logits(self, cut: Cut) -> Float[Tensor, "set sample pos d_vocab_out"]:
        """The logits of those runs."""
        return torch.stack(self._each(cut, lambda stream: self._logits(stream.flatten(0, 1), len(stream))))

    def cut(self, sets: Sequence[Sequence[int]]) -> Cut:
        """A row for each set of numbers of edges."""
        rows = torch.zeros(len(sets), len(self.shape.edges), dtype=torch.bool)
        for row, numbers in zip(rows, sets, strict=True):
            row[list(numbers)] = True
        return rows

    def _each(self, cut: Cut, read: Callable[[Tensor], Tensor]) -> list[Tensor]:
        """What `read` makes of `[set, sample, pos, d_model]`, the final streams of each set."""
        cut = cut.to(self.sent.device)
        groups: dict[int, list[int]] = defaultdict(list)
        for number, start in enumerate(self._start(cut).tolist()):
            groups[start].append(number)
        together = max(1, self.memory // self._bytes())
        found: dict[int, Tensor] = {}
        for start, numbers in groups.items():
            for first in range(0, len(numbers), together):
                some = numbers[first : first + together]
                streams = self._streams(cut[some], start).unflatten(0, (len(some), -1))
                found |= zip(some, read(streams), strict=True)
                self.runs, self.batches = self.runs + len(some), self.batches + 1
                self.progress(len(some))
        return [found[number] for number in range(len(cut))]

    def _start(self, cut: Cut) -> Tensor:
        """The first layer in which each set changes something."""
        start = torch.full((len(cut),), self.shape.n_layers, device=cut.device)
        for reading in reversed(self.shape.readings):
            start[into(reading, cut).flatten(1).any(1)] = reading.layer
        return start

    def _streams(self, cut: Cut, start: int) -> Stream:
        """What goes into the final norm, set by set, sample by sample."""
        mask = self.base.inputs.attention_mask
        mask = None if mask is None else mask.repeat(len(cut), 1)
        stream = self.base.streams[start].repeat(len(cut), 1, 1)
        moved: dict[int, Tensor] = {}
        for layer in range(start, self.shape.n_layers):
            with self.model.hooks(self._hooks(layer, cut, moved)):
                stream = self.model(
                    stream, start_at_layer=layer, stop_at_layer=layer + 1, attention_mask=mask
                )
        last = self._changed(self.shape.readings[-1], cut, moved)
        return stream if last is None else stream + last[:, :, 0]

    def _hooks(self, layer: int, cut: Cut, moved: dict[int, Tensor]) -> list[tuple[str, HookFunction]]:
        """Those that change what is read in this layer, and keep what it sends to those who need to know."""
        read = torch.zeros(len(self.shape.senders), dtype=torch.bool, device=cut.device)
        hooks: list[tuple[str, HookFunction]] = []
        for reading in self.shape.readings:
            edges = into(reading, cut)
            read[: reading.n_senders] |= edges.flatten(0, 1).any(0)
            if reading.layer == layer and edges.any():
                name = "mlp_in" if reading.input == "mlp" else f"{reading.input}_input"
                hooks.append((block_site(layer, name), self._reader(reading, cut, moved)))
        first = 1 + self.shape.pos_embed + layer * (self.shape.n_heads + self.shape.mlp)
        writers = [(attn_site(layer, "result"), first, self.shape.n_heads)]
        if self.shape.mlp:
            writers.append((block_site(layer, "mlp_out"), first + self.shape.n_heads, 1))
        return hooks + [
            (name, self._keeper(at, moved, len(cut))) for name, at, n in writers if read[at : at + n].any()
        ]

    def _reader(self, reading: Reading, cut: Cut, moved: dict[int, Tensor]) -> HookFunction:
        def read(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
            change = self._changed(reading, cut, moved)
            assert change is not None
            return tensor + (change[:, :, 0] if tensor.ndim == 3 else change)

        return read

    def _keeper(self, first: int, moved: dict[int, Tensor], n_sets: int) -> HookFunction:
        """Keeps by how much what is sent differs from what the run itself sends."""

        def keep(tensor: Tensor, /, *, hook: HookPoint) -> None:
            now = as_sent(tensor, hook.name, self.model.cfg).unflatten(1, (n_sets, -1))
            was = self.sent[first : first + len(now), None]
            moved[first] = (now - was).transpose(0, 1).flatten(2)

        return keep

    def _changed(
        self, reading: Reading, cut: Cut, moved: dict[int, Tensor]
    ) -> Float[Tensor, "row pos receiver d_model"] | None:
        """What is added to the stream as each receiver reads it: sums of what cut edges bring, less what they brought."""
        weights = into(reading, cut).to(self.change.dtype)
        n_sets, n_receivers, n_senders = weights.shape
        used = weights.flatten(0, 1).any(0).nonzero().flatten()
        if not len(used):
            return None
        brought = self.change[used].flatten(1)
        added = (weights[:, :, used].flatten(0, 1) @ brought).view(n_sets, n_receivers, -1)
        for first, by in moved.items():
            if first < n_senders:
                added = added - torch.bmm(weights[:, :, first : first + by.shape[1]], by)
        added = added.view(n_sets, n_receivers, *self.sent.shape[1:])
        return added.permute(0, 2, 3, 1, 4).flatten(0, 1)

    def _metric(self, streams: Float[Tensor, "set sample pos d_model"]) -> Values:
        n_sets = len(streams)
        if not isinstance(self.metric, Bound):
            logits = self._logits(streams.flatten(0, 1), n_sets)
            return torch.stack([called(self.metric, one) for one in logits])
        rows = torch.arange(streams.shape[1], device=streams.device)[:, None]
        picked = streams[:, rows, self.metric.where]
        return self.metric.mean(self.metric.each(self._logits(picked.flatten(0, 1), n_sets)))

    def _logits(self, stream: Stream, n_sets: int) -> Float[Tensor, "set sample read d_vocab_out"]:
        return self.model(stream, start_at_layer=self.shape.n_layers).unflatten(0, (n_sets, -1))

    def _bytes(self) -> int:
        """About what one set takes, all samples."""
        cfg, (samples, n_pos) = self.model.cfg, self.base.inputs.shape
        heads = cfg.n_heads * cfg.d_head
        a_position = 12 * cfg.d_model * cfg.n_heads + 5 * heads + 3 * (cfg.d_mlp or 0)
        a_position += len(self.shape.senders) * cfg.d_model
        read = self.metric.where.shape[1] if isinstance(self.metric, Bound) else n_pos
        return (
            size_of(self.sent.dtype)
            * samples
            * (n_pos * (a_position + 3 * cfg.n_heads * n_pos) + 3 * read * cfg.d_vocab_out)
        )


def into(reading: Reading, cut: Shaped[Tensor, "set edge"]) -> Shaped[Tensor, "set receiver sender"]:
    """Which of the edges into these receivers each set has."""
    stride = cut.stride()
    return cut.as_strided(
        (len(cut), reading.n_receivers, reading.n_senders),
        (stride[0], reading.step * stride[1], stride[1]),
        cut.storage_offset() + reading.first * stride[1],
    )
