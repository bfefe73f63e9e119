"""A module that can be run with hooks that go when the run ends, or with a cache."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Self, get_args

import torch
from torch import Tensor

from unweave.core.errors import HookError
from unweave.core.hook_point import Direction, Hook, HookFunction
from unweave.core.hook_table import HookTable, NameFilter, are_names
from unweave.core.recorder import Recorder
from unweave.core.slices import Slice, SliceInput

Pairs = Iterable[tuple[NameFilter, HookFunction]]
# Hooks of which one must fire: those of one name, or of one filter.
Group = list[Hook]


class HookedRootModule(HookTable):
    """A module whose HookPoints have names, and which can be run with hooks or a cache.

    Hooks that a run or a block adds are gone when it ends, by whatever way, and no others.
    `context_level` is the number of such blocks that are open.
    """

    context_level: int = 0

    @contextmanager
    def hooks(
        self,
        fwd_hooks: Pairs = (),
        bwd_hooks: Pairs = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
    ) -> Generator[Self]:
        """Within the block these hooks are on; after it they, and only they, are gone.

        Args:
            fwd_hooks, bwd_hooks: pairs (name, list of names or predicate; function).
            reset_hooks_end: False leaves them on if the block ends without an error; they then
                count as persistent, until `reset_hooks()`.
            clear_contexts: when they go, forget every point's `ctx`.

        Raises:
            HookError: for names that match nothing, and, when the block ends without another
                error, for a hook that never fired, unless a run left its layer out on purpose. A
                hook that is left on may still wait for its backward pass.
        """
        asked = zip(get_args(Direction), (fwd_hooks, bwd_hooks), strict=True)
        groups = [group for direction, pairs in asked for group in self._groups(pairs, direction)]
        with self._on(groups, reset_hooks_end, clear_contexts):
            yield self
            if not reset_hooks_end:
                groups = _without_waiting(groups)
            _require_fired(
                groups,
                wanted="every hook to fire at least once",
                got="no run that reached {}",
                remedy="run the model inside the block, and ask it for what comes after the hook",
            )

    def run_with_hooks(
        self,
        *model_args: Any,
        fwd_hooks: Pairs = (),
        bwd_hooks: Pairs = (),
        reset_hooks_end: bool = True,
        clear_contexts: bool = False,
        **model_kwargs: Any,
    ) -> Any:
        """One forward run with these hooks on, gone whatever happens.

        Args:
            bwd_hooks: only with `reset_hooks_end=False`, since the backward pass comes after the run.
            reset_hooks_end: False leaves all these hooks on, unless the run raises; call
                `reset_hooks()` when you are done. A `with model.hooks(…)` block is the safer way.

        Raises:
            HookError: as `hooks` does; for `bwd_hooks` that would be gone before a backward pass;
                and for those that can't fire in one, since no gradient flows at their point.
        """
        bwd_hooks = list(bwd_hooks)
        if bwd_hooks and reset_hooks_end:
            raise HookError(
                wanted="forward hooks only",
                got="bwd_hooks in run_with_hooks, which would be gone before any backward pass",
                remedy="write `with model.hooks(bwd_hooks=...)` around the run and its backward(), "
                "or pass reset_hooks_end=False and call reset_hooks() after backward()",
            )
        with self.hooks(fwd_hooks, bwd_hooks, reset_hooks_end, clear_contexts):
            return self(*model_args, **model_kwargs)

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
        next) are one tensor here too.

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
        forward = self._groups([(names_filter, Recorder(kept, detach=detach, **how))], "fwd")
        gradients = [(names_filter, Recorder(kept, suffix="_grad", **how))] if incl_bwd else []
        backward = self._groups(gradients, "bwd")
        with self._on(forward + backward, reset_hooks_end, clear_contexts):
            output = self(*model_args, **model_kwargs)
            _require_fired(
                forward,
                wanted="a run that reaches {}",
                got="one that did not",
                remedy="ask for logits, or leave the name out",
            )
            if incl_bwd:
                _require_scalar(output).backward(retain_graph=not detach)
                _require_fired(
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

    def _groups(self, pairs: Pairs, direction: Direction) -> list[Group]:
        groups: list[Group] = []
        for names, function in pairs:
            level = self.context_level + 1
            made = [self._made(point, function, direction, level=level) for point in self.points(names)]
            # A filter may also pick points beyond stop_at_layer; a name is meant.
            groups.extend([[hook] for hook in made] if are_names(names) else [made])
        return groups

    @contextmanager
    def _on(
        self, groups: Sequence[Group], reset_hooks_end: bool = True, clear_contexts: bool = False
    ) -> Generator[None]:
        if clear_contexts and not reset_hooks_end:
            raise HookError(
                wanted="reset_hooks_end=True with clear_contexts, which happens when hooks are reset",
                got="reset_hooks_end=False",
                remedy="leave one of the two out, or call clear_contexts() yourself",
            )
        hooks = [hook for group in groups for hook in group]
        # Twice, so that a Ctrl-C while hooks are taken away by the one leaves them to the other.
        with self._restored(hooks, reset_hooks_end), self._restored(hooks, reset_hooks_end):
            try:
                self.context_level += 1
                for hook in hooks:
                    hook.attach()
                yield
            finally:
                if clear_contexts:
                    self.clear_contexts()

    @contextmanager
    def _restored(self, hooks: Sequence[Hook], always: bool) -> Generator[None]:
        level, done = self.context_level, False
        try:
            yield
            done = True
        finally:
            self.context_level = level
            if always or not done:
                for hook in hooks:
                    hook.remove()


def _require_fired(groups: Sequence[Group], wanted: str, got: str, remedy: str) -> None:
    """Raise HookError unless of each group one fired, or was left out on purpose; `{}` is the names."""
    silent = [
        group[0].point.name for group in groups if not any(hook.fired or hook.excused for hook in group)
    ]
    if silent:
        names = ", ".join(silent[:3])
        raise HookError(wanted=wanted.format(names), got=got.format(names), remedy=remedy)


def _without_waiting(groups: Sequence[Group]) -> list[Group]:
    """The groups without the backward hooks whose pass is yet to come.

    Raises:
        HookError: for some that no pass can reach.
    """
    backward = [group for group in groups if group[0].direction == "bwd"]
    for group in backward:
        if not any(hook.fired or hook.attached or hook.excused for hook in group):
            raise HookError(
                wanted=f"a gradient at {group[0].point.name}",
                got="a run in which nothing there requires one",
                remedy="leave torch.no_grad(), or let the parameters before it require gradients",
            )
    return [group for group in groups if group[0].direction == "fwd"]


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
