"""Cross-entropy straight from the residual stream, without a lasting copy of `[batch, pos, vocab]`."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from unweave.model.kernels import LOSS_ROWS


def unembedded_cross_entropy(
    x: Float[Tensor, "rows d_model"],
    weight: Float[Tensor, "d_model d_vocab"],
    bias: Float[Tensor, " d_vocab"],
    targets: Int[Tensor, " rows"],
    bf16: bool = False,
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """`cross_entropy(x @ weight + bias, targets)`, its mean in nats, and the accuracy.

    Works through the rows in chunks: each chunk's logits become their own gradient in place, so
    that the gradients of `x`, `weight` and `bias` are ready when the loss is. The idea is that of
    Wijmans et al. (2024), "Cut Your Losses", arXiv:2411.09009, without their kernels.

    Args:
        bf16: multiply in bf16; sums, softmax and loss stay in the dtype of `x`.
    """
    return _UnembeddedCrossEntropy.apply(x, weight, bias, targets, bf16)  # type: ignore[return-value]


class _UnembeddedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, bf16: bool
    ) -> tuple[Tensor, Tensor]:
        dtype = torch.bfloat16 if bf16 else x.dtype
        w, n = weight.to(dtype), len(x)
        grad_x, grad_w, grad_b = torch.empty_like(x), None, torch.zeros_like(bias)
        loss, hits = x.new_zeros(()), x.new_zeros(())
        chunk = LOSS_ROWS.get(x.device.type, n)
        for start in range(0, n, chunk):
            rows = slice(start, start + chunk)
            xs, wanted = x[rows].to(dtype), targets[rows, None]
            logits = (xs @ w).to(x.dtype).add_(bias) if bf16 else torch.addmm(bias, xs, w)
            # Not `chosen == top`: that counts ties, which bf16 products make, as hits.
            (top, guess), chosen = logits.max(-1, keepdim=True), logits.gather(1, wanted)
            hits += (guess == wanted).sum()
            exps = logits.sub_(top).exp_()
            total = exps.sum(-1, keepdim=True)
            loss += (total.log() + top - chosen).sum()
            grad = exps.div_(total * n)
            grad.scatter_add_(1, wanted, torch.full_like(chosen, -1.0 / n))
            grad_b += grad.sum(0)
            grad = grad.to(dtype)
            grad_x[rows] = grad @ w.t()
            product = xs.t() @ grad
            # Not a sum that begins with zeros: with a large vocabulary that is as slow as the product.
            grad_w = product.to(x.dtype) if grad_w is None else grad_w.add_(product)
        ctx.save_for_backward(grad_x, grad_w, grad_b)
        accuracy = hits / n
        ctx.mark_non_differentiable(accuracy)
        return loss / n, accuracy

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_loss: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        grad_x, grad_w, grad_b = ctx.saved_tensors
        return grad_x * grad_loss, grad_w * grad_loss, grad_b * grad_loss, None, None
