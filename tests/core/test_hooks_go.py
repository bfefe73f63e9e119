"""Whatever happens to a run, its hooks are gone, and the user's own are still there."""

from __future__ import annotations

import random
import signal
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.core.toy import Toy
from unweave.core import hook_blocks, hook_point, hook_table, hooked_module, recorder
from unweave.core.hooks import HookPoint

X = torch.tensor([1.0], requires_grad=True)
NAMES = ["hook_in", "hook_mid", "hook_out"]


def nothing(x: Tensor, hook: HookPoint) -> None:
    pass


def own_hooks(toy: Toy) -> list[object]:
    toy.add_hook("hook_mid", nothing, level=1)
    toy.add_hook("hook_mid", nothing, dir="bwd", level=1)
    toy.add_perma_hook("hook_out", nothing)
    return left(toy)


def left(toy: Toy) -> list[object]:
    return [hook for hooks in toy.list_hooks().values() for hook in hooks]


def failing(draw: random.Random) -> Callable[..., None]:
    """Raises, one way or another, at one of its calls."""
    at, error = draw.randrange(3), draw.choice([ZeroDivisionError, KeyboardInterrupt, SystemExit, None])
    calls = iter(range(10_000))

    def fail(x: Tensor, hook: HookPoint) -> None:
        if next(calls) < at:
            return
        if error is None:
            signal.raise_signal(signal.SIGINT)  # as Ctrl-C does
        else:
            raise error

    return fail


def run_somehow(toy: Toy, draw: random.Random, depth: int = 0) -> None:
    """A run that adds hooks, perhaps inside another, and perhaps raises."""
    pairs = [(draw.choice([*NAMES, NAMES, None]), draw.choice([nothing, failing(draw)])) for _ in range(4)]
    match draw.randrange(6):
        case 0:
            toy.run_with_hooks(X, fwd_hooks=pairs)
        case 1:
            with toy.hooks(fwd_hooks=pairs[:2], bwd_hooks=pairs[2:]):
                toy(X).backward()
        case 2:
            with toy.hooks(fwd_hooks=pairs[:1]):
                toy.run_with_cache(X, incl_bwd=True, detach=draw.random() < 0.5)
        case 3:
            toy.run_with_hooks(X, fwd_hooks=[*pairs, ("hook_mdi", nothing)])
        case 4 if depth < 3:
            with toy.hooks(fwd_hooks=pairs[:1]):
                run_somehow(toy, draw, depth + 1)
        case 5 if depth < 3:

            def nested(x: Tensor, hook: HookPoint) -> None:
                if toy.context_level == depth + 1:
                    run_somehow(toy, draw, depth + 1)

            toy.run_with_hooks(X, fwd_hooks=[("hook_in", nested), *pairs[:1]])
        case _:
            with toy.recording():
                toy.run_with_hooks(X, fwd_hooks=pairs, stop_before_out=True)


def test_a_thousand_runs_that_raise_at_random_places_leave_no_hook():
    draw, raised = random.Random(0), 0
    toy = Toy()
    own = own_hooks(toy)
    for _ in range(1000):
        try:
            run_somehow(toy, draw)
        except (ZeroDivisionError, KeyboardInterrupt, SystemExit, ValueError):
            raised += 1
        assert left(toy) == own
        assert toy.context_level == 0
    assert raised > 500, "too few of them raised for this to say much"


SOURCES = {module.__file__ for module in (hook_point, hook_table, hook_blocks, hooked_module, recorder)}


@contextmanager
def interrupted_at(line: int) -> Generator[list[int]]:
    """Ctrl-C before the given line, counted as they run in the hook code; yields how many ran."""
    count = [0]

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        if frame.f_code.co_filename not in SOURCES:
            return None
        if event == "line":
            count[0] += 1
            if count[0] == line:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        yield count
    finally:
        sys.settrace(before)


def a_run(toy: Toy) -> None:
    with toy.hooks(fwd_hooks=[("hook_in", nothing)], bwd_hooks=[(None, nothing)]):
        toy.run_with_cache(X, incl_bwd=True, clear_contexts=True)


def test_ctrl_c_at_any_line_of_the_hook_code_leaves_no_hook():
    toy = Toy()
    own = own_hooks(toy)
    with interrupted_at(line=-1) as lines:
        a_run(toy)
    assert lines[0] > 300
    interrupted = 0
    for line in range(1, lines[0] + 1):
        try:
            with interrupted_at(line):
                a_run(toy)
        except KeyboardInterrupt:
            interrupted += 1
        assert left(toy) == own, f"interrupted before line {line} of {lines[0]}"
        assert toy.context_level == 0
    assert interrupted > 0.9 * lines[0]


def test_a_run_inside_a_hook_takes_only_its_own_away():
    toy, seen = Toy(), []

    def inner(x: Tensor, hook: HookPoint) -> None:
        if len(seen) < 1:
            seen.append(len(hook.fwd_hooks))
            toy.run_with_hooks(x, fwd_hooks=[("hook_mid", nothing), ("hook_out", nothing)])
            seen.append(len(hook.fwd_hooks))

    toy.run_with_hooks(X, fwd_hooks=[("hook_mid", inner), ("hook_out", lambda x, hook: seen.append("outer"))])
    # Its own run passes the outer hook at hook_out too.
    assert seen == [1, 1, "outer", "outer"] or seen == [1, "outer", 1, "outer"]
    assert left(toy) == []


def test_an_error_in_the_backward_pass():
    toy = Toy()

    def fail(x: Tensor, hook: HookPoint) -> None:
        raise ZeroDivisionError

    toy.add_hook("hook_mid", fail, dir="bwd")
    with pytest.raises(ZeroDivisionError):
        toy.run_with_cache(X, incl_bwd=True)
    assert [repr(hook) for hook in left(toy)] == ["Hook(hook_mid, bwd, fired once)"]
