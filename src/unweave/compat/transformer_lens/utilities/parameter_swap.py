"""Another value in a parameter, for a while."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from unweave.core.errors import InputError


@contextmanager
def temporarily_swap_parameter(parameter: nn.Parameter, new_value: Tensor) -> Generator[nn.Parameter]:
    """Within the block the parameter holds `new_value`; after it, its own again, whatever happens.

    It stays the same object, so that hooks and optimisers keep what they have.

    Raises:
        InputError: for another shape or dtype.
    """
    if (new_value.shape, new_value.dtype) != (parameter.shape, parameter.dtype):
        raise InputError(
            wanted=f"shape {tuple(parameter.shape)} and {parameter.dtype}, the parameter's own",
            got=f"{tuple(new_value.shape)} and {new_value.dtype}",
            remedy="convert the value first",
        )
    before = parameter.detach().clone()
    try:
        with torch.no_grad():
            parameter.copy_(new_value)
        yield parameter
    finally:
        with torch.no_grad():
            parameter.copy_(before)
