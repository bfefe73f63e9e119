"""Nothing is silently ignored, and hooks go whatever happens."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import unweave
from tests.core.unchecked import as_users_run
from tests.model.wrappable import Keywords, Tagger, Twice, cnn, image
from unweave.core.errors import HookError
from unweave.core.hooks import HookPoint
from unweave.model.wrapped import WrappedModule


def refusal(wrapped: WrappedModule, *args: Any, **kwargs: Any) -> str:
    """What a run says; it must leave nothing behind."""
    run = wrapped.run_with_hooks if "fwd_hooks" in kwargs else wrapped.run_with_cache
    with pytest.raises(HookError) as raised:
        run(*args, **kwargs)
    for module in wrapped.module.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    return str(raised.value)


def ignore(tensor: Tensor, hook: HookPoint) -> None:
    pass


@pytest.mark.parametrize(
    "name", ["layer1.0.output", "layer3.out", "layer1.0", "", "layer1.out.", "lay er.out[0"]
)
def test_an_unknown_name_is_told_with_its_nearest(name: str):
    for told in (
        refusal(unweave.wrap(cnn()), image(), names_filter=name),
        refusal(unweave.wrap(cnn()), image(), fwd_hooks=[(name, ignore)]),
    ):
        assert told.startswith(f"wanted the name of a hook of this module; got {name!r}; nearest: ")
    if name.startswith("layer3"):
        assert "nearest: layer2.out, layer1.out" in told


def test_a_part_that_is_not_there_is_told_with_those_that_are():
    x = torch.randn(2, 5, 3)
    for name, kind in (("lstm.out", "tuple"), ("lstm.out[2]", "tuple")):
        assert refusal(unweave.wrap(Tagger()), x, names_filter=name) == (
            f"wanted a tensor at {name!r}; got {kind} with tensors at lstm.out[0], lstm.out[1][0], "
            "lstm.out[1][1]; write one of those names"
        )
    assert refusal(unweave.wrap(Tagger()), x, names_filter="head.in[0]") == (
        "wanted a tensor at 'head.in[0]'; got Tensor with tensors at head.in; write one of those names"
    )


def test_a_keyword_that_is_not_there_is_told():
    told = refusal(unweave.wrap(Keywords()), torch.ones(1), scale=torch.ones(1), names_filter="scaled.in")
    assert told == (
        "wanted a tensor at 'scaled.in'; got Tensor, Tensor with tensors at scaled.in[x], scaled.in[scale]; "
        "write one of those names"
    )


class Skips(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.used, self.unused = nn.Linear(1, 1), nn.Linear(1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.used(x)


def test_a_name_that_was_not_reached_is_told():
    x = torch.ones(1)
    for filters in ({"names_filter": ["used.out", "unused.out"]}, {"fwd_hooks": [("unused.out", ignore)]}):
        assert "got no run that reached unused.out;" in refusal(unweave.wrap(Skips()), x, **filters)


def test_a_filter_that_picks_nothing_is_told():
    x = torch.ones(1)
    for filters in ({"names_filter": lambda name: False}, {"fwd_hooks": [(lambda name: False, ignore)]}):
        assert "got no run that reached what the filter picks;" in refusal(
            unweave.wrap(Skips()), x, **filters
        )
    assert refusal(unweave.wrap(Skips()), x, names_filter=[]) == (
        "wanted a filter that matches at least one hook name; got one that matches none; "
        "names look like in, out, used.in"
    )


def test_a_hook_without_a_run_is_told():
    block = unweave.wrap(Skips()).hooks([("used.out", ignore)])
    with pytest.raises(HookError, match=r"got no run that reached used\.out"), block:
        pass


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (lambda x: x[:1], "shape (1, 3, 1, 1), torch.float32, cpu"),
        (lambda x: x.double(), "shape (2, 3, 1, 1), torch.float64, cpu"),
    ],
)
def test_a_replacement_of_another_shape_or_dtype_is_refused(change: Any, got: str):
    told = refusal(unweave.wrap(cnn()), image(), fwd_hooks=[("pool.out", lambda x, hook: change(x))])
    assert told.startswith(
        f"wanted shape (2, 3, 1, 1), torch.float32, cpu from the hook at pool.out; got {got};"
    )


def test_what_is_no_tensor_is_refused():
    with as_users_run():
        told = refusal(unweave.wrap(cnn()), image(), fwd_hooks=[("pool.out", lambda x, hook: 3.0)])
        assert told.startswith("wanted a tensor or None from the hook at pool.out; got float;")
        assert refusal(unweave.wrap(cnn()), image(), fwd_hooks=[("pool.out", "zero")]).startswith(
            "wanted a function for the hook at pool.out; got str;"
        )


def test_a_class_is_no_module():
    with as_users_run(), pytest.raises(HookError, match=r"^wanted a torch.nn.Module to wrap; got <class"):
        unweave.wrap(nn.Linear)


def test_backward_hooks_want_a_block():
    wrapped = unweave.wrap(cnn())
    with pytest.raises(HookError, match="got bwd_hooks in run_with_hooks"):
        wrapped.run_with_hooks(image(), bwd_hooks=[("out", ignore)])
    block = wrapped.hooks(bwd_hooks=[("layer2.out", ignore)])
    with pytest.raises(HookError, match=r"got no run that reached layer2\.out"), block:
        wrapped(image())  # and no backward()


def test_an_undetached_tensor_that_was_changed_in_place_is_refused():
    told = refusal(unweave.wrap(cnn(inplace=True)), image(), names_filter="layer1.0.out", detach=False)
    assert told.startswith(
        "wanted layer1.0.out as it was when it passed; got a tensor that was changed in place"
    )


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
@pytest.mark.parametrize("name", ["twofold@0.in", "twofold@1.out", "in", "out"])
def test_after_an_error_anywhere_everything_is_as_it_was(error: type[BaseException], name: str):
    def fail(tensor: Tensor, hook: HookPoint) -> None:
        raise error

    wrapped, one = unweave.wrap(Twice()), torch.ones(1)
    with wrapped.hooks([(None, lambda tensor, hook: None)]):
        with pytest.raises(error):
            wrapped.run_with_hooks(one, fwd_hooks=[(name, fail)])
        # The next run counts its calls from 0, and the outer block's hooks are still on.
        _, cache = wrapped.run_with_cache(one)
        assert list(cache) == ["in", "twofold@0.in", "twofold@0.out", "twofold@1.in", "twofold@1.out", "out"]
    for module in wrapped.module.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


class Catches(nn.Module):
    """Goes on after its submodule's first call has failed."""

    def __init__(self) -> None:
        super().__init__()
        self.picky = Picky()

    def forward(self, x: Tensor) -> Tensor:
        try:
            return self.picky(-x)
        except ValueError:
            return self.picky(x)


class Picky(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.item() < 0:
            raise ValueError("negative")
        return 2 * x


def test_a_call_that_failed_is_counted_and_has_no_output():
    _, cache = unweave.wrap(Catches()).run_with_cache(torch.ones(1))
    assert {name: value.item() for name, value in cache.items()} == {
        "in": 1,
        "picky@0.in": -1,
        "picky@1.in": 1,
        "picky@1.out": 2,
        "out": 2,
    }


def test_memory_does_not_hold_on_to_what_was_cached():
    wrapped = unweave.wrap(cnn())
    _, cache = wrapped.run_with_cache(image())
    kept = weakref.ref(cache["layer1.out"])
    del cache
    gc.collect()
    assert kept() is None
