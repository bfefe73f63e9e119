"""Biases that a config may switch off, one by one."""

from __future__ import annotations

import torch
from torch import nn

from unweave.model.config import HookedTransformerConfig


def add_bias(
    module: nn.Module, cfg: HookedTransformerConfig, name: str, shape: tuple[int, ...], prefix: str = ""
) -> None:
    """Give `module` the bias `prefix + name`, zero: a parameter, or, switched off, a fixed buffer.

    A buffer, and not nothing, so that whoever reads biases reads the zeros that the model adds;
    it is neither trained nor saved. It begins on the CPU, where a model without weights has it too.
    """
    if name in cfg.without_biases:
        module.register_buffer(prefix + name, torch.zeros(shape, device="cpu"), persistent=False)
    else:
        module.register_parameter(prefix + name, nn.Parameter(torch.zeros(shape)))
