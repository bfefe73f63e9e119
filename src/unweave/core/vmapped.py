"""Whether a tensor is one of many that `torch.func.vmap` runs at once."""

from __future__ import annotations

import torch
from torch import Tensor

# torch.func has no public question for it; these have been there since torch 2.0.
_functorch = torch._C._functorch  # pyright: ignore[reportPrivateUsage, reportAttributeAccessIssue]


def is_vmapped(tensor: Tensor) -> bool:
    """Whether `vmap` gave this tensor, so that its values can't be looked at one by one.

    Under `vmap(grad(f))` and the like, where it is wrapped more than once, too; not while torch
    compiles, which has its own way with batches.
    """
    if torch.compiler.is_compiling():
        return False
    while _functorch.is_functorch_wrapped_tensor(tensor):
        if _functorch.is_batchedtensor(tensor):
            return True
        tensor = _functorch.get_unwrapped(tensor)
    return False
