"""A module that can be run with hooks that go when the run ends, or with a cache."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, get_args

import torch
from torch import Tensor

from unweave.core.errors import HookError
from unweave.core.hook_blocks import HookBlocks
from unweave.core.hook_point import Direction, HookFunction, hook_depth
from unweave.core.hook_table import NameFilter
from unweave.core.recorder import Recorder
from unweave.core.slices import Slice, SliceInput


class HookedRootModule(HookBlocks):
    """A module whose HookPoints have names, and which can be run with hooks or a cache."""

    def run_with_cache(
        self,
        *model_args: Any,
        names_filter: NameFilter = None,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
        incl_bwd: bool = False,
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        pos_slice: Slice | SliceInput = None,
        detach: bool = True,
        **model_kwargs: Any,
    ) -> tuple[Any, dict[str, Tensor]]:
        """One forward run, its output, and the activations that `names_filter` picks.

        Sites that are one tensor in the model (`resid_post` of a layer and `resid_pre` of the
        next) are one tensor here too. Runs that a hook function begins within this one are not
        cached.

        Args:
            names_filter: a name, a list of names or a predicate; None is every ordinary hook. What is
                computed on demand must be named: see `points`.
            device: where to put what is cached; None leaves it on the model's.
            remove_batch_dim: drop the batch dimension, which must then be 1.
            incl_bwd: call `backward()` on the output, and cache each gradient under its hook's name
                and "_grad". As ever, parameters accumulate theirs.
            reset_hooks_end: False leaves the caching hooks on, and later runs overwrite what is cached.
            clear_contexts: afterwards, forget every point's `ctx`.
            pos_slice: the positions to cache (queries, of scores and patterns); an int is one position,
                whose dimension stays.
            detach: False keeps the graph, so that gradients with respect to cached tensors work.

        Raises:
            HookError: if a name does not exist, or was not reached though its layer was not left
                out on purpose; if nothing is picked; or if `incl_bwd` finds an output that is not a
                single number with a gradient.
            InputError: for a batch, device or slice that doesn't fit.
        """
        kept: dict[str, Tensor] = {}
        how: dict[str, Any] = {
            "device": device,
            "remove_batch_dim": remove_batch_dim,
            "pos_slice": pos_slice,
        }
        forward = self._groups(
            [(names_filter, Recorder(kept, detach=detach, depth=hook_depth(), **how))], "fwd"
        )
        gradients = [(names_filter, Recorder(kept, suffix="_grad", **how))] if incl_bwd else []
        backward = self._groups(gradients, "bwd")
        with self._on(forward + backward, reset_hooks_end, clear_contexts):
            output = self(*model_args, **model_kwargs)
            self.require_fired(
                forward,
                wanted="a run that reaches {}",
                got="one that did not",
                remedy="ask for logits, or leave the name out",
            )
            if incl_bwd:
                _require_scalar(output).backward(retain_graph=not detach)
                self.require_fired(
                    backward,
                    wanted="a gradient at {}, for incl_bwd",
                    got="none",
                    remedy="let the output depend on it, or leave the name out",
                )
        return output, kept

    @contextmanager
    def recording(self, names: NameFilter = None, *, detach: bool = True) -> Generator[dict[str, Tensor]]:
        """Within the block, the named activations of each run are kept in the yielded dict."""
        kept: dict[str, Tensor] = {}
        with self._on(self._groups([(names, Recorder(kept, detach=detach))], "fwd")):
            yield kept

    def get_caching_hooks(
        self,
        names_filter: NameFilter = None,
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
        cache: dict[str, Tensor] | None = None,
        pos_slice: Slice | SliceInput = None,
    ) -> tuple[dict[str, Tensor], list[tuple[str, HookFunction]], list[tuple[str, HookFunction]]]:
        """A dict, and the forward and backward hooks that will fill it; for `hooks()`.

        Args:
            cache: the dict to fill; None makes one.
        """
        kept = {} if cache is None else cache
        how: dict[str, Any] = {
            "device": device,
            "remove_batch_dim": remove_batch_dim,
            "pos_slice": pos_slice,
        }
        names = [point.name for point in self.points(names_filter)]
        forward, backward = Recorder(kept, **how), Recorder(kept, suffix="_grad", **how)
        return kept, [(name, forward) for name in names], [(n, backward) for n in names if incl_bwd]

    def add_caching_hooks(
        self,
        names_filter: NameFilter = None,
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
        cache: dict[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Attach hooks that fill the returned dict at every run, until `reset_hooks()`."""
        kept, *both = self.get_caching_hooks(names_filter, incl_bwd, device, remove_batch_dim, cache)
        for direction, pairs in zip(get_args(Direction), both, strict=True):
            for name, recorder in pairs:
                self.add_hook(name, recorder, dir=direction)
        return kept

    def cache_all(
        self,
        cache: dict[str, Tensor] | None = None,
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
    ) -> dict[str, Tensor]:
        """`add_caching_hooks` for every ordinary hook; returns the dict, which TransformerLens does not."""
        return self.add_caching_hooks(None, incl_bwd, device, remove_batch_dim, cache)

    def cache_some(
        self,
        cache: dict[str, Tensor] | None,
        names: NameFilter,
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
    ) -> dict[str, Tensor]:
        """`add_caching_hooks` for these names; returns the dict, which TransformerLens does not."""
        return self.add_caching_hooks(names, incl_bwd, device, remove_batch_dim, cache)


def _require_scalar(output: Any) -> Tensor:
    if isinstance(output, Tensor) and output.numel() == 1 and output.requires_grad:
        return output
    got = type(output).__name__
    if isinstance(output, Tensor):
        got = f"a tensor of shape {tuple(output.shape)}" + (
            "" if output.requires_grad else " without a graph"
        )
    raise HookError(
        wanted="an output that is a single number with a gradient, for incl_bwd",
        got=got,
        remedy='run the model with return_type="loss" and outside torch.no_grad()',
    )
