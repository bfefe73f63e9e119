"""Sharpness against the dense Hessian of a tiny model, and its edge against optimisers on a quadratic."""

from __future__ import annotations

import pytest
import torch
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from tests.training.small import TASK, new_model, short
from unweave.tasks import Batch
from unweave.training import train
from unweave.training.doctor.replay import Replay
from unweave.training.doctor.sharpness import edge, largest, preconditioner, sharpness


def grown(curvature: float, lr: float, beta1: float, divided_by: float = 1.0) -> bool:
    """Whether averaged-momentum descent runs away from the bottom of a quadratic."""
    x, m = 1.0, 0.0
    for _ in range(2000):
        m = beta1 * m + (1 - beta1) * curvature * x
        x -= lr * m / divided_by
    return abs(x) > 1.0


@pytest.mark.parametrize(("lr", "beta1"), [(0.01, 0.9), (0.3, 0.5), (0.1, 0.0)])
def test_just_above_the_edge_steps_grow_and_just_below_they_do_not(lr: float, beta1: float):
    most = edge(lr, beta1)
    assert grown(1.01 * most, lr, beta1) and not grown(0.99 * most, lr, beta1)
    # Gradient descent's own edge is another where there is momentum.
    assert grown(1.01 * 2 / lr, lr, beta1) == (beta1 == 0.0)
    assert grown(1.01 * most * 7, lr, beta1, divided_by=7.0)


def test_the_largest_eigenvalue_is_not_the_largest_absolute_one():
    turned = torch.linalg.qr(torch.randn(40, 40, generator=torch.Generator().manual_seed(0)).double())[0]
    values = torch.linspace(-50, 3, 40, dtype=torch.float64)
    matrix = turned @ torch.diag(values) @ turned.T
    found = largest(lambda vector: matrix @ vector, 40, steps=40)
    assert abs(found.value - 3) <= found.residual + 1e-9
    assert found.value > 0  # power iteration, unshifted, would say -50


def test_adams_sharpness_is_that_of_the_dense_hessian(tmp_path):
    model = new_model(n_layers=1, d_model=4, d_head=2, n_heads=1, attn_only=True, act_fn=None)
    config = short(lr=3e-3, weight_decay=0.0)
    train(model, TASK, config, tmp_path)
    replay = Replay(tmp_path / "checkpoints/step-00000005", TASK, config)
    batch = TASK.batch(4, 9)
    divided_by = preconditioner(replay.second_moments(), 5, config.betas, config.eps)

    # Differences of gradients, one entry of the weights after the other, by the fused kernel.
    exact = replay.model.double()
    parameters = list(exact.parameters())
    at = parameters_to_vector(parameters).detach()

    def gradient(flat: torch.Tensor) -> torch.Tensor:
        vector_to_parameters(flat, parameters)
        loss = TASK.loss(exact(batch.tokens), batch)
        return torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)])

    nudges = 1e-5 * torch.eye(len(at), dtype=torch.float64)
    dense = torch.stack([(gradient(at + n) - gradient(at - n)) / 2e-5 for n in nudges])
    vector_to_parameters(at, parameters)
    assert len(dense) < 200
    scale = torch.cat([p.flatten() for p in divided_by]).double()

    def top(p: torch.Tensor) -> float:
        return torch.linalg.eigvals(dense / p[:, None]).real.max().item()

    found = sharpness(replay.model, TASK, Batch(*batch), divided_by)
    assert found.value == pytest.approx(top(scale), rel=0.05)
    assert sharpness(replay.model, TASK, Batch(*batch)).value == pytest.approx(
        top(torch.ones_like(scale)), rel=0.05
    )
    # Forgetting either bias correction, or Adam's division altogether, is far off.
    beta1, beta2 = config.betas
    for mistaken in (scale / (1 - beta1**5), scale * (1 - beta2**5) ** 0.5, torch.ones_like(scale)):
        assert abs(found.value / top(mistaken) - 1) > 0.3
