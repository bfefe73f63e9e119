"""Backward hooks against torch.autograd.grad and gradients worked by hand (out = 2 * mid, mid = in)."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.core.toy import Toy
from tests.core.unchecked import as_users_run
from unweave.core.errors import HookError
from unweave.core.hooks import HookPoint


def leaf() -> Tensor:
    return torch.tensor([3.0, 5.0], requires_grad=True)


def test_a_hook_sees_the_gradient_of_the_tensor_at_its_point():
    toy, x, seen = Toy(), leaf(), {}

    def keep(gradient: Tensor, hook: HookPoint) -> None:
        seen[hook.name] = gradient

    with toy.recording(detach=False) as kept:
        loss = toy(x).pow(2).sum()
    wanted = dict(zip(kept, torch.autograd.grad(loss, list(kept.values())), strict=True))
    with toy.hooks(bwd_hooks=[(None, keep)]):
        toy(x).pow(2).sum().backward()
    assert seen["hook_out"].tolist() == [12.0, 20.0]  # d(out^2)/d(out) = 2 * out
    assert seen["hook_mid"].tolist() == [24.0, 40.0]
    assert {name: gradient.tolist() for name, gradient in seen.items()} == {
        name: gradient.tolist() for name, gradient in wanted.items()
    }


def test_a_returned_gradient_takes_the_place():
    toy, x = Toy(), leaf()
    with toy.hooks(bwd_hooks=[("hook_mid", lambda gradient, hook: 100 * gradient)]):
        toy(x).sum().backward()
    assert x.grad.tolist() == [200.0, 200.0]


def test_an_edit_in_place_takes_the_place():
    toy, x = Toy(), leaf()

    def wipe(gradient: Tensor, hook: HookPoint) -> None:
        gradient[0] = 0

    with toy.hooks(bwd_hooks=[("hook_mid", wipe)]):
        toy(x).sum().backward()
    assert x.grad.tolist() == [0.0, 2.0]


def test_an_edit_in_place_leaves_the_gradient_of_others_alone():
    # A sum hands one and the same tensor to both of its terms.
    toy, x, other = Toy(), leaf(), leaf()

    def wipe(gradient: Tensor, hook: HookPoint) -> None:
        gradient.zero_()

    with toy.hooks(bwd_hooks=[("hook_out", wipe)]):
        term = 1 * other  # made first, so its gradient is passed on last
        (3 * (toy(x) + term)).sum().backward()
    assert x.grad.tolist() == [0.0, 0.0]
    assert other.grad.tolist() == [3.0, 3.0]


def test_the_gradient_passes_the_later_site_first_even_where_two_sites_are_one_tensor():
    toy, x, order = Toy(), leaf(), []

    def double(gradient: Tensor, hook: HookPoint) -> Tensor:
        order.append((hook.name, gradient[0].item()))
        return 2 * gradient

    with toy.hooks(bwd_hooks=[(["hook_in", "hook_mid"], double)]):
        toy(x).sum().backward()
    assert order == [("hook_mid", 2.0), ("hook_in", 4.0)]
    assert x.grad.tolist() == [8.0, 8.0]


def test_hooks_at_one_point_run_in_the_order_in_which_they_came():
    toy, x = Toy(), leaf()
    add, double = (lambda g, hook: g + 1), (lambda g, hook: 2 * g)
    with toy.hooks(bwd_hooks=[("hook_mid", add), ("hook_mid", double)]):
        toy(x).sum().backward()
    assert x.grad.tolist() == [6.0, 6.0]


def test_forward_and_backward_hooks_at_one_point():
    toy, x, seen = Toy(), leaf(), []
    with toy.hooks(
        fwd_hooks=[("hook_mid", lambda t, hook: 10 * t)],
        bwd_hooks=[("hook_mid", lambda g, hook: seen.append(g.tolist()))],
    ):
        out = toy(x)
        out.sum().backward()
    assert out.tolist() == [60.0, 100.0]
    assert seen == [[2.0, 2.0]], "the gradient is that of the tensor that left the point"
    assert x.grad.tolist() == [20.0, 20.0]


def test_a_backward_pass_after_the_block_finds_no_hook():
    toy, x, fired = Toy(), leaf(), []
    with toy.hooks(bwd_hooks=[("hook_mid", lambda g, hook: fired.append(1))]):
        out = toy(x).sum()
        out.backward(retain_graph=True)
    out.backward()
    assert fired == [1]
    assert x.grad.tolist() == [4.0, 4.0]


def test_a_hook_without_a_backward_pass_is_told():
    toy, x = Toy(), leaf()
    with (
        pytest.raises(HookError, match="got no run that reached hook_mid"),
        toy.hooks(bwd_hooks=[("hook_mid", lambda g, hook: None)]),
    ):
        toy(x)


def test_a_hook_that_no_gradient_reaches_is_told():
    toy = Toy()
    with (
        pytest.raises(HookError, match="got no run that reached hook_mid"),
        toy.hooks(bwd_hooks=[("hook_mid", lambda g, hook: None)]),
    ):
        toy(torch.ones(1))


@pytest.mark.parametrize(
    ("returned", "got"), [(torch.ones(1), r"shape \(1,\), torch.float32, cpu"), (3.0, "float")]
)
def test_what_cannot_stand_in_is_refused(returned: object, got: str):
    toy, x = Toy(), leaf()
    with (
        as_users_run(),
        pytest.raises(HookError, match=f"from the hook at hook_mid; got {got}"),
        toy.hooks(bwd_hooks=[("hook_mid", lambda g, hook: returned)]),
    ):
        toy(x).sum().backward()
