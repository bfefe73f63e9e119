"""What a run keeps, of which part of it, and how gradients flow through what was kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tests.core.toy import Toy
from tests.core.unchecked import as_users_run
from unweave.core.errors import HookError, InputError
from unweave.core.hooks import HookedRootModule, HookPoint, excuse

ONE = torch.tensor([1.0])


class Rows(HookedRootModule):
    """`[batch, pos, d]` and, per head, `[batch, pos, head, d]`; out = sum of squares of both."""

    def __init__(self) -> None:
        super().__init__()
        self.hook_x, self.hook_z, self.hook_pattern = HookPoint(), HookPoint(), HookPoint()
        self.hook_loss = HookPoint()
        self.setup()

    def forward(self, x: Tensor) -> Tensor:
        x = self.hook_x(x)
        z = self.hook_z(torch.stack([x, 2 * x], 2))
        self.hook_pattern(torch.zeros(len(x), 2, x.shape[1], x.shape[1] + 1))
        return self.hook_loss(x.pow(2).sum() + z.pow(2).sum())


NAMES = ["hook_in", "hook_mid", "hook_out"]
SITES = ["hook_x", "hook_z", "hook_pattern"]


def rows(batch: int = 1) -> Tensor:
    return torch.arange(batch * 6.0).reshape(batch, 3, 2)


def test_a_run_gives_its_output_and_a_dict_in_the_order_of_the_run():
    out, kept = Toy().run_with_cache(ONE)
    assert out.item() == 2
    assert {name: tensor.item() for name, tensor in kept.items()} == {
        "hook_in": 1,
        "hook_mid": 1,
        "hook_out": 2,
    }
    assert list(kept) == ["hook_in", "hook_mid", "hook_out"]


def test_an_unknown_name_is_refused_and_an_unreached_one_is_told():
    toy = Toy()
    with pytest.raises(HookError, match="nearest: hook_mid"):
        toy.run_with_cache(ONE, names_filter=["hook_in", "hook_mdi"])
    with pytest.raises(HookError, match="wanted a run that reaches hook_out; got one that did not"):
        toy.run_with_cache(ONE, names_filter=["hook_in", "hook_out"], stop_before_out=True)
    _, kept = toy.run_with_cache(ONE, names_filter=lambda name: name != "hook_mid", stop_before_out=True)
    assert list(kept) == ["hook_in"], "what is computed on demand is not meant"


def test_what_a_run_leaves_out_on_purpose_need_not_fire():
    class Skipping(Toy):
        def forward(self, x: Tensor, stop_before_out: bool = False) -> Tensor:
            if stop_before_out:
                excuse(self.hook_out)
            return super().forward(x, stop_before_out)

    toy, fired = Skipping(), []
    _, kept = toy.run_with_cache(ONE, names_filter=["hook_in", "hook_out"], stop_before_out=True)
    assert list(kept) == ["hook_in"]
    toy.run_with_hooks(ONE, fwd_hooks=[("hook_out", lambda x, hook: fired.append(1))], stop_before_out=True)
    assert fired == []
    excuse(nn.Linear(1, 1))  # has no points


@pytest.mark.parametrize(
    ("pos_slice", "positions"),
    [
        (None, [0, 1, 2]),
        (1, [1]),
        (-1, [2]),
        ((1, 3), [1, 2]),
        ((2,), [0, 1]),
        ([2, 0], [2, 0]),
        (slice(1, 2), [1]),
    ],
)
def test_positions_are_cut_where_they_are(pos_slice: object, positions: list[int]):
    x = rows(batch=2)
    _, kept = Rows().run_with_cache(x, names_filter=SITES, pos_slice=pos_slice)
    assert torch.equal(kept["hook_x"], x[:, positions])
    assert torch.equal(kept["hook_z"], torch.stack([x, 2 * x], 2)[:, positions])
    assert kept["hook_pattern"].shape == (2, 2, len(positions), 4)


def test_what_has_no_positions_cannot_be_cut():
    with pytest.raises(
        HookError, match=r"wanted positions to slice at hook_loss; got a tensor of shape \(\)"
    ):
        Rows().run_with_cache(rows(), pos_slice=0)
    with pytest.raises(HookError, match="wanted positions to slice at hook_in"):
        Toy().run_with_cache(torch.ones(2, 3), pos_slice=0)  # could be a batch as well


def test_a_part_does_not_keep_the_whole_alive():
    _, kept = Rows().run_with_cache(rows(), names_filter="hook_x", pos_slice=(0, 1))
    assert kept["hook_x"].untyped_storage().nbytes() == 2 * 4


def test_one_sequence_may_lose_its_dimension():
    _, kept = Rows().run_with_cache(rows(), names_filter=SITES, remove_batch_dim=True, pos_slice=-1)
    assert {name: tuple(tensor.shape) for name, tensor in kept.items()} == {
        "hook_x": (1, 2),
        "hook_z": (1, 2, 2),
        "hook_pattern": (2, 1, 4),
    }
    model = Rows()
    with pytest.raises(
        InputError, match="wanted a batch of one sequence for remove_batch_dim; got more than one"
    ):
        model.run_with_cache(rows(2), remove_batch_dim=True)
    assert model.list_hooks() == {}


def test_what_is_kept_can_go_to_another_device():
    # The meta device holds shapes only: whatever is kept there was moved.
    out, kept = Rows().run_with_cache(rows(), device="meta")
    assert {str(tensor.device) for tensor in kept.values()} == {"meta"}
    assert out.device.type == "cpu"
    with pytest.raises(InputError, match="wanted a device of this machine; got 'cuba'"):
        Rows().run_with_cache(rows(), device="cuba")


@pytest.mark.parametrize(
    "parts", [{}, {"remove_batch_dim": True}, {"pos_slice": (1, 3)}, {"pos_slice": [2, 0]}]
)
def test_gradients_with_respect_to_what_was_kept(parts: dict):
    x = rows().requires_grad_()
    out, kept = Rows().run_with_cache(x, names_filter=SITES[:2], detach=False, **parts)
    assert out.item() == (1 + 1 + 4) * x.pow(2).sum().item()
    by_x, by_z = torch.autograd.grad(out, [kept["hook_x"], kept["hook_z"]], retain_graph=True)
    # x^2 + x^2 + (2x)^2, and z^2.
    assert torch.equal(by_x, 12 * kept["hook_x"])
    assert torch.equal(by_z, 2 * kept["hook_z"])
    out.backward()
    assert torch.equal(x.grad, 12 * x), "what was not kept has its gradient too"


def test_a_position_asked_for_twice_has_no_one_gradient():
    _, kept = Rows().run_with_cache(rows(), names_filter="hook_x", pos_slice=[1, 1])
    assert torch.equal(kept["hook_x"], rows()[:, [1, 1]])
    with pytest.raises(InputError, match="wanted each position once in pos_slice, with detach=False"):
        Rows().run_with_cache(rows(), names_filter="hook_x", pos_slice=[1, 1], detach=False)


def test_detached_is_the_default():
    _, kept = Rows().run_with_cache(rows().requires_grad_())
    assert not any(tensor.requires_grad for tensor in kept.values())


def test_the_backward_pass_is_cached_too():
    x = rows().requires_grad_()
    _, kept = Rows().run_with_cache(x, names_filter=["hook_x", "hook_z"], incl_bwd=True)
    assert list(kept) == ["hook_x", "hook_z", "hook_z_grad", "hook_x_grad"]
    assert torch.equal(kept["hook_x_grad"], 12 * x)
    assert torch.equal(kept["hook_z_grad"], 2 * kept["hook_z"])
    assert torch.equal(x.grad, 12 * x), "parameters accumulate theirs, as ever"
    _, kept = Rows().run_with_cache(
        x, names_filter="hook_z", incl_bwd=True, pos_slice=1, remove_batch_dim=True
    )
    assert torch.equal(kept["hook_z_grad"], 2 * torch.stack([x[0], 2 * x[0]], 1)[1:2])


def test_a_kept_graph_outlives_the_backward_pass_of_the_run():
    out, kept = Rows().run_with_cache(
        rows().requires_grad_(), names_filter="hook_z", incl_bwd=True, detach=False
    )
    assert torch.equal(torch.autograd.grad(out, kept["hook_z"])[0], kept["hook_z_grad"])


@pytest.mark.parametrize(
    ("run", "got"),
    [
        (
            lambda: Toy().run_with_cache(torch.ones(2, requires_grad=True), incl_bwd=True),
            r"a tensor of shape \(2,\)",
        ),
        (lambda: Toy().run_with_cache(ONE, incl_bwd=True), r"a tensor of shape \(1,\) without a graph"),
    ],
)
def test_an_output_that_cannot_be_backpropagated_is_refused(run: object, got: str):
    with pytest.raises(
        HookError, match=f"wanted an output that is a single number with a gradient.*got {got}"
    ):
        run()


def test_an_output_that_is_no_tensor_cannot_be_backpropagated():
    class Pair(Toy):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return super().forward(x), x

    toy = Pair()
    with pytest.raises(HookError, match="got tuple"):
        toy.run_with_cache(ONE.clone().requires_grad_(), incl_bwd=True)
    with torch.no_grad(), pytest.raises(HookError, match="without a graph"):
        Toy().run_with_cache(ONE.clone().requires_grad_(), incl_bwd=True)
    assert toy.list_hooks() == {}


def test_a_gradient_that_never_comes_is_told():
    with pytest.raises(HookError, match="wanted a gradient at hook_pattern, for incl_bwd; got none"):
        Rows().run_with_cache(rows().requires_grad_(), names_filter=SITES, incl_bwd=True)
    # A filter means some of them.
    _, kept = Rows().run_with_cache(rows().requires_grad_(), incl_bwd=True)
    assert "hook_pattern_grad" not in kept


def test_caching_hooks_may_stay():
    toy = Toy()
    _, kept = toy.run_with_cache(ONE, names_filter="hook_out", reset_hooks_end=False)
    toy(5 * ONE)
    assert kept["hook_out"].item() == 10
    toy.reset_hooks()
    toy(7 * ONE)
    assert kept["hook_out"].item() == 10


def test_caching_hooks_for_a_block():
    model, x = Rows(), rows(2).requires_grad_()
    mine: dict[str, Tensor] = {}
    kept, fwd, bwd = model.get_caching_hooks(["hook_z"], incl_bwd=True, cache=mine, pos_slice=2)
    assert kept is mine
    assert [name for name, _ in fwd + bwd] == ["hook_z", "hook_z"]
    with model.hooks(fwd_hooks=fwd, bwd_hooks=bwd):
        model(x).backward()
    assert torch.equal(kept["hook_z"], torch.stack([x, 2 * x], 2)[:, 2:])
    assert torch.equal(kept["hook_z_grad"], 2 * kept["hook_z"])
    assert model.get_caching_hooks()[2] == []


def test_caching_hooks_that_stay():
    model, x = Rows(), rows().requires_grad_()
    mine: dict[str, Tensor] = {}
    assert model.cache_all(mine, incl_bwd=True, remove_batch_dim=False) is mine
    model(x).backward()
    assert set(mine) == {*SITES, "hook_loss", "hook_x_grad", "hook_z_grad", "hook_loss_grad"}
    model.reset_hooks()
    some = model.cache_some(None, lambda name: name == "hook_x", remove_batch_dim=True)
    model(x)
    assert list(some) == ["hook_x"]
    assert some["hook_x"].shape == (3, 2)
    model.reset_hooks()
    assert model.list_hooks() == {}


def test_a_cached_run_sees_the_users_own_edits():
    toy = Toy()
    toy.add_hook("hook_mid", lambda x, hook: 10 * x)
    assert toy.run_with_cache(ONE, names_filter="hook_mid")[1]["hook_mid"].item() == 10


def test_reading_makes_no_copy():
    x = rows()
    _, kept = Rows().run_with_cache(x, names_filter="hook_x")
    assert kept["hook_x"].data_ptr() == x.data_ptr()
    with as_users_run():
        model = Rows()
        seen = []
        model.run_with_hooks(x, fwd_hooks=[("hook_x", lambda t, hook: seen.append(t))])
    assert seen[0].data_ptr() != x.data_ptr()


@pytest.mark.parametrize("how", [{}, {"detach": False, "remove_batch_dim": True}, {"incl_bwd": True}])
def test_a_run_that_a_hook_begins_is_not_cached(how: dict):
    toy, x = Toy(), ONE.clone().requires_grad_()
    begun: list[int] = []
    inner: list[Tensor] = []

    def nested(tensor: Tensor, hook: HookPoint) -> None:
        if not begun:
            begun.append(1)
            inner.append(toy(100 * tensor.detach()))
            inner.append(toy.run_with_cache(10 * tensor.detach())[1]["hook_out"])

    with toy.hooks(fwd_hooks=[("hook_mid", nested)]):
        _, kept = toy.run_with_cache(x, names_filter=NAMES, **how)
    assert [value.item() for value in inner] == [200, 20]
    assert [kept[name].item() for name in NAMES] == [1, 1, 2]
