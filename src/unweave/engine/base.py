"""The run without patches, and what is kept of it so that patched runs need not repeat it."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from unweave.core.hooks import HookPoint
from unweave.core.sites import block_site
from unweave.engine.inputs import Inputs
from unweave.engine.layout import AT_TOKENS, layer_of
from unweave.model.block import PostNormBlock, TransformerBlock
from unweave.model.kv_cache import KeyValueCache, KeyValueCacheEntry
from unweave.model.transformer import HookedTransformer


@dataclass(frozen=True, eq=False)
class Foreign:
    """What acts in the model's runs besides its weights: hooks of the user's.

    Args:
        first: the first layer at which one stands (AT_TOKENS before layer 0); None if there is none.
    """

    first: int | None

    @classmethod
    def of(cls, model: HookedTransformer) -> Foreign:
        """Those on this model, torch's own kind and changed classes included."""
        changed = type(model).forward is not HookedTransformer.forward or any(
            type(block) not in (TransformerBlock, PostNormBlock) for block in model.blocks
        )
        if changed or any(_torch_hooks(module) for module in model.modules()):
            return cls(AT_TOKENS)
        n_layers = model.cfg.n_layers
        found = [layer_of(name, n_layers) for name, point in model.hook_dict.items() if point.fwd_hooks]
        return cls(min(found, default=None))

    def start(self, start: int) -> int:
        """Where a run that must begin at `start` has to begin so that they all act."""
        return start if self.first is None or self.first >= start else AT_TOKENS


@dataclass(frozen=True, eq=False)
class Base:
    """One run over all samples and positions.

    Args:
        streams: what goes into each layer that was kept, `[sample, pos, d_model]`; at n_layers, into
            the final norm.
        keys_values: each layer's, of all positions; None where positions can't be left out.
        shapes: of the tensors at the hooks that were asked about.
        logits: at every position, where they were computed.
    """

    inputs: Inputs
    streams: dict[int, Float[Tensor, "sample pos d_model"]]
    keys_values: KeyValueCache | None
    shapes: dict[str, tuple[int, ...]]
    logits: Float[Tensor, "sample pos d_vocab"] | None

    @cached_property
    def attended(self) -> Bool[Tensor, "sample pos"] | None:
        """Which positions are no padding; None: none is."""
        mask = self.inputs.attention_mask
        return None if mask is None or bool(mask.all()) else mask.bool()

    def past(self, layer: int, patches: int, samples: slice, offset: int) -> KeyValueCache | None:
        """Keys and values of the positions before `offset`, once for each patch."""
        if self.keys_values is None or not offset:
            return None
        held, mask = self.keys_values[layer], self.keys_values.previous_attention_mask
        keys, values, attended = (
            part[samples, :offset].repeat(patches, *[1] * (part.ndim - 1))
            for part in (held.past_keys, held.past_values, mask)
        )
        entry = KeyValueCacheEntry(keys, values, frozen=True)
        entries, longest = [entry] * len(self.keys_values.entries), int(mask.sum(1).max())
        return KeyValueCache(entries, attended, frozen=True, made_in=longest)


@torch.no_grad()
def run_base(
    model: HookedTransformer, inputs: Inputs, names: Iterable[str], foreign: Foreign, all_logits: bool
) -> Base:
    """The run without patches.

    It is made anew for every sweep: what is kept is never older than the weights.

    Args:
        names: hooks whose tensors' shapes will be needed.
        all_logits: compute those of every position.
    """
    shapes: dict[str, tuple[int, ...]] = {}

    n_layers = model.cfg.n_layers
    causal = model.cfg.attention_dir == "causal" and foreign.first is None
    past = None
    if causal:
        past = KeyValueCache.init_cache(model.cfg, model.W_E.device, len(inputs.tokens))
    starts = [block_site(0, "resid_pre")] if foreign.first is None and n_layers else []
    ends = [end_of(layer, model) for layer in range(n_layers)]
    hooks = [(name, Ruler(shapes)) for name in dict.fromkeys(names)]
    # Hooks of the user's may stand after the last layer.
    full = all_logits or foreign.first is not None or any(layer_of(n, n_layers) == n_layers for n, _ in hooks)
    kind = "logits" if full else None
    with model.hooks(hooks), model.recording([*starts, *ends]) as kept:
        logits = model(inputs.tokens, kind, past_kv_cache=past, **inputs.others)
    streams = {layer + 1: kept[name] for layer, name in enumerate(ends)}
    if starts:
        streams[0] = kept[starts[0]]
    elif foreign.start(0) == 0:
        # Before any hooks of the user's in layer 0.
        streams[0] = model(inputs.tokens, stop_at_layer=0, **inputs.others)
    return Base(inputs, streams, past, shapes, logits)


def end_of(layer: int, model: HookedTransformer) -> str:
    """The hook where a layer gives the stream to the next one."""
    last = "normalized_resid_post" if model.cfg.norm_position == "stream" else "resid_post"
    return block_site(layer, last)


@dataclass(frozen=True)
class Ruler:
    """Keeps the shapes of what passes."""

    shapes: dict[str, tuple[int, ...]]
    only_reads: ClassVar[bool] = True

    def __call__(self, tensor: Tensor, /, *, hook: HookPoint) -> None:
        """Keep this one's."""
        self.shapes[hook.name] = tuple(tensor.shape)


@contextmanager
def undisturbed(model: HookedTransformer) -> Generator[None]:
    """Within the block the model runs as the engine needs it; afterwards nothing tells that it did."""
    offset = model.run_offset
    try:
        yield
    finally:
        model.run_offset = offset


def _torch_hooks(module: nn.Module) -> bool:
    return bool(getattr(module, "_forward_hooks", None) or getattr(module, "_forward_pre_hooks", None))
