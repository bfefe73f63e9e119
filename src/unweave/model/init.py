"""How weights begin: one table of modes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from unweave.model.config import HookedTransformerConfig

Initialiser = Callable[[Tensor, HookedTransformerConfig, torch.Generator | None], None]


def _normal(weight: Tensor, cfg: HookedTransformerConfig, generator: torch.Generator | None) -> None:
    weight.normal_(0.0, cfg.initializer_range, generator=generator)


INIT_MODES: dict[str, Initialiser] = {"gpt2": _normal}


@torch.no_grad()
def init_weights(module: nn.Module, cfg: HookedTransformerConfig) -> None:
    """Fill every weight matrix (`W_...`) in the order of the parameters; the rest keep their zeros and ones.

    With `cfg.seed` the draws come from a generator of their own on the CPU, so that a seed means
    the same weights on every device and the global random state is left alone.
    """
    fill = INIT_MODES[cfg.init_mode]
    generator = None if cfg.seed is None else torch.Generator().manual_seed(cfg.seed)
    for name, parameter in module.named_parameters():
        if name.rpartition(".")[2].startswith("W_"):
            fill(parameter, cfg, generator)
