"""Which device to use."""

from __future__ import annotations

import os
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from unweave.compat.warned import warn
from unweave.core.log import log

# Set to 1, it allows Apple's devices, on which torch has given wrong numbers before.
ALLOW_MPS = "TRANSFORMERLENS_ALLOW_MPS"
_warned: set[str] = set()


def get_device() -> str:
    """The device "cuda" if there is one, else "cpu"; "mps" only if TRANSFORMERLENS_ALLOW_MPS=1 allows it."""
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        if _mps_is_allowed():
            return "mps"
        log.info("there is an MPS device; %s=1 allows it", ALLOW_MPS)
    return "cpu"


def warn_if_mps(device: str | torch.device) -> None:
    """Warn once where an MPS device is used that TRANSFORMERLENS_ALLOW_MPS doesn't allow.

    torch 2.8 is warned of in any case: its products of tensors that are not contiguous are wrong
    there (pytorch issue 161640).
    """
    if torch.device(device).type != "mps":
        return
    if torch.__version__.startswith("2.8."):
        _once("torch 2.8 gives wrong products on MPS (pytorch issue 161640): use torch 2.9 or later")
    if not _mps_is_allowed():
        _once(
            f"torch has given wrong numbers on MPS before: compare with the CPU; {ALLOW_MPS}=1 ends this warning"
        )


@runtime_checkable
class ModelWithCfg(Protocol):
    """A model with a config, which can be moved."""

    cfg: Any

    def state_dict(self) -> dict[str, Tensor]:
        """Its tensors by name."""
        ...

    def to(self, device_or_dtype: torch.device | str | torch.dtype) -> Any:
        """Move or convert it."""
        ...


def move_to_and_update_config(
    model: Any, device_or_dtype: torch.device | str | torch.dtype, print_details: bool = True
) -> Any:
    """Move a model to a device, or convert it to a dtype, and let its config say so.

    Args:
        print_details: print where it goes.
    """
    if isinstance(device_or_dtype, torch.dtype):
        if hasattr(model.cfg, "dtype"):
            model.cfg.dtype = device_or_dtype
        told = f"Changing model dtype to {device_or_dtype}"
    else:
        warn_if_mps(device_or_dtype)
        # Of a torch.device 3.9 keeps the kind alone; the number matters where there are several.
        model.cfg.device = str(device_or_dtype)
        told = f"Moving model to device:  {model.cfg.device}"
    if print_details:
        print(told)  # noqa: T201 - as print_details says
    # Not the model's own `to`, which may be what called this.
    return nn.Module.to(model, device_or_dtype)  # pyright: ignore[reportArgumentType, reportCallIssue]


def _mps_is_allowed() -> bool:
    return os.environ.get(ALLOW_MPS) == "1"


def _once(message: str) -> None:
    if message not in _warned:
        _warned.add(message)
        warn(message)
