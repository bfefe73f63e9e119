"""The chunked loss against torch's cross-entropy of the full logits."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from unweave.training import loss as module
from unweave.training.loss import unembedded_cross_entropy

# 512 rows are one chunk on a CPU: none full, one full, several with a rest.
ROWS = [1, 511, 512, 513, 1200]


def problem(rows: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(rows)
    x, weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype).requires_grad_()
        for shape in ((rows, 6), (6, 9), (9,))
    )
    return x, weight, bias, torch.randint(0, 9, (rows,), generator=generator)


@pytest.mark.parametrize("rows", ROWS)
def test_loss_accuracy_and_gradients(rows: int):
    x, weight, bias, targets = problem(rows)
    logits = x @ weight + bias
    wanted = F.cross_entropy(logits, targets)
    wanted_gradients = torch.autograd.grad(wanted, (x, weight, bias))
    loss, accuracy = unembedded_cross_entropy(x, weight, bias, targets)
    torch.testing.assert_close(loss, wanted, rtol=1e-10, atol=0)
    assert accuracy.item() == pytest.approx((logits.argmax(1) == targets).double().mean().item(), abs=1e-12)
    for got, gradient in zip(torch.autograd.grad(loss, (x, weight, bias)), wanted_gradients, strict=True):
        assert (got - gradient).abs().max() <= 1e-10 * gradient.abs().max()


def test_gradcheck_over_several_chunks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(module.LOSS_ROWS, "cpu", 3)
    x, weight, bias, targets = problem(8)
    assert torch.autograd.gradcheck(
        lambda *inputs: unembedded_cross_entropy(*inputs, targets)[0], (x, weight, bias)
    )


def test_the_gradient_follows_what_is_done_with_the_loss():
    x, weight, bias, targets = problem(5)
    (once,) = torch.autograd.grad(unembedded_cross_entropy(x, weight, bias, targets)[0], x)
    (square,) = torch.autograd.grad(unembedded_cross_entropy(x, weight, bias, targets)[0] ** 2, x)
    loss = unembedded_cross_entropy(x, weight, bias, targets)[0].detach()
    torch.testing.assert_close(square, 2 * loss * once)


def test_logits_that_would_overflow_an_exponential():
    x, weight, bias, targets = problem(7, torch.float32)
    big = (1e4 * x).detach()
    loss, _ = unembedded_cross_entropy(big, weight, bias, targets)
    torch.testing.assert_close(loss, F.cross_entropy(big @ weight + bias, targets))


def test_a_tie_is_no_hit_but_for_the_first():
    # All logits alike: argmax is token 0, the target of 2 rows in 8.
    x, weight, bias = torch.zeros(8, 6), torch.zeros(6, 9), torch.zeros(9)
    _, accuracy = unembedded_cross_entropy(x, weight, bias, torch.tensor([0, 1, 2, 3, 0, 8, 7, 6]))
    assert accuracy.item() == 0.25


def test_bf16_products_are_close_and_the_rest_stays_fp32():
    x, weight, bias, targets = problem(1200, torch.float32)
    exact, hits = unembedded_cross_entropy(x, weight, bias, targets)
    exact_gradients = torch.autograd.grad(exact, (x, weight, bias))
    loss, accuracy = unembedded_cross_entropy(x, weight, bias, targets, True)
    gradients = torch.autograd.grad(loss, (x, weight, bias))
    assert {tensor.dtype for tensor in (loss, accuracy, *gradients)} == {torch.float32}
    assert loss.item() != exact.item(), "the products were not in bf16"
    # Eight significant bits a product, averaged over 1200 rows.
    assert loss.item() == pytest.approx(exact.item(), rel=5e-3)
    assert accuracy.item() == pytest.approx(hits.item(), abs=0.01)
    for got, gradient in zip(gradients, exact_gradients, strict=True):
        assert (got - gradient).abs().max() <= 2e-2 * gradient.abs().max()


def test_the_inputs_are_left_as_they_are():
    inputs = problem(600)
    before = [tensor.detach().clone() for tensor in inputs]
    unembedded_cross_entropy(*inputs)
    assert all(torch.equal(tensor, old) for tensor, old in zip(inputs, before, strict=True))


def test_a_second_derivative_is_refused_rather_than_wrong():
    x, weight, bias, targets = problem(5)
    loss, _ = unembedded_cross_entropy(x, weight, bias, targets)
    # Of the square, since torch would follow its outer half and think that it was all.
    (gradient,) = torch.autograd.grad(loss**2, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
