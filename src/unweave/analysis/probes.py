"""Linear probes by ridge regression, judged on sequences that they were not fitted on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.analysis.positions import r_squared
from unweave.core.errors import InputError


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


def probe_r2(x: Float[Tensor, "batch pos d"], y: Float[Tensor, " pos"]) -> float:
    """How much of a quantity that depends on position a linear probe reads, as held-out R squared.

    Fitted on the first half of the sequences, judged on the second. With a fixed token at position
    0, the token tells that position: leave it out (`x[:, 1:]`, `y[1:]`) to probe position alone.

    Raises:
        InputError: for fewer than 4 sequences.
    """
    half = _half(x)
    target = y.to(x.device, torch.float64).expand(len(x), -1)
    probe = fit_ridge(x[:half].flatten(0, 1), target[:half].flatten()[:, None])
    return r_squared(target[half:].flatten(), probe(x[half:].flatten(0, 1)).squeeze(-1))


def probe_token(x: Float[Tensor, "batch pos d"], tokens: Int[Tensor, "batch pos"], d_vocab: int) -> float:
    """The share of held-out positions at which a linear probe names the token (one ridge output a token).

    Fitted on the first half of the sequences, judged on the second, and so sensitive to whether the
    token can be read at all, not to how large its trace is: scaled down, a trace is named as well.

    Raises:
        InputError: for fewer than 4 sequences.
    """
    half = _half(x)
    wanted = torch.nn.functional.one_hot(tokens[:half].flatten(), d_vocab)
    probe = fit_ridge(x[:half].flatten(0, 1), wanted.double())
    named = probe(x[half:].flatten(0, 1)).argmax(-1)
    return (named == tokens[half:].flatten()).double().mean().item()


def _half(x: Float[Tensor, "batch pos d"]) -> int:
    if len(x) < 4:
        raise InputError(
            wanted="at least 4 sequences to probe", got=str(len(x)), remedy="pass more sequences"
        )
    return len(x) // 2
