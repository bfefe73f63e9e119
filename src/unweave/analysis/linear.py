"""Linear readers of activations, fitted: by ridge regression, and by logistic regression."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class LinearProbe:
    """`x @ weight + bias`, in float64."""

    weight: Float[Tensor, "d k"]
    bias: Float[Tensor, " k"]

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        """What the probe reads off `x`."""
        return x.double() @ self.weight + self.bias


def fit_ridge(x: Float[Tensor, "n d"], y: Float[Tensor, "n k"], penalty: float = 1e-4) -> LinearProbe:
    """Least squares with an L2 penalty, relative to the mean variance of the inputs; the bias is free.

    Minimises `|y - x @ weight - bias|² + penalty * n * v * |weight|²`, where `v` is the variance of
    an input, averaged over the `d` of them.
    """
    x, y = x.double(), y.double()
    mean_x, mean_y = x.mean(0), y.mean(0)
    gram = (x - mean_x).T @ (x - mean_x)
    gram.diagonal().add_(penalty * gram.diagonal().mean().clamp_min(1e-12))
    weight = torch.linalg.solve(gram, (x - mean_x).T @ (y - mean_y))
    return LinearProbe(weight, mean_y - mean_x @ weight)


def fit_logistic(
    x: Float[Tensor, "n d"], y: Int[Tensor, " n"], n_classes: int, penalty: float = 1e-3, rounds: int = 200
) -> LinearProbe:
    """Multinomial logistic regression; one column of logits a class.

    Minimises the mean cross-entropy plus `penalty / 2 * |s * weight|²`, where `s` are the standard
    deviations of the inputs: the penalty doesn't care about their units. The bias is free. By
    L-BFGS in float64, from zero; the objective is convex, and with a penalty has one minimum.
    """
    x = x.detach().double()
    mean, scale = x.mean(0), x.std(0, correction=0)
    # An input that never changes can't be told from the bias, and its rounding says nothing.
    scale = torch.where(scale > 1e-9 * x.abs().amax().clamp_min(1e-300), scale, torch.inf)
    inputs, width = (x - mean) / scale, x.shape[1]
    flat = torch.zeros(width * n_classes + n_classes, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS(
        [flat],
        max_iter=rounds,
        tolerance_grad=1e-7,
        tolerance_change=1e-12,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        search.zero_grad()
        weight, bias = flat[: width * n_classes].view(width, n_classes), flat[width * n_classes :]
        loss = F.cross_entropy(inputs @ weight + bias, y) + penalty / 2 * weight.pow(2).sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        search.step(closure)
    fitted = flat.detach()
    weight = fitted[: width * n_classes].view(width, n_classes) / scale[:, None]
    return LinearProbe(weight, fitted[width * n_classes :] - mean @ weight)
