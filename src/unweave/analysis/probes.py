"""Linear probes, judged on sequences that they were not fitted on. `unweave.probes` is this module.

`probe` and `sparse_probe` take a model and a site, and compare a probe with what it must be compared
with. The other functions take activations as they are.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.analysis.linear import LinearProbe, fit_logistic, fit_ridge
from unweave.analysis.positions import r_squared
from unweave.analysis.probing import probe
from unweave.analysis.sparse_probes import sparse_probe
from unweave.core.errors import InputError

__all__ = [
    "LinearProbe",
    "fit_logistic",
    "fit_ridge",
    "probe",
    "probe_r2",
    "probe_token",
    "sparse_probe",
]


def probe_r2(x: Float[Tensor, "batch pos d"], y: Float[Tensor, " pos"]) -> float:
    """How much of a quantity that depends on position a linear probe reads, as held-out R squared.

    Fitted on the first half of the sequences, judged on the second. With a fixed token at position
    0, the token tells that position: leave it out (`x[:, 1:]`, `y[1:]`) to probe position alone.

    Raises:
        InputError: for fewer than 4 sequences.
    """
    half = _half(x)
    target = y.to(x.device, torch.float64).expand(len(x), -1)
    reader = fit_ridge(x[:half].flatten(0, 1), target[:half].flatten()[:, None])
    return r_squared(target[half:].flatten(), reader(x[half:].flatten(0, 1)).squeeze(-1))


def probe_token(x: Float[Tensor, "batch pos d"], tokens: Int[Tensor, "batch pos"], d_vocab: int) -> float:
    """The share of held-out positions at which a linear probe names the token (one ridge output a token).

    Fitted on the first half of the sequences, judged on the second, and so sensitive to whether the
    token can be read at all, not to how large its trace is: scaled down, a trace is named as well.

    Raises:
        InputError: for fewer than 4 sequences.
    """
    half = _half(x)
    wanted = torch.nn.functional.one_hot(tokens[:half].flatten(), d_vocab)
    reader = fit_ridge(x[:half].flatten(0, 1), wanted.double())
    named = reader(x[half:].flatten(0, 1)).argmax(-1)
    return (named == tokens[half:].flatten()).double().mean().item()


def _half(x: Float[Tensor, "batch pos d"]) -> int:
    if len(x) < 4:
        raise InputError(
            wanted="at least 4 sequences to probe", got=str(len(x)), remedy="pass more sequences"
        )
    return len(x) // 2
