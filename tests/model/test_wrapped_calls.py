"""A module that is called more than once in a run: every call has a name of its own, and none is lost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import unweave
from tests.model.wrappable import Twice, cnn, image
from unweave.core.errors import HookError, MissingActivation
from unweave.core.hooks import HookPoint

ONE = torch.tensor([1.0])  # Twice: 1 -> 2 -> 3 -> 6


def add_ten(x: Tensor, hook: HookPoint) -> Tensor:
    return x + 10


def test_each_call_is_an_entry():
    _, cache = unweave.wrap(Twice()).run_with_cache(ONE)
    assert {name: value.item() for name, value in cache.items()} == {
        "in": 1,
        "twofold@0.in": 1,
        "twofold@0.out": 2,
        "twofold@1.in": 3,
        "twofold@1.out": 6,
        "out": 6,
    }


def test_an_entry_is_asked_for_with_its_number():
    _, cache = unweave.wrap(Twice()).run_with_cache(ONE)
    with pytest.raises(MissingActivation) as raised:
        _ = cache["twofold.out"]
    assert str(raised.value) == (
        "wanted the name of an activation that this run cached; got 'twofold.out'; "
        "nearest: twofold@0.out, twofold@1.out"
    )


@pytest.mark.parametrize(
    ("name", "wanted"), [("twofold@0.out", 26), ("twofold@1.out", 16), ("twofold@1.in", 26)]
)
def test_one_call_is_edited_alone(name: str, wanted: float):
    assert unweave.wrap(Twice()).run_with_hooks(ONE, fwd_hooks=[(name, add_ten)]).item() == wanted


def test_a_filter_edits_every_call_and_is_told_which():
    seen: list[str] = []

    def edit(x: Tensor, hook: HookPoint) -> Tensor:
        seen.append(hook.name)
        return x + 10

    wrapped = unweave.wrap(Twice())
    assert wrapped.run_with_hooks(ONE, fwd_hooks=[(lambda name: name == "twofold.out", edit)]).item() == 36
    assert seen == ["twofold.out", "twofold@1.out"]


@pytest.mark.parametrize("cached", [False, True])
def test_a_name_without_a_number_is_refused_at_the_second_call(cached: bool):
    wrapped = unweave.wrap(Twice())
    option = {"names_filter": "twofold.out"} if cached else {"fwd_hooks": [("twofold.out", add_ten)]}
    run = wrapped.run_with_cache if cached else wrapped.run_with_hooks
    with pytest.raises(HookError) as raised:
        run(ONE, **option)
    assert str(raised.value) == (
        "wanted one call of twofold in a run, for the name 'twofold.out'; got a second one; "
        "write 'twofold@0.out' or 'twofold@1.out', or a function of the name for every call"
    )
    assert not wrapped.module.twofold._forward_hooks


def test_a_call_that_does_not_happen_is_told():
    with pytest.raises(HookError, match=r"got no run that reached twofold@2\.out;"):
        unweave.wrap(Twice()).run_with_cache(ONE, names_filter=["twofold@1.out", "twofold@2.out"])


def test_counting_begins_anew_in_each_run_however_it_is_started():
    wrapped = unweave.wrap(Twice())
    with wrapped.hooks([("twofold@1.out", add_ten)]):
        assert wrapped(ONE).item() == 16
        assert wrapped(ONE).item() == 16
        assert wrapped.module(ONE).item() == 16
    single, x = unweave.wrap(cnn()), image()
    fired: list[int] = []
    with single.hooks([("layer2.out", lambda tensor, hook: fired.append(1))]):
        single(x)
        single.module(x)
        # A submodule alone is a run of its own.
        single.module.layer2(single.module.layer1(x))
        single.module.layer2(single.module.layer1(x))
    assert len(fired) == 4


def test_a_module_under_two_paths_is_one_module():
    model = nn.Sequential()
    shared = nn.Linear(1, 1)
    model.add_module("first", shared)
    model.add_module("second", shared)
    wrapped = unweave.wrap(model)
    assert wrapped.hook_names == ["in", "out", "first.in", "first.out"]
    _, cache = wrapped.run_with_cache(ONE)
    assert torch.equal(cache["first@1.out"], model(ONE))
    with pytest.raises(HookError) as raised:
        wrapped.run_with_cache(ONE, names_filter="second.out")
    assert str(raised.value) == (
        "wanted the name of a hook of this module; got 'second.out'; it is the same module as 'first': "
        "write that path, with the number of the call"
    )


class Recursive(nn.Module):
    """Calls itself by a submodule that holds it no more than by a plain reference: the n-th sum."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = Countdown()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Countdown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.item() <= 0 else x + self(x - 1)


def test_calls_within_calls_keep_their_numbers():
    _, cache = unweave.wrap(Recursive()).run_with_cache(torch.tensor([2.0]))
    values = {name: value.item() for name, value in cache.items() if name.startswith("inner")}
    # Numbers are given when a call begins.
    assert values == {
        "inner@0.in": 2,
        "inner@1.in": 1,
        "inner@2.in": 0,
        "inner@2.out": 0,
        "inner@1.out": 1,
        "inner@0.out": 3,
    }


def test_a_run_within_a_run_is_another_run():
    wrapped = unweave.wrap(Twice())
    inner: dict[str, float] = {}

    def look(x: Tensor, hook: HookPoint) -> None:
        if not inner:
            inner["began"] = 1
            _, cache = wrapped.run_with_cache(x * 100)
            inner.update({name: value.item() for name, value in cache.items()})

    with wrapped.hooks([("twofold@0.out", look)]):
        output, cache = wrapped.run_with_cache(ONE)
    assert output.item() == 6
    assert inner["out"] == 4 * 200 + 2
    assert {name: value.item() for name, value in cache.items()} == {
        "in": 1,
        "twofold@0.in": 1,
        "twofold@0.out": 2,
        "twofold@1.in": 3,
        "twofold@1.out": 6,
        "out": 6,
    }


class Falls(nn.Module):
    """Counts down until a call of itself fails."""

    def forward(self, x: Tensor) -> Tensor:
        if x.item() < 0:
            raise ValueError("below zero")
        try:
            return x + self(x - 1)
        except ValueError:
            return x + 0


def test_a_call_that_failed_within_a_call_takes_nobodys_number():
    _, cache = unweave.wrap(nn.Sequential(Falls())).run_with_cache(ONE)
    values = {name: value.item() for name, value in cache.items() if name.startswith("0")}
    assert values == {"0@0.in": 1, "0@1.in": 0, "0@2.in": -1, "0@1.out": 0, "0@0.out": 1}


def test_ctrl_c_ends_a_run():
    wrapped, interrupting = unweave.wrap(Twice()), [True, True]

    def interrupt(x: Tensor, hook: HookPoint) -> None:
        if interrupting and interrupting.pop():
            raise KeyboardInterrupt

    for run in (wrapped, wrapped.module):
        with pytest.raises(KeyboardInterrupt), wrapped.hooks([("in", interrupt)]):
            run(ONE)
        # Were that run still on, these would be its first and second call.
        with wrapped.hooks([("twofold.out", add_ten)]):
            assert [wrapped.module.twofold(ONE).item() for _ in range(2)] == [12, 12]
    interrupting.append(True)
    with wrapped.hooks([("in", interrupt), ("twofold.out", add_ten)]):
        with pytest.raises(KeyboardInterrupt):
            wrapped(ONE)
        assert [wrapped.module.twofold(ONE).item() for _ in range(2)] == [12, 12]
