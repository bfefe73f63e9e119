"""Patched runs, exactly: each begins where its first patch acts, and many run as one batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.hooks import HookFunction, HookPoint
from unweave.core.sites import block_site
from unweave.engine.base import Base, Foreign
from unweave.engine.edits import Edit, Patch, Watch
from unweave.engine.layout import AT_TOKENS, layer_of
from unweave.engine.metrics import Bound, Function
from unweave.engine.planner import Batch, Planner
from unweave.engine.projections import BEFORE_MIXING, Projections
from unweave.engine.stacks import Own, applied_to_rows
from unweave.model.transformer import HookedTransformer

Stream = Float[Tensor, "row pos d_model"]


@dataclass
class Executor:
    """Measures patched runs.

    Args:
        metric: a bound metric, or a function of the logits of all samples and positions.
        progress: called with the number of patches done.
    """

    model: HookedTransformer
    base: Base
    foreign: Foreign
    metric: Bound | Function
    planner: Planner
    watch: Watch = field(default_factory=Watch)
    progress: Callable[[int], Any] = lambda _: None
    batches_run: int = 0

    def __post_init__(self) -> None:
        self.projections = Projections(self.model, self.base)

    @torch.no_grad()
    def measured(self, patches: Sequence[Patch]) -> Float[Tensor, "patch sample"] | Float[Tensor, " patch"]:
        """The metric under each patch: a number for each sample, or one where a function gives one."""
        if not patches:
            return torch.empty(0)
        results: Tensor | None = None
        for batch in self.planner.batches(patches):
            chosen = [patches[number] for number in batch.patches]
            values = self._whole(chosen[0]) if batch.whole else self._together(chosen, batch)
            if results is None:
                shape = (len(patches), *([self.base.inputs.shape[0]] if values.ndim == 2 else []))
                results = values.new_empty(shape)
            numbers = torch.tensor(batch.patches, device=values.device)
            if values.ndim == 2:
                results[numbers, batch.samples] = values
            else:
                results[numbers] = values
            self.batches_run += 1
            self.progress(len(chosen) if batch.samples.stop == self.base.inputs.shape[0] else 0)
        assert results is not None
        return results

    @torch.no_grad()
    def clean(self) -> Float[Tensor, " sample"] | Float[Tensor, ""]:
        """The metric of the run without patches; to be called first."""
        if not isinstance(self.metric, Bound):
            assert self.base.logits is not None
            return called(self.metric, self.base.logits)
        self.metric.take_clean(read_logits(self.model, self.base, self.metric))
        return self.metric.mean(self.metric.clean)

    def _together(self, patches: Sequence[Patch], batch: Batch) -> Tensor:
        """All these patches as one batch, which grows where further ones begin: `[patch, sample]`."""
        n_layers, samples, offset = self.model.cfg.n_layers, batch.samples, batch.offset
        active: list[Patch] = []
        stream: Stream | None = None
        for layer in range(patches[0].start, n_layers + 1):
            new = [patch for patch in patches if patch.start == layer]
            active += new
            if layer == AT_TOKENS:
                stream = self._embedded(active, samples, offset)
                continue
            if new:
                fresh = self.base.streams[layer][samples, offset:].repeat(len(new), 1, 1)
                stream = fresh if stream is None else torch.cat([stream, fresh])
            assert stream is not None
            if layer < n_layers:
                read = self._read_from(active, samples, offset) if layer == n_layers - 1 else offset
                stream = self._layer(layer, stream, active, samples, offset, read)
                offset = read
        assert stream is not None
        return self._read(stream, active, samples, offset)

    def _read_from(self, active: Sequence[Patch], samples: slice, offset: int) -> int:
        """The position from which on, at `offset` or after it, the last layer must run.

        It needs keys and values alone of those before the first one that the metric reads, if
        nothing is changed within the layer or after it.
        """
        last = self.model.cfg.n_layers - 1
        if not isinstance(self.metric, Bound) or not self.projections.can_run(last):
            return offset
        if self._hooked(last, active) or self._hooked(last + 1, active):
            return offset
        where = self.metric.where[samples]
        read = where[where >= offset]
        return int(read.min()) if len(read) else offset

    def _embedded(self, active: Sequence[Patch], samples: slice, offset: int) -> Stream:
        inputs = self.base.inputs.of(samples)
        tokens, types = inputs.tokens[:, offset:], inputs.token_type_ids
        types = None if types is None else types[:, offset:].repeat(len(active), 1)
        with self._on(self._hooked(AT_TOKENS, active), len(active), samples, offset):
            return self.model(
                tokens.repeat(len(active), 1),
                stop_at_layer=0,
                token_type_ids=types,
                **self._surroundings(0, len(active), samples, offset),
            )

    def _layer(
        self, layer: int, stream: Stream, active: Sequence[Patch], samples: slice, offset: int, read: int
    ) -> Float[Tensor, "row read d_model"]:
        """The stream after a layer, from position `read` on."""
        self._begin(layer, stream, active, samples, offset)
        hooked = self._hooked(layer, active)
        with self._on(hooked, len(active), samples, offset):
            before = any(name.split(".", 2)[-1].startswith(BEFORE_MIXING) for name in hooked)
            if self.projections.can_run(layer) and not before:
                changed = self._changed(layer, active, samples)
                return self.projections.run(layer, stream, changed, samples, offset, read)
            return self.model(
                stream,
                start_at_layer=layer,
                stop_at_layer=layer + 1,
                **self._surroundings(layer, len(active), samples, offset),
            )

    def _begin(
        self, layer: int, stream: Stream, active: Sequence[Patch], samples: slice, offset: int
    ) -> None:
        """Put the edits of a layer's input in place: that needs no hooks, if no functions are among them."""
        name = block_site(layer, "resid_pre")
        own = [(number, patch.at(name)) for number, patch in enumerate(active) if patch.sets(name)]
        if own:
            point = self.model.hook_dict[name]
            applied_to_rows(stream, own, len(active), point, samples, offset, self.watch)

    def _changed(self, layer: int, active: Sequence[Patch], samples: slice) -> Bool[Tensor, "row pos"]:
        """Where the input of a layer may differ from the one of the run without patches."""
        n_pos, device = self.base.inputs.shape[1], self.base.streams[layer].device
        name = block_site(layer, "resid_pre")
        touched: list[tuple[int, int]] = []
        for patch in active:
            if patch.start < layer:
                touched.append((patch.first_position, n_pos))
            else:
                hulls = [edit.positions for edit in patch.at(name) if isinstance(edit, Edit)]
                touched.append(
                    (min((h.start for h in hulls), default=0), max((h.stop for h in hulls), default=0))
                )
        first, stop = torch.tensor(touched, device=device).T[..., None]
        positions = torch.arange(n_pos, device=device)
        changed = (positions >= first) & (positions < stop)
        return changed.repeat_interleave(len(self.base.inputs.tokens[samples]), 0)

    def _surroundings(self, layer: int, patches: int, samples: slice, offset: int) -> dict[str, Any]:
        """The mask of the positions that are run, and the keys and values of those before."""
        mask = self.base.inputs.attention_mask
        mask = None if mask is None else mask[samples, offset:].repeat(patches, 1)
        past = self.base.past(layer, patches, samples, offset)
        return {"attention_mask": mask, "past_kv_cache": past}

    def _hooked(self, layer: int, active: Sequence[Patch]) -> dict[str, list[Own]]:
        """The edits within a layer, by hook: all but those of its input that are put in place before."""
        n_layers, begins = self.model.cfg.n_layers, block_site(layer, "resid_pre")
        by_name: dict[str, list[Own]] = {}
        for number, patch in enumerate(active):
            for name, edits in patch.by_name.items():
                if layer_of(name, n_layers) == layer and not (name == begins and patch.sets(name)):
                    by_name.setdefault(name, []).append((number, edits))
        return by_name

    def _on(self, hooked: dict[str, list[Own]], n_patches: int, samples: slice, offset: int) -> Any:
        """The model with the hooks of these edits."""
        hooks = [(name, self._hook(own, n_patches, samples, offset)) for name, own in hooked.items()]
        return self.model.hooks(hooks) if hooks else nullcontext()

    def _hook(self, own: Sequence[Own], n_patches: int, samples: slice, offset: int) -> HookFunction:
        def hook_rows(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
            return applied_to_rows(tensor, own, n_patches, hook, samples, offset, self.watch)

        return hook_rows

    def _read(self, stream: Stream, active: Sequence[Patch], samples: slice, offset: int) -> Tensor:
        """The metric, from what goes into the final norm: `[patch, sample]`, or `[patch]`."""
        model, n_patches = self.model, len(active)
        edited = bool(self._hooked(model.cfg.n_layers, active))
        by_patch = stream.unflatten(0, (n_patches, -1))
        n_samples, n_left = by_patch.shape[1:3]
        read = n_left if edited or not isinstance(self.metric, Bound) else self.metric.where.shape[1]
        a_patch = 3 * n_samples * read * model.cfg.d_vocab_out * self.planner.itemsize
        together = max(1, self.planner.memory // a_patch)
        results: list[Tensor] = []
        for first in range(0, n_patches, together):
            some = slice(first, first + together)
            if isinstance(self.metric, Bound) and not edited:
                results.append(self._read_at(self.metric, by_patch[some], samples, offset))
                continue
            hooked = self._hooked(model.cfg.n_layers, active[some])
            with self._on(hooked, len(active[some]), samples, offset):
                logits = model(by_patch[some].flatten(0, 1), start_at_layer=model.cfg.n_layers)
            logits = logits.unflatten(0, (-1, n_samples))
            results.append(self._measured(logits, samples, offset))
        return torch.cat(results)

    def _read_at(self, metric: Bound, streams: Tensor, samples: slice, offset: int) -> Tensor:
        """The metric, with logits computed only where it reads and something may have changed."""
        where = metric.where[samples]
        columns = (where >= offset).any(0)
        clean = metric.clean[samples].expand(len(streams), *where.shape)
        if not columns.any():
            return metric.mean(clean, samples)
        local = (where[:, columns] - offset).clamp_min(0)
        rows = torch.arange(len(local), device=local.device)[:, None]
        picked = streams[:, rows, local]
        logits = self.model(picked.flatten(0, 1), start_at_layer=self.model.cfg.n_layers)
        fresh = metric.each(logits.unflatten(0, picked.shape[:2]), samples, columns)
        each = clean.to(fresh.dtype).clone()
        each[:, :, columns] = torch.where(where[:, columns] >= offset, fresh, each[:, :, columns])
        return metric.mean(each, samples)

    def _measured(
        self, logits: Float[Tensor, "patch sample pos d_vocab"], samples: slice, offset: int
    ) -> Tensor:
        """The metric, from logits of all positions from `offset` on."""
        if isinstance(self.metric, Bound):
            where = self.metric.where[samples]
            local = (where - offset).clamp_min(0)
            rows = torch.arange(len(local), device=local.device)[:, None]
            fresh = self.metric.each(logits[:, rows, local], samples)
            clean = self.metric.clean[samples].to(fresh.dtype)
            return self.metric.mean(torch.where(where >= offset, fresh, clean), samples)
        assert self.base.logits is not None
        before = self.base.logits[:, :offset]
        return torch.stack([called(self.metric, torch.cat([before, after], 1)) for after in logits])

    def _whole(self, patch: Patch) -> Tensor:
        """One patch in one call of the model, whatever else acts in it: `[1, sample]`, or `[1]`."""
        inputs, start = self.base.inputs, self.foreign.start(patch.start)
        hooks = [(name, self._hook([(0, edits)], 1, slice(None), 0)) for name, edits in patch.by_name.items()]
        with self.model.hooks(hooks):
            if start == AT_TOKENS:
                logits = self.model(inputs.tokens, **inputs.others)
            else:
                logits = self.model(
                    self.base.streams[start], start_at_layer=start, attention_mask=inputs.attention_mask
                )
        return self._measured(logits[None], slice(None), 0)


def called(function: Function, logits: Float[Tensor, "sample pos d_vocab"]) -> Tensor:
    """What the user's function makes of the logits.

    Raises:
        InputError: if that is neither a number nor one for each sample.
    """
    value = function(logits)
    if isinstance(value, float | int):
        value = torch.tensor(float(value))
    if not isinstance(value, Tensor) or value.shape not in ((), (len(logits),)):
        raise InputError(
            wanted=f"a number, or one for each of {len(logits)} samples, from the metric",
            got=f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__,
            remedy="return a tensor [sample] or a single number",
        )
    return value


def read_logits(model: HookedTransformer, base: Base, metric: Bound) -> Float[Tensor, "sample k d_vocab"]:
    """The logits of the run without patches where the metric reads."""
    rows = torch.arange(len(metric.where), device=metric.where.device)[:, None]
    if base.logits is not None:
        return base.logits[rows, metric.where]
    return model(base.streams[model.cfg.n_layers][rows, metric.where], start_at_layer=model.cfg.n_layers)
