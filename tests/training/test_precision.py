from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.training.small import TASK, new_model, short
from unweave.core.hooks import HookPoint
from unweave.training import train


def test_bf16_trains_as_fp32_does_with_parameters_that_stay_fp32():
    config = {"steps": 20, "batch_size": 32}
    full = train(new_model(), TASK, short(**config))
    model = new_model()
    half = train(model, TASK, short(**config, precision="bf16"))
    losses, wanted = ([record.loss for record in run.history] for run in (half, full))
    assert losses != wanted, "the products were not in bf16"
    assert losses == pytest.approx(wanted, rel=0.02)
    assert wanted[-1] < 0.9 * wanted[0], "nothing was learnt, so nothing was compared"
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert {parameter.grad.dtype for parameter in model.parameters()} == {torch.float32}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_matrix_products_are_in_bf16_and_everything_else_is_not(precision: str):
    model = new_model(d_head=16)  # scores are divided by 4, which no rounding notices
    rounded: dict[str, bool] = {}

    def look(tensor: Tensor, hook: HookPoint) -> None:
        rounded[hook.name.rpartition("hook_")[2]] = torch.equal(tensor, tensor.bfloat16().float())

    for point in model.hook_dict.values():
        if point.name.startswith("blocks.1.") and not point.on_demand:
            point.add_hook(look)
    train(model, TASK, short(steps=1, precision=precision))
    products = {"q", "k", "v", "attn_scores", "z", "attn_out", "pre", "mlp_out"}
    others = {"resid_pre", "resid_mid", "resid_post", "scale", "normalized", "pattern"}
    assert {name: rounded[name] for name in products} == dict.fromkeys(products, precision == "bf16")
    assert not any(rounded[name] for name in others)


def test_the_same_seed_gives_the_same_bf16_run_to_the_bit():
    losses = [
        [record.loss for record in train(new_model(), TASK, short(precision="bf16")).history]
        for _ in range(2)
    ]
    assert losses[0] == losses[1]


def test_autocast_ends_with_the_run():
    train(new_model(), TASK, short(precision="bf16"))
    assert not torch.is_autocast_enabled("cpu")
