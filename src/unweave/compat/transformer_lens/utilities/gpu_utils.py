"""Memory of the GPU."""

from __future__ import annotations

import torch


def print_gpu_mem(step_name: str = "") -> None:
    """Print how many GiB of CUDA memory are allocated.

    3.9 divides by 2e30, where 2**30 is meant, and so prints 0.0 always.
    """
    held = torch.cuda.memory_allocated() / 2**30
    print(f"{step_name} ~ {held:.2f} GiB allocated on GPU.")  # noqa: T201 - printing is what it is for
