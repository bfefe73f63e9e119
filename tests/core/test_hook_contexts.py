"""When hooks are on, when they are gone, and what is refused rather than ignored."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.core.toy import Toy
from unweave.core.errors import HookError
from unweave.core.hooks import HookPoint

ONE = torch.tensor([1.0])


def add_one(x: Tensor, hook: HookPoint) -> Tensor:
    return x + 1


def nothing(x: Tensor, hook: HookPoint) -> None:
    pass


def attached(toy: Toy) -> int:
    return sum(len(point.fwd_hooks) + len(point.bwd_hooks) for point in toy.hook_dict.values())


def test_hooks_are_on_within_the_block_and_gone_after_it():
    toy = Toy()
    with toy.hooks(fwd_hooks=[("hook_mid", add_one)]) as hooked:
        assert hooked is toy
        assert toy(ONE).item() == 4
    assert toy(ONE).item() == 2
    assert attached(toy) == 0


def test_a_name_that_matches_nothing_is_refused_with_the_nearest():
    toy = Toy()
    with pytest.raises(HookError) as raised:
        toy.run_with_hooks(ONE, fwd_hooks=[("hook_in", add_one), ("hook_mdi", add_one)])
    assert str(raised.value).startswith(
        "wanted the name of a hook of this model; got 'hook_mdi'; nearest: hook_mid"
    )
    assert attached(toy) == 0, "the hooks before the wrong one must be taken away too"


@pytest.mark.parametrize("names", [lambda name: False, []])
def test_a_filter_that_matches_nothing_is_refused(names: object):
    with pytest.raises(HookError) as raised:
        Toy().run_with_hooks(ONE, fwd_hooks=[(names, add_one)])
    assert str(raised.value) == (
        "wanted a filter that matches at least one hook name; got one that matches none; "
        "names look like hook_in, hook_mid, hook_out"
    )


def test_a_hook_that_never_fired_is_told():
    toy = Toy()
    with pytest.raises(HookError) as raised:
        toy.run_with_hooks(ONE, stop_before_out=True, fwd_hooks=[("hook_out", nothing)])
    assert str(raised.value) == (
        "wanted every hook to fire at least once; got no run that reached hook_out; "
        "run the model inside the block, and ask it for what comes after the hook"
    )
    assert attached(toy) == 0


def test_every_name_of_a_list_must_fire():
    with pytest.raises(HookError, match="no run that reached hook_out;"):
        Toy().run_with_hooks(ONE, stop_before_out=True, fwd_hooks=[(["hook_in", "hook_out"], nothing)])


@pytest.mark.parametrize("names", [lambda name: name != "hook_mid", None])
def test_of_a_filter_one_must_fire(names: object):
    toy = Toy()
    toy.run_with_hooks(ONE, stop_before_out=True, fwd_hooks=[(names, nothing)])
    with pytest.raises(HookError, match="wanted every hook to fire"), toy.hooks(fwd_hooks=[(names, nothing)]):
        pass


def test_an_error_inside_the_block_comes_through_and_the_hooks_are_gone():
    toy = Toy()

    def fail(x: Tensor, hook: HookPoint) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        toy.run_with_hooks(ONE, fwd_hooks=[("hook_in", add_one), ("hook_mid", fail), ("hook_out", add_one)])
    assert attached(toy) == 0


def test_the_users_own_hooks_survive():
    toy = Toy()
    own = toy.hook_mid.add_hook(add_one)
    # The same function again: only the one that the run added may go.
    assert toy.run_with_hooks(ONE, fwd_hooks=[("hook_mid", add_one)]).item() == 6
    with toy.recording() as kept:
        toy(ONE)
    assert kept["hook_out"].item() == 4
    assert toy(ONE).item() == 4
    own.remove()
    assert toy(ONE).item() == 2
    own.remove()  # a second time does no harm


def test_blocks_nest():
    toy = Toy()
    with toy.hooks(fwd_hooks=[("hook_mid", add_one)]):
        with toy.hooks(fwd_hooks=[("hook_mid", lambda x, hook: 10 * x)]):
            assert toy(ONE).item() == 40
        assert toy(ONE).item() == 4
    assert toy(ONE).item() == 2


def test_reset_takes_every_hook_away_even_inside_a_block():
    toy = Toy()
    toy.hook_in.add_hook(add_one)
    with toy.hooks(fwd_hooks=[("hook_mid", add_one)]):
        assert toy(ONE).item() == 6
        toy.reset_hooks()
        assert toy(ONE).item() == 2


def test_backward_hooks_are_refused_where_no_backward_pass_can_follow():
    with pytest.raises(HookError) as raised:
        Toy().run_with_hooks(ONE, bwd_hooks=[("hook_mid", nothing)])
    assert str(raised.value) == (
        "wanted forward hooks only; got bwd_hooks in run_with_hooks, which would be gone before any "
        "backward pass; write `with model.hooks(bwd_hooks=...)` around the run and its backward(), "
        "or pass reset_hooks_end=False and call reset_hooks() after backward()"
    )


def test_points_come_once_each_in_the_models_order():
    toy = Toy()
    assert toy.points(["hook_out", "hook_in", "hook_out"]) == [toy.hook_in, toy.hook_out]
    assert toy.points("hook_mid") == [toy.hook_mid]


@pytest.mark.parametrize("names", [None, lambda name: True, lambda name: name != "hook_never"])
def test_a_filter_that_accepts_everything_passes_on_demand_points_by(names: object):
    toy = Toy()
    with toy.recording(names) as kept:
        toy(ONE)
    assert list(kept) == ["hook_in", "hook_mid", "hook_out"]
    assert toy.costly_runs == 0


@pytest.mark.parametrize("names", ["hook_costly", ["hook_costly"], lambda name: name == "hook_costly"])
def test_an_on_demand_point_runs_when_it_is_meant(names: object):
    toy = Toy()
    with toy.recording(names) as kept:
        toy(ONE)
    assert list(kept) == ["hook_costly"]
    assert toy.costly_runs == 1


@pytest.mark.parametrize(
    "names", [lambda name: name != "hook_mid", lambda name: name in ("hook_out", "hook_costly")]
)
def test_a_filter_that_picks_others_too_does_not_mean_an_on_demand_point(names: Callable[[str], bool]):
    toy = Toy()
    with toy.recording(names) as kept:
        toy(ONE)
    assert "hook_out" in kept
    assert toy.costly_runs == 0


def test_recording_keeps_the_last_run_and_then_stops():
    toy = Toy()
    with toy.recording("hook_out") as kept:
        toy(ONE)
        toy(3 * ONE)
    toy(5 * ONE)
    assert kept["hook_out"].item() == 6
    assert attached(toy) == 0


def test_recording_ends_with_an_error():
    toy = Toy()
    with pytest.raises(ZeroDivisionError), toy.recording():
        raise ZeroDivisionError
    assert attached(toy) == 0
