"""Hooks that stay on a wrapped module, as they do on a HookedTransformer."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

import unweave
from tests.model.wrappable import Keywords, Tagger, Twice, cnn, image
from unweave.core.errors import HookError, InputError
from unweave.core.hooks import HookPoint

ONE = torch.tensor([1.0])  # Twice: 1 -> 2 -> 3 -> 6


def add_ten(x: Tensor, hook: HookPoint) -> Tensor:
    return x + 10


def double(x: Tensor, hook: HookPoint) -> Tensor:
    return 2 * x


def listened(module: nn.Module) -> set[str]:
    return {name for name, part in module.named_modules() if part._forward_hooks or part._forward_pre_hooks}


def test_a_hook_stays_until_it_is_reset_and_runs_in_direct_calls_too():
    wrapped = unweave.wrap(Twice())
    [hook] = wrapped.add_hook("twofold@1.out", add_ten)
    assert [wrapped(ONE).item(), wrapped.module(ONE).item()] == [16, 16]
    assert hook.fired == 2
    assert listened(wrapped.module) == {"", "twofold"}
    wrapped.reset_hooks()
    assert wrapped(ONE).item() == 6
    assert listened(wrapped.module) == set()


def test_they_are_listed_with_their_counts_and_taken_away_one_by_one():
    wrapped = unweave.wrap(Twice())
    [first] = wrapped.add_hook("in", add_ten)
    wrapped.add_perma_hook(lambda name: name == "twofold.out", double)
    # 1 + 10 = 11; 22, doubled 44; 45; 90, doubled 180.
    assert wrapped(ONE).item() == 180
    assert {name: [hook.fired for hook in hooks] for name, hooks in wrapped.list_hooks().items()} == {
        "in": [1],
        "what the filter picks": [2],
    }
    assert list(wrapped.list_hooks(including_permanent=False)) == ["in"]
    assert list(wrapped.list_hooks("in")) == ["in"]
    assert wrapped.list_hooks("twofold@0.in") == {}
    first.remove()
    assert wrapped(ONE).item() == 20  # 2, 4; 5; 10, 20
    wrapped.reset_hooks()
    assert wrapped(ONE).item() == 20, "permanent ones stay"
    wrapped.reset_hooks(including_permanent=True)
    assert wrapped(ONE).item() == 6
    assert wrapped.list_hooks() == {}
    first.remove()  # a second time does no harm


@pytest.mark.parametrize(("prepend", "out"), [(False, 22), (True, 32)])
def test_order_and_levels(prepend: bool, out: float):
    wrapped = unweave.wrap(Twice())
    wrapped.add_hook("out", double, level=1)
    wrapped.add_hook("out", add_ten, prepend=prepend, level=2)
    # 6 doubled, then 10 more; or the other way round.
    assert wrapped(ONE).item() == out
    wrapped.reset_hooks(level=2)
    assert wrapped(ONE).item() == 12


def test_a_block_and_a_run_leave_the_users_own_hooks():
    wrapped = unweave.wrap(Twice())
    wrapped.add_hook(["in", "out"], add_ten)
    filters: list[str] = []
    with wrapped.hooks([("out", double), (None, lambda x, hook: filters.append(hook.name))]):
        assert wrapped(ONE).item() == 112  # 11, 22, 23, 46; + 10 = 56; doubled
        assert wrapped.context_level == 1
        with pytest.raises(ZeroDivisionError):
            wrapped.run_with_hooks(ONE, fwd_hooks=[("twofold@0.in", lambda x, hook: 1 / 0)])
        output, cache = wrapped.run_with_cache(ONE, names_filter=["in", "out"])
    assert filters[:4] == ["in", "twofold.in", "twofold.out", "twofold@1.in"]
    assert (output.item(), cache["in"].item(), cache["out"].item()) == (112, 11, 112)
    assert wrapped(ONE).item() == 56
    assert [hook.fired for hooks in wrapped.list_hooks().values() for hook in hooks] == [4, 3]
    wrapped.reset_hooks()
    assert listened(wrapped.module) == set()


def test_two_hooks_of_one_block_at_one_name_and_two_filters():
    wrapped, seen = unweave.wrap(Twice()), []
    pairs = [("out", double), ("out", add_ten)]
    filters = [(lambda name: name == "in", lambda x, hook: seen.append(hook.name)) for _ in "ab"]
    with wrapped.hooks(pairs + filters):
        assert wrapped(ONE).item() == 22
    assert seen == ["in", "in"]
    assert wrapped.list_hooks() == {}
    assert listened(wrapped.module) == set()


def test_what_a_function_keeps_in_ctx_stays_until_it_is_cleared():
    wrapped = unweave.wrap(cnn())

    def count(x: Tensor, hook: HookPoint) -> None:
        hook.ctx["runs"] = hook.ctx.get("runs", 0) + 1

    wrapped.add_hook("layer2.out", count)
    wrapped(image())
    wrapped(image())
    [point] = wrapped.points("layer2.out")
    assert point.ctx == {"runs": 2}
    wrapped.clear_contexts()
    assert point.ctx == {}


def test_gradients_of_a_hook_that_stays():
    x, scale = torch.tensor([1.0, 2.0], requires_grad=True), torch.tensor([3.0, 4.0])
    wrapped = unweave.wrap(Keywords())
    [hook] = wrapped.add_hook("scaled.out", lambda g, hook: -g, dir="bwd")
    wrapped(x, scale=scale).sum().backward()
    assert x.grad.tolist() == [-3, -4]
    later = wrapped(x, scale=scale).sum()
    wrapped.reset_hooks()
    x.grad = None
    later.backward()
    assert x.grad.tolist() == [3, 4]
    assert hook.fired == 1


def test_backward_hooks_may_be_left_on_for_the_pass_to_come():
    x, wrapped, seen = torch.tensor([1.0], requires_grad=True), unweave.wrap(Twice()), []
    out = wrapped.run_with_hooks(
        x, bwd_hooks=[("twofold@0.out", lambda g, hook: seen.append(g.item()))], reset_hooks_end=False
    )
    out.backward()
    assert seen == [2.0]
    wrapped.reset_hooks()
    assert wrapped.list_hooks() == {}


def test_an_unknown_name_attaches_nothing():
    wrapped = unweave.wrap(cnn())
    with pytest.raises(HookError, match=r"nearest: layer2\.out"):
        wrapped.add_hook(["layer1.out", "layer3.out"], double)
    assert wrapped.list_hooks() == {}
    assert listened(wrapped.module) == set()


def test_one_sequence_may_lose_its_dimension():
    wrapped, x = unweave.wrap(cnn()), image(batch=1)
    _, whole = wrapped.run_with_cache(x)
    _, cache = wrapped.run_with_cache(x, remove_batch_dim=True)
    assert list(cache) == list(whole)
    for name in whole:
        assert torch.equal(cache[name], whole[name][0]), name
    with pytest.raises(InputError) as raised:
        wrapped.run_with_cache(image(batch=2), remove_batch_dim=True)
    assert str(raised.value) == (
        "wanted a batch of one sequence for remove_batch_dim; got more than one, or no batch, at in: "
        "shape (2, 1, 6, 6); leave remove_batch_dim out, or pass one sequence"
    )
    assert listened(wrapped.module) == set()
    _, cache = unweave.wrap(Tagger()).run_with_cache(torch.randn(1, 5, 3), remove_batch_dim=True)
    assert cache["lstm.out[0]"].shape == (5, 4)


def test_without_its_dimension_it_still_has_gradients():
    wrapped, x = unweave.wrap(cnn()), image(batch=1)
    output, cache = wrapped.run_with_cache(x, names_filter="layer1.out", remove_batch_dim=True, detach=False)
    [gradient] = torch.autograd.grad(output.sum(), cache["layer1.out"])
    plain, whole = wrapped.run_with_cache(x, names_filter="layer1.out", detach=False)
    assert torch.equal(output, plain)
    assert torch.equal(gradient, torch.autograd.grad(plain.sum(), whole["layer1.out"])[0][0])
