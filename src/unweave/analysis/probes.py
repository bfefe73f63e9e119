"""Linear probes by ridge regression, judged on sequences that they were not fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.core.errors import InputError


@dataclass(frozen=True)
class LinearProbe:
    """`x @ weight + bias`."""

    weight: Float[Tensor, "d k"]
    bias: Float[Tensor, " k"]

    def __call__(self, x: Float[Tensor, "n d"]) -> Float[Tensor, "n k"]:
        return x.double() @ self.weight + self.bias


def fit_ridge(x: Float[Tensor, "n d"], y: Float[Tensor, "n k"], penalty: float = 1e-4) -> LinearProbe:
    """Least squares with an L2 penalty, relative to the mean variance of the inputs; the bias is free."""
    x, y = x.double(), y.double()
    mean_x, mean_y = x.mean(0), y.mean(0)
    gram = (x - mean_x).T @ (x - mean_x)
    gram.diagonal().add_(penalty * gram.diagonal().mean().clamp_min(1e-12))
    weight = torch.linalg.solve(gram, (x - mean_x).T @ (y - mean_y))
    return LinearProbe(weight, mean_y - mean_x @ weight)


def _split(n: int) -> int:
    if n < 4:
        raise InputError(wanted="at least 4 sequences to probe", got=str(n), remedy="pass more sequences")
    return n // 2


def probe_r2(x: Float[Tensor, "batch pos d"], y: Float[Tensor, " pos"]) -> float:
    """How much of a quantity that depends on position a linear probe reads, as held-out R squared.

    Fitted on the first half of the sequences, judged on the second.
    """
    half = _split(len(x))
    target = y.double().expand(len(x), -1)[..., None]
    probe = fit_ridge(x[:half].flatten(0, 1), target[:half].flatten(0, 1))
    residual = target[half:].flatten(0, 1) - probe(x[half:].flatten(0, 1))
    spread = target[half:].flatten(0, 1) - target[half:].mean()
    return (1.0 - residual.pow(2).sum() / spread.pow(2).sum()).item()


def probe_token(x: Float[Tensor, "batch pos d"], tokens: Int[Tensor, "batch pos"], d_vocab: int) -> float:
    """The share of held-out positions at which a linear probe names the token (one ridge output a token)."""
    half = _split(len(x))
    wanted = torch.nn.functional.one_hot(tokens[:half].flatten(), d_vocab)
    probe = fit_ridge(x[:half].flatten(0, 1), wanted.double())
    named = probe(x[half:].flatten(0, 1)).argmax(-1)
    return (named == tokens[half:].flatten()).double().mean().item()
