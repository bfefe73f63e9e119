"""Sharpness: the largest eigenvalue of the loss' Hessian, as the optimiser sees it, and the largest that is stable."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from unweave.core.seeds import generator
from unweave.model.transformer import HookedTransformer
from unweave.tasks import Batch, Task

STEPS = 30  # of Lanczos, at most
CLOSE = 0.05  # relative residual at which it is content


class Eigenvalue(NamedTuple):
    """A largest eigenvalue, and a bound on how far it is from a true one."""

    value: float
    residual: float


def edge(lr: float, beta1: float) -> float:
    """The largest curvature at which Adam's steps do not grow: `(2 + 2 β1) / ((1 − β1) lr)`.

    That of gradient descent with momentum as Adam has it (an average), on a quadratic whose
    preconditioner stands still; with β1 = 0 it is gradient descent's `2 / lr`. Cohen et al. (2022),
    "Adaptive Gradient Methods at the Edge of Stability", arXiv:2207.14484.
    """
    return (2.0 + 2.0 * beta1) / ((1.0 - beta1) * lr)


def preconditioner(
    second_moments: Sequence[Tensor], step: int, betas: tuple[float, float], eps: float
) -> list[Tensor]:
    """What Adam divides its averaged gradient by after `step` updates, entry by entry.

    `(1 − β1^t) (sqrt(v / (1 − β2^t)) + eps)`: both bias corrections belong to it (Cohen et al., 2022).
    """
    first, second = (1.0 - beta**step for beta in betas)
    return [first * ((v / second).sqrt() + eps) for v in second_moments]


def sharpness(
    model: HookedTransformer, task: Task, batch: Batch, divided_by: Sequence[Tensor] | None = None
) -> Eigenvalue:
    """The largest eigenvalue of P⁻¹H, where H is the Hessian of the mean loss on `batch`.

    In fp64, on a copy of the model, by Lanczos' method on P^(-1/2) H P^(-1/2), which is symmetric and has
    the same eigenvalues.

    Args:
        divided_by: P's diagonal, one tensor a parameter; None: H itself, for plain gradient descent.
    """
    model = copy.deepcopy(model).double()
    parameters = [p for p in model.parameters() if p.requires_grad]
    batch = Batch(*(part.to(model.W_U.device) for part in batch))
    # The fused kernels can't be differentiated twice.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        loss = task.loss(model(batch.tokens), batch)
        gradients = torch.autograd.grad(loss, parameters, create_graph=True)
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        scale = torch.ones_like(flat)
        if divided_by is not None:
            scale = torch.cat([p.flatten() for p in divided_by]).to(flat).rsqrt()

        def product(vector: Tensor) -> Tensor:
            parts = torch.autograd.grad(flat, parameters, scale * vector, retain_graph=True)
            return scale * torch.cat([part.flatten() for part in parts])

        return largest(product, len(flat), flat.device)


def largest(
    product: Callable[[Tensor], Tensor], size: int, device: torch.device | str = "cpu", steps: int = STEPS
) -> Eigenvalue:
    """The largest (not the largest absolute) eigenvalue of a symmetric matrix that is known by its products.

    Lanczos' method, each new vector made orthogonal to all before it.
    """
    start = torch.randn(size, generator=generator(0, "lanczos"), dtype=torch.float64).to(device)
    basis: list[Float[Tensor, " size"]] = [start / start.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    value, residual = math.nan, math.inf
    for _ in range(min(steps, size)):
        image = product(basis[-1])
        diagonal.append(float(basis[-1] @ image))
        known = torch.stack(basis)
        for _ in range(2):
            image = image - known.T @ (known @ image)
        length = float(image.norm())
        small = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
        off = torch.diag(torch.tensor(beside, dtype=torch.float64), 1) if beside else torch.zeros_like(small)
        values, vectors = torch.linalg.eigh(small + off + off.T)
        value, residual = float(values[-1]), length * abs(float(vectors[-1, -1]))
        if not math.isfinite(value) or residual <= CLOSE * abs(value) or length <= 1e-12 * abs(value):
            break
        beside.append(length)
        basis.append(image / length)
    return Eigenvalue(value, residual)
