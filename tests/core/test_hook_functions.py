"""What one hook function may do to the tensor that it is given."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.core.toy import Toy
from tests.core.unchecked import as_users_run
from unweave.core.errors import HookError
from unweave.core.hooks import HookPoint

ONE = torch.tensor([1.0])
WANTED = "wanted shape (1,), torch.float32, cpu from the hook at hook_mid"


def test_without_hooks_a_point_gives_back_the_very_tensor():
    x = torch.ones(2)
    assert HookPoint()(x) is x


def test_a_returned_tensor_takes_the_place():
    assert Toy().run_with_hooks(ONE, fwd_hooks=[("hook_mid", lambda x, hook: x + 10)]).item() == 22


def test_an_edit_in_place_takes_the_place():
    def edit(x: Tensor, hook: HookPoint) -> None:
        x += 10

    assert Toy().run_with_hooks(ONE, fwd_hooks=[("hook_mid", edit)]).item() == 22
    assert ONE.item() == 1, "the caller's own tensor was edited"


def test_what_is_returned_wins_over_an_edit_in_place():
    def both(x: Tensor, hook: HookPoint) -> Tensor:
        replacement = x + 5
        x += 10
        return replacement

    assert Toy().run_with_hooks(ONE, fwd_hooks=[("hook_mid", both)]).item() == 12


def test_hooks_run_in_the_order_in_which_they_came():
    add, double = (lambda x, hook: x + 1), (lambda x, hook: 2 * x)
    toy = Toy()
    assert toy.run_with_hooks(ONE, fwd_hooks=[("hook_mid", add), ("hook_mid", double)]).item() == 8
    assert toy.run_with_hooks(ONE, fwd_hooks=[("hook_mid", double), ("hook_mid", add)]).item() == 6


def test_a_hook_is_told_where_it_stands():
    seen: list[str] = []
    Toy().run_with_hooks(ONE, fwd_hooks=[(None, lambda x, hook: seen.append(hook.name))])
    assert seen == ["hook_in", "hook_mid", "hook_out"]


def test_an_edit_in_place_at_one_site_leaves_what_another_saw():
    # hook_in and hook_mid are the same tensor: an edit at either must not reach what the other keeps.
    def wipe(x: Tensor, hook: HookPoint) -> None:
        x.zero_()

    toy = Toy()
    for edited, before, after in (("hook_in", 0.0, 0.0), ("hook_mid", 1.0, 0.0)):
        with toy.recording() as kept, toy.hooks(fwd_hooks=[(edited, wipe)]):
            toy(ONE)
        # Recorded before the hook at the same point ran, so that point shows what came in.
        assert kept["hook_in"].item() == 1
        assert kept["hook_mid"].item() == (before if edited == "hook_in" else 1)
        assert kept["hook_out"].item() == after


def test_two_hooks_do_not_share_a_tensor():
    kept: list[Tensor] = []

    def wipe(x: Tensor, hook: HookPoint) -> None:
        x.zero_()

    toy = Toy()
    with toy.hooks(fwd_hooks=[("hook_mid", lambda x, hook: kept.append(x)), ("hook_mid", wipe)]):
        assert toy(ONE).item() == 0
    assert kept[0].item() == 1


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (
            torch.ones(2),
            f"{WANTED}; got shape (2,), torch.float32, cpu; "
            "return a tensor of the shape, dtype and device that the hook was given",
        ),
        (
            # It would broadcast.
            torch.ones(()),
            f"{WANTED}; got shape (), torch.float32, cpu;",
        ),
        (
            torch.ones(1, dtype=torch.float64),
            f"{WANTED}; got shape (1,), torch.float64, cpu;",
        ),
        (
            torch.ones(1, device="meta"),
            f"{WANTED}; got shape (1,), torch.float32, meta;",
        ),
        (
            3.0,
            "wanted a tensor or None from the hook at hook_mid; got float; "
            "return the edited tensor, or nothing to keep the edit made in place",
        ),
    ],
)
def test_what_cannot_stand_in_is_refused(returned: object, sentence: str):
    with as_users_run(), pytest.raises(HookError) as raised:
        Toy().run_with_hooks(ONE, fwd_hooks=[("hook_mid", lambda x, hook: returned)])
    assert str(raised.value).startswith(sentence)


def test_what_cannot_be_called_is_refused():
    toy = Toy()
    with as_users_run(), pytest.raises(HookError) as raised:
        toy.run_with_hooks(ONE, fwd_hooks=[("hook_mid", None)])
    assert str(raised.value) == (
        "wanted a function for the hook at hook_mid; got NoneType; pass a list of pairs (name, function)"
    )
    assert not toy.hook_mid.active


@pytest.mark.parametrize(
    "register",
    [
        "register_forward_hook",
        "register_forward_pre_hook",
        "register_full_backward_hook",
        "register_full_backward_pre_hook",
    ],
)
def test_torchs_own_hooks_which_would_never_fire_are_refused(register: str):
    with pytest.raises(HookError) as raised:
        getattr(Toy().hook_mid, register)(lambda *args: None)
    assert str(raised.value) == (
        "wanted a hook attached to hook_mid by add_hook; got one of torch.nn.Module's, which would never "
        "fire; write point.add_hook(fn), where fn(tensor, hook=point)"
    )
