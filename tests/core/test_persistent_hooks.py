"""Hooks that stay: their order, levels, contexts and counts, and what takes them away."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from tests.core.toy import Toy
from tests.core.unchecked import as_users_run
from unweave.core.errors import HookError
from unweave.core.hooks import HookPoint

ONE = torch.tensor([1.0])


def add_one(x: Tensor, hook: HookPoint) -> Tensor:
    return x + 1


def double(x: Tensor, hook: HookPoint) -> Tensor:
    return 2 * x


def test_a_hook_stays_until_it_is_reset():
    toy = Toy()
    toy.add_hook("hook_mid", add_one)
    assert [toy(ONE).item(), toy(ONE).item()] == [4, 4]
    toy.reset_hooks()
    assert toy(ONE).item() == 2


def test_a_filter_and_a_list_pick_several_points():
    for picked in (lambda name: name in ("hook_in", "hook_mid"), ["hook_in", "hook_mid"]):
        toy = Toy()
        toy.add_hook(picked, double)
        assert list(toy.list_hooks()) == ["hook_in", "hook_mid"]
        assert toy(ONE).item() == 8


@pytest.mark.parametrize(("prepend", "out"), [(False, 10), (True, 16)])
def test_what_is_prepended_runs_first(prepend: bool, out: float):
    toy = Toy()
    toy.add_hook("hook_mid", lambda x, hook: 2 * x)
    toy.add_hook("hook_mid", lambda x, hook: x + 3, prepend=prepend)
    # ((1 * 2) + 3) * 2, or ((1 + 3) * 2) * 2.
    assert toy(ONE).item() == out


def test_gradients_too_may_be_prepended():
    for prepend, wanted in ((False, 2 * 2 + 3), (True, (2 + 3) * 2)):
        toy, x = Toy(), ONE.clone().requires_grad_()
        toy.add_hook("hook_mid", double, dir="bwd")
        toy.add_hook("hook_mid", lambda g, hook: g + 3, dir="bwd", prepend=prepend)
        toy(x).sum().backward()
        assert x.grad.item() == wanted


def test_permanent_hooks_survive_until_they_are_meant():
    toy = Toy()
    toy.add_perma_hook("hook_mid", add_one)
    toy.hook_in.add_perma_hook(add_one)
    toy.add_hook("hook_out", add_one)
    assert toy(ONE).item() == 7
    toy.reset_hooks()
    assert toy(ONE).item() == 6
    toy.reset_hooks(including_permanent=True)
    assert toy(ONE).item() == 2


def test_a_direction_and_a_level_pick_what_goes():
    toy = Toy()
    for level in (None, 1, 2):
        toy.add_hook("hook_mid", add_one, level=level)
        toy.add_hook("hook_mid", add_one, dir="bwd", level=level)
    toy.add_hook("hook_mid", add_one, is_permanent=True, level=2)

    def levels() -> tuple[list[int | None], list[int | None]]:
        fwd, bwd = toy.hook_mid.fwd_hooks, toy.hook_mid.bwd_hooks
        return [hook.context_level for hook in fwd], [hook.context_level for hook in bwd]

    toy.hook_mid.remove_hooks(level=1)  # forward is the default
    assert levels() == ([None, 2, 2], [None, 1, 2])
    toy.reset_hooks(direction="bwd", level=2)
    assert levels() == ([None, 2, 2], [None, 1])
    toy.reset_hooks(level=2)
    assert levels() == ([None, 2], [None, 1]), "the permanent one stays"
    toy.reset_hooks(including_permanent=True, level=2)
    assert levels() == ([None], [None, 1]), "a level counts for permanent ones too"
    assert toy.hook_mid.has_hooks("bwd", level=1)
    assert not toy.hook_mid.has_hooks("fwd", level=1)
    toy.hook_mid.remove_hooks("both")
    assert levels() == ([], [])


def test_blocks_have_levels():
    toy, seen = Toy(), []

    def look(x: Tensor, hook: HookPoint) -> None:
        seen.append([one.context_level for one in hook.fwd_hooks])

    with toy.hooks(fwd_hooks=[("hook_mid", look)]), toy.hooks(fwd_hooks=[("hook_mid", add_one)]):
        assert toy.context_level == 2
        toy(ONE)
    assert seen == [[1, 2]]
    assert toy.context_level == 0


def test_a_block_leaves_a_users_hook_of_its_own_level_alone():
    toy = Toy()
    toy.add_hook("hook_mid", add_one, level=1)
    with toy.hooks(fwd_hooks=[("hook_mid", add_one)]):
        assert toy(ONE).item() == 6
    assert toy(ONE).item() == 4


def test_persistent_hooks_are_listed_with_their_counts():
    toy, x = Toy(), ONE.clone().requires_grad_()
    toy.add_hook("hook_mid", add_one)
    toy.add_perma_hook("hook_costly", add_one)
    toy.add_hook("hook_out", add_one, dir="bwd")
    toy(x).sum().backward()
    toy(x, stop_before_out=True)
    listed = toy.list_hooks()
    assert {name: [hook.fired for hook in hooks] for name, hooks in listed.items()} == {
        "hook_mid": [2],
        "hook_costly": [2],
        "hook_out": [1],
    }
    assert [repr(hook) for hooks in listed.values() for hook in hooks] == [
        "Hook(hook_mid, fwd, fired 2 times)",
        "Hook(hook_out, bwd, fired once)",
        "Hook(hook_costly, fwd, permanent, fired 2 times)",
    ]
    assert list(toy.list_hooks("hook_mid")) == ["hook_mid"]
    assert list(toy.list_hooks(dir="bwd")) == ["hook_out"]
    assert "hook_costly" not in toy.list_hooks(including_permanent=False)
    assert toy.list_hooks(lambda name: False) == {}
    assert repr(toy.hook_mid) == "HookPoint(name='hook_mid', 1 fwd)"


def test_persistent_hooks_may_stay_silent():
    toy = Toy()
    toy.add_hook("hook_out", add_one)
    toy(ONE, stop_before_out=True)
    with toy.hooks(fwd_hooks=[("hook_in", add_one)]):
        toy(ONE, stop_before_out=True)
    assert [hook.fired for hook in toy.list_hooks()["hook_out"]] == [0]


def test_an_unknown_name_attaches_nothing():
    toy = Toy()
    with pytest.raises(HookError, match="nearest: hook_mid"):
        toy.add_hook(["hook_in", "hook_mdi"], add_one)
    with pytest.raises(HookError, match="matches none"):
        toy.add_hook(lambda name: False, add_one)
    with pytest.raises(HookError, match="nearest: hook_mid"):
        toy.list_hooks("hook_mdi")
    assert toy.list_hooks() == {}


def test_an_unknown_direction_is_refused():
    toy = Toy()
    with as_users_run():
        with pytest.raises(HookError, match="wanted a direction, one of 'fwd', 'bwd'; got 'both'"):
            toy.add_hook("hook_mid", add_one, dir="both")
        with pytest.raises(HookError, match="one of 'fwd', 'bwd', 'both'; got 'forward'"):
            toy.reset_hooks(direction="forward")
    assert toy.list_hooks() == {}


def test_a_model_may_refuse_hooks():
    class Guarded(Toy):
        def check_hooks_to_add(
            self, hook_point: HookPoint, hook_point_name: str, *args: object, **kwargs: object
        ):
            if hook_point_name == "hook_out":
                raise HookError(wanted="another", got=f"{kwargs['dir']} at {hook_point.name}", remedy="go")

    toy = Guarded()
    with pytest.raises(HookError, match="got fwd at hook_out"):
        toy.add_hook(lambda name: True, add_one)
    with pytest.raises(HookError, match="got bwd at hook_out"), toy.hooks(bwd_hooks=[("hook_out", add_one)]):
        pass
    with pytest.raises(HookError, match="got fwd at hook_out"):
        toy.run_with_cache(ONE)
    assert toy.list_hooks() == {}


def test_a_point_knows_its_layer():
    point = HookPoint()
    for name, layer in (("blocks.0.hook_resid_pre", 0), ("blocks.11.attn.hook_q", 11)):
        point.name = name
        assert point.layer() == layer
    for name in ("hook_embed", "ln_final.hook_scale"):
        point.name = name
        with pytest.raises(HookError, match=f"wanted a hook that lies in a layer, .*; got {name}"):
            point.layer()


def test_contexts_hold_until_they_are_cleared():
    toy = Toy()

    def count(x: Tensor, hook: HookPoint) -> None:
        hook.ctx["runs"] = hook.ctx.get("runs", 0) + 1

    toy.add_hook("hook_mid", count)
    toy(ONE)
    toy(ONE)
    assert toy.hook_mid.ctx == {"runs": 2}
    toy.reset_hooks(clear_contexts=False)
    assert toy.hook_mid.ctx == {"runs": 2}
    toy.reset_hooks()
    assert toy.hook_mid.ctx == {}
    for clear, left in ((False, {"runs": 1}), (True, {})):
        toy.run_with_hooks(ONE, fwd_hooks=[("hook_mid", count)], clear_contexts=clear)
        assert toy.hook_mid.ctx == left
        toy.hook_mid.clear_context()


def test_contexts_cannot_be_cleared_by_a_reset_that_does_not_come():
    with pytest.raises(HookError, match="wanted reset_hooks_end=True with clear_contexts"):
        Toy().run_with_hooks(ONE, reset_hooks_end=False, clear_contexts=True)


def test_backward_hooks_that_are_left_on_wait_for_the_backward_pass():
    toy, x, seen = Toy(), ONE.clone().requires_grad_(), []
    toy.add_hook("hook_in", add_one)
    out = toy.run_with_hooks(
        x, bwd_hooks=[("hook_mid", lambda g, hook: seen.append(g.item()))], reset_hooks_end=False
    )
    assert list(toy.list_hooks()) == ["hook_in", "hook_mid"]
    (3 * out).sum().backward()
    assert seen == [6.0]
    toy.reset_hooks()
    assert toy.list_hooks() == {}


def test_a_backward_hook_that_never_can_fire_is_told_and_taken_away():
    toy = Toy()
    hooks = [("hook_mid", add_one)]
    with pytest.raises(HookError) as raised:
        toy.run_with_hooks(ONE, bwd_hooks=hooks, reset_hooks_end=False)
    assert str(raised.value).startswith(
        "wanted a gradient at hook_mid; got a run in which nothing there requires"
    )
    with pytest.raises(HookError, match="wanted a gradient at hook_mid"), torch.no_grad():
        toy.run_with_hooks(ONE.clone().requires_grad_(), bwd_hooks=hooks, reset_hooks_end=False)
    assert toy.list_hooks() == {}


def test_hooks_to_be_left_on_go_if_the_run_raises():
    toy = Toy()

    def fail(x: Tensor, hook: HookPoint) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        toy.run_with_hooks(ONE, fwd_hooks=[("hook_in", add_one), ("hook_mid", fail)], reset_hooks_end=False)
    with pytest.raises(HookError, match="no run that reached hook_out"):
        toy.run_with_hooks(
            ONE, stop_before_out=True, fwd_hooks=[("hook_out", add_one)], reset_hooks_end=False
        )
    assert toy.list_hooks() == {}


def test_every_module_and_point_can_be_found():
    toy = Toy()
    assert toy.mod_dict == dict(toy.hook_dict)
    assert list(toy.hook_points()) == [toy.hook_in, toy.hook_mid, toy.hook_out, toy.hook_costly]


def test_a_copy_has_hooks_of_its_own():
    toy = Toy()
    toy.add_hook("hook_mid", add_one)
    other = copy.deepcopy(toy)
    toy.reset_hooks()
    assert other(ONE).item() == 4
    assert [hook.fired for hook in other.list_hooks()["hook_mid"]] == [1]
    other.reset_hooks()
    assert other(ONE).item() == 2
