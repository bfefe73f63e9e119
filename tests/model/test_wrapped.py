"""Reading and editing any module by the paths of its submodules."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import unweave
from tests.model.wrappable import Frozen, Keywords, Pair, Returns, Tagger, cnn, image
from unweave.core.hooks import HookPoint

TWO = torch.tensor([2.0])


def test_a_cnn_is_read_at_every_input_and_output():
    model, x = cnn(), image()
    first = model.layer1[0](x)
    second = model.layer1[1](first)
    third = model.layer2(second)
    pooled = model.pool(third)
    wanted = {
        "in": x,
        "layer1.in": x,
        "layer1.0.in": x,
        "layer1.0.out": first,
        "layer1.1.in": first,
        "layer1.1.out": second,
        "layer1.out": second,
        "layer2.in": second,
        "layer2.out": third,
        "pool.in": third,
        "pool.out": pooled,
        "flat.in": pooled,
        "flat.out": pooled.flatten(1),
        "out": pooled.flatten(1),
    }
    output, cache = unweave.wrap(model).run_with_cache(x)
    assert list(cache) == list(wanted)
    for name, tensor in wanted.items():
        assert torch.equal(cache[name], tensor), name
    assert torch.equal(output, wanted["out"])
    assert sorted(unweave.wrap(model).hook_names) == sorted(wanted)


def test_an_edit_reaches_what_comes_after_and_nothing_before():
    model, x = cnn(), image()

    def wipe(tensor: Tensor, hook: HookPoint) -> None:
        tensor[:, 1] = 0

    middle = model.layer1(x)
    middle[:, 1] = 0
    wrapped = unweave.wrap(model)
    with wrapped.hooks([("layer1.out", wipe)]):
        output, cache = wrapped.run_with_cache(x)
    assert torch.equal(output, model.flat(model.pool(model.layer2(middle))))
    assert torch.equal(cache["layer1.out"], middle)
    # The same tensor under another name, one step earlier.
    assert torch.equal(cache["layer1.1.out"], model.layer1(x))


def test_an_input_is_edited_before_the_module_sees_it():
    model, x = cnn(), image()
    given = x.clone()
    output = unweave.wrap(model).run_with_hooks(x, fwd_hooks=[("in", lambda tensor, hook: 3 * tensor)])
    assert torch.equal(output, model(3 * x))
    assert torch.equal(x, given)


def test_a_filter_is_one_name_several_or_a_function():
    wrapped, x = unweave.wrap(cnn()), image()
    assert list(wrapped.run_with_cache(x, names_filter="layer2.out")[1]) == ["layer2.out"]
    assert list(wrapped.run_with_cache(x, names_filter=["layer2.out", "in"])[1]) == ["in", "layer2.out"]
    picked = wrapped.run_with_cache(x, names_filter=lambda name: name.startswith("layer1.1"))[1]
    assert list(picked) == ["layer1.1.in", "layer1.1.out"]


def test_a_function_of_the_name_hooks_every_place_that_it_picks():
    seen: list[str] = []
    unweave.wrap(cnn()).run_with_hooks(
        image(), fwd_hooks=[(lambda name: name.endswith("out"), lambda tensor, hook: seen.append(hook.name))]
    )
    assert seen == ["layer1.0.out", "layer1.1.out", "layer1.out", "layer2.out", "pool.out", "flat.out", "out"]


def test_a_relu_that_works_in_place_changes_nothing_that_was_cached():
    x = image()
    _, apart = unweave.wrap(cnn()).run_with_cache(x)
    _, inplace = unweave.wrap(cnn(inplace=True)).run_with_cache(x)
    assert (apart["layer1.0.out"] < 0).any()
    for name in apart:
        assert torch.equal(inplace[name], apart[name]), name


def test_an_lstm_has_a_name_for_each_part():
    model, x = Tagger(), torch.randn(2, 5, 3)
    states, (h, c) = model.lstm(x)
    _, cache = unweave.wrap(model).run_with_cache(x, names_filter=lambda name: name.startswith("lstm"))
    assert list(cache) == ["lstm.in[0]", "lstm.in[1][0]", "lstm.in[1][1]"] + [
        f"lstm.out{address}" for address in ("[0]", "[1][0]", "[1][1]")
    ]
    for name, wanted in zip(cache, (x, 0 * h, 0 * c, states, h, c), strict=True):
        assert torch.equal(cache[name], wanted), name


def test_one_part_of_an_lstms_state_is_replaced():
    model, x = Tagger(), torch.randn(2, 5, 3)
    start = torch.full((1, 2, 4), 0.5)
    wanted = model.head(model.lstm(x, (start, torch.zeros(1, 2, 4)))[0])
    wrapped = unweave.wrap(model)
    assert torch.equal(
        wrapped.run_with_hooks(x, fwd_hooks=[("lstm.in[1][0]", lambda h, hook: h + 0.5)]), wanted
    )
    doubled = wrapped.run_with_hooks(x, fwd_hooks=[("lstm.out[0]", lambda states, hook: 2 * states)])
    assert torch.equal(doubled, model.head(2 * model.lstm(x)[0]))


def test_tensors_passed_by_keyword_have_its_name():
    x, scale = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 4.0])
    wrapped = unweave.wrap(Keywords())
    output, cache = wrapped.run_with_cache(x, scale=scale)
    assert list(cache) == ["in", "in[scale]", "scaled.in[x]", "scaled.in[scale]", "scaled.out", "out"]
    assert output.tolist() == [3, 8]
    edited = wrapped.run_with_hooks(
        x, scale=scale, fwd_hooks=[("scaled.in[scale]", lambda tensor, hook: tensor + 10)]
    )
    assert edited.tolist() == [13, 28]


@pytest.mark.parametrize(
    ("make", "address", "read"),
    [
        (lambda x: (x, "text", 3), "[0]", lambda made: made[0]),
        (lambda x: [None, x], "[1]", lambda made: made[1]),
        (lambda x: {"logits": x, "n": 1}, "[logits]", lambda made: made["logits"]),
        (lambda x: OrderedDict(deep=(x, [x + 1])), "[deep][1][0]", lambda made: made["deep"][1][0] - 1),
        (lambda x: Pair(x, None), "[left]", lambda made: made.left),
        (lambda x: Frozen(x), "[value]", lambda made: made.value),
        (lambda x: torch.max(x, 0), "[0]", lambda made: made.values),
    ],
    ids=["tuple", "list", "dict", "nest", "named tuple", "frozen dataclass", "torch's own"],
)
def test_one_tensor_in_a_container_is_read_and_replaced(
    make: Callable[[Tensor], Any], address: str, read: Callable[[Any], Tensor]
):
    wrapped, x = unweave.wrap(Returns(make)), torch.tensor([5.0])
    name = f"inner.out{address}"
    plain, cache = wrapped.run_with_cache(x, names_filter=name)
    assert read(plain).item() == 5
    edited = wrapped.run_with_hooks(x, fwd_hooks=[(name, lambda tensor, hook: tensor + 100)])
    assert type(edited) is type(plain)
    assert read(edited).item() == 105
    assert cache[name].item() == (6 if "deep" in address else 5)
    # What is no tensor is as it was.
    if isinstance(plain, Frozen):
        assert edited.label == "kept"
    if isinstance(plain, tuple) and len(plain) == 3:
        assert edited[1:] == ("text", 3)


def test_what_no_one_edits_is_the_very_object():
    made = {"logits": TWO}
    wrapped = unweave.wrap(Returns(lambda x: made))
    assert wrapped.run_with_cache(TWO)[0] is made


def test_gradients_reach_what_was_cached_undetached():
    model, x = cnn(), image()
    output, cache = unweave.wrap(model).run_with_cache(x, names_filter="layer1.out", detach=False)
    [gradient] = torch.autograd.grad(output.sum(), cache["layer1.out"])
    middle = model.layer1(x).detach().requires_grad_()
    model.flat(model.pool(model.layer2(middle))).sum().backward()
    assert torch.equal(gradient, middle.grad)
    assert not unweave.wrap(model).run_with_cache(x)[1]["out"].requires_grad


def test_a_backward_hook_is_given_the_gradient_and_may_replace_it():
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    wrapped, seen = unweave.wrap(Keywords()), []

    def negate(gradient: Tensor, hook: HookPoint) -> Tensor:
        seen.append((hook.name, gradient.tolist()))
        return -gradient

    with wrapped.hooks(bwd_hooks=[("scaled.out", negate)]):
        wrapped(x, scale=torch.tensor([3.0, 4.0])).sum().backward()
    assert seen == [("scaled.out", [1.0, 1.0])]
    assert x.grad.tolist() == [-3, -4]


def test_a_graph_that_outlives_the_block_fires_no_hook():
    x = torch.tensor([1.0], requires_grad=True)
    wrapped = unweave.wrap(Keywords())
    with wrapped.hooks(bwd_hooks=[("scaled.out", lambda gradient, hook: -gradient)]):
        wrapped(x, scale=TWO).sum().backward()
        later = wrapped(x, scale=TWO).sum()
    x.grad = None
    later.backward()
    assert x.grad.item() == 2


def test_nothing_of_the_module_is_changed():
    model, x = cnn(), image()
    before, plain = {name: value.clone() for name, value in model.state_dict().items()}, model(x)
    wrapped = unweave.wrap(model)
    wrapped.run_with_cache(x)
    wrapped.run_with_hooks(x, fwd_hooks=[("out", lambda tensor, hook: 0 * tensor)])
    assert torch.equal(model(x), plain)
    assert torch.equal(wrapped(x), plain)
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(model.state_dict()[name], value) for name, value in before.items())
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks


def test_the_users_own_torch_hooks_stay():
    model, x = cnn(), image()
    handle = model.layer2.register_forward_hook(lambda module, args, output: output + 1)
    plain = model(x)
    output, cache = unweave.wrap(model).run_with_cache(x)
    assert torch.equal(output, plain)
    assert torch.equal(cache["layer2.out"], cache["pool.in"])
    assert list(model.layer2._forward_hooks) == [handle.id]


def test_without_listeners_there_is_nothing_on_the_module():
    model = cnn()
    wrapped = unweave.wrap(model)
    with wrapped.hooks([("layer2.out", lambda tensor, hook: None)]):
        hooked = {name for name, module in model.named_modules() if module._forward_hooks}
        assert hooked == {"", "layer2"}
        wrapped(image())
    assert not model.layer2._forward_hooks


def test_torchs_fused_path_gives_way_to_hooks():
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(2, 3, 8)
    with torch.no_grad():
        _, cache = unweave.wrap(layer).run_with_cache(x, names_filter=["linear1.in", "linear1.out"])
    assert torch.equal(cache["linear1.out"], layer.linear1(cache["linear1.in"]))


def test_inference_mode_is_no_hindrance():
    model, x = cnn(inplace=True), image()
    with torch.inference_mode():
        output, cache = unweave.wrap(model).run_with_cache(x)
        _, undetached = unweave.wrap(model).run_with_cache(x, detach=False)
    assert torch.equal(output, model(x))
    for either in (cache, undetached):
        assert torch.equal(either["layer1.0.out"], model.layer1[0](x))
