"""How weights begin: one table of modes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from unweave.model.config import HookedTransformerConfig


def fan(weight: Tensor) -> tuple[int, int]:
    """How many numbers a weight reads and writes; `[head, d_in, d_out]` writes every head's."""
    if weight.ndim == 3:
        return weight.shape[1], weight.shape[0] * weight.shape[2]
    return weight.shape[0], weight.shape[1]


def mup_spread(name: str, fan_in: int) -> float:
    """1 for tables that are looked up, 1/fan_in for the unembedding, 1/sqrt(fan_in) in between
    (Yang et al., 2022, arXiv:2203.03466, table 8); the optimiser's rates are left to its user.
    """
    part = name.split(".")[0]
    if part in ("embed", "pos_embed", "token_type_embed"):
        return 1.0
    return 1.0 / fan_in if part == "unembed" else 1.0 / math.sqrt(fan_in)


# Distribution, and its standard deviation from the parameter's name, its fan in and out, and
# `initializer_range`. Xavier: Glorot and Bengio (2010). Kaiming: He et al. (2015,
# arXiv:1502.01852), fan in, with the gain of relu.
Spread = Callable[[str, int, int, float], float]
INIT_MODES: dict[str, tuple[str, Spread]] = {
    "gpt2": ("normal", lambda name, fan_in, fan_out, spread: spread),
    "xavier_uniform": (
        "uniform",
        lambda name, fan_in, fan_out, gain: gain * math.sqrt(2 / (fan_in + fan_out)),
    ),
    "xavier_normal": ("normal", lambda name, fan_in, fan_out, gain: gain * math.sqrt(2 / (fan_in + fan_out))),
    "kaiming_uniform": ("uniform", lambda name, fan_in, fan_out, gain: gain * math.sqrt(2 / fan_in)),
    "kaiming_normal": ("normal", lambda name, fan_in, fan_out, gain: gain * math.sqrt(2 / fan_in)),
    "muP": ("normal", lambda name, fan_in, fan_out, gain: gain * mup_spread(name, fan_in)),
}


@torch.no_grad()
def init_weights(
    module: nn.Module,
    cfg: HookedTransformerConfig,
    parameters: Iterable[tuple[str, nn.Parameter]] | None = None,
) -> None:
    """Fill every weight matrix, in the order of `parameters`; the rest keep their zeros and ones.

    `parameters` are the module's own, by name; None takes them as they come.

    With `cfg.seed` the draws come from a generator of their own on the CPU, so that a seed means
    the same weights on every device and the global random state is left alone.
    """
    distribution, spread = INIT_MODES[cfg.init_mode]
    generator = None if cfg.seed is None else torch.Generator().manual_seed(cfg.seed)
    for name, parameter in module.named_parameters() if parameters is None else parameters:
        if not _is_weight(name):
            continue
        std = spread(name, *fan(parameter), cfg.initializer_range)
        # On the CPU and in the default dtype, wherever and whatever the model is by now.
        drawn = torch.empty(parameter.shape, device="cpu")
        if distribution == "normal":
            drawn.normal_(0.0, std, generator=generator)
        else:
            bound = math.sqrt(3.0) * std
            drawn.uniform_(-bound, bound, generator=generator)
        parameter.copy_(drawn)


def _is_weight(name: str) -> bool:
    # Grouped keys' and values' are `_W_K` and `_W_V`; BERT's heads and T5's biases have no letter of their own.
    short = name.rpartition(".")[2].lstrip("_")
    return short == "W" or short.startswith("W_") or name.endswith("rel_pos_bias.weight")
