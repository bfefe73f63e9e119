"""Hooks that are on within a block or for a run, and gone after it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Self, get_args

from unweave.core.errors import HookError
from unweave.core.hook_point import Direction, Hook, HookFunction
from unweave.core.hook_table import HookTable, NameFilter, are_names

Pairs = Iterable[tuple[NameFilter, HookFunction]]
# Hooks of which one must fire: those of one name, or of one filter.
Group = list[Hook]


class HookBlocks(HookTable):
    """Hooks that a run or a block adds are gone when it ends, by whatever way, and no others.

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
                groups = _without_waiting(groups, self.refused)
            self.require_fired(
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

    def _groups(self, pairs: Pairs, direction: Direction) -> list[Group]:
        groups: list[Group] = []
        for names, function in pairs:
            level = self.context_level + 1
            made = [self._made(point, function, direction, level=level) for point in self.points(names)]
            # A filter may also pick points beyond stop_at_layer; a name is meant.
            groups.extend([[hook] for hook in made] if are_names(names) else [made] if made else [])
        return groups

    def refused(self, error: HookError) -> None:
        """What becomes of hooks that never fired: an error, unless a class overrides this."""
        raise error

    def require_fired(self, groups: Sequence[Group], wanted: str, got: str, remedy: str) -> None:
        """Refuse groups of which none fired, nor was left out on purpose; `{}` is their names."""
        silent = [
            group[0].point.name for group in groups if not any(hook.fired or hook.excused for hook in group)
        ]
        if silent:
            names = ", ".join(silent[:3])
            self.refused(HookError(wanted=wanted.format(names), got=got.format(names), remedy=remedy))

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


def _without_waiting(groups: Sequence[Group], refused: Callable[[HookError], None]) -> list[Group]:
    """The groups without the backward hooks whose pass is yet to come; some that no pass can reach are refused."""
    backward = [group for group in groups if group[0].direction == "bwd"]
    for group in backward:
        if not any(hook.fired or hook.attached or hook.excused for hook in group):
            refused(
                HookError(
                    wanted=f"a gradient at {group[0].point.name}",
                    got="a run in which nothing there requires one",
                    remedy="leave torch.no_grad(), or let the parameters before it require gradients",
                )
            )
    return [group for group in groups if group[0].direction == "fwd"]
