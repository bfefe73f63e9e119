"""What decides a run's last bits beside its config: threads, processes, device and versions."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch

from unweave.core.errors import InputError
from unweave.training.processes import Processes

REMEDIES = {
    "threads": "call torch.set_num_threads({0}), or set OMP_NUM_THREADS={0}",
    "processes": "start as many: torchrun --nproc-per-node {0}",
    "members": "train {0} at once: train_ensemble, unweave train --seeds {0}",
    "device": "put the model on {0}",
    "torch": "install torch {0}",
    "cpu": "go on on the same machine, or set ATEN_CPU_CAPABILITY",
}


@dataclass(frozen=True)
class Surroundings:
    """Where a run goes on.

    Args:
        threads: that share a product: its sum is then added up in another order.
        processes: that share a batch.
        device: the model's.
        torch: its version.
        cpu: the instructions that torch chooses its code by.
        members: of the ensemble that is trained at once; 1: a run by itself.
    """

    threads: int
    processes: int
    device: str
    torch: str
    cpu: str
    members: int = 1

    @classmethod
    def here(cls, device: torch.device, processes: Processes, members: int = 1) -> Surroundings:
        """Those of this process."""
        capability = torch.backends.cpu.get_cpu_capability()
        return cls(
            torch.get_num_threads(), processes.count, device.type, torch.__version__, capability, members
        )

    def require_same(self, before: Surroundings) -> None:
        """Refuse to go on where the numbers could be others.

        Raises:
            InputError: naming the first difference.
        """
        for name, remedy in REMEDIES.items():
            was, now = getattr(before, name), getattr(self, name)
            if was != now:
                raise InputError(
                    wanted=f"{name} {was}, with which the run was begun, so that it goes on to the bit",
                    got=f"{name} {now}",
                    remedy=f"{remedy.format(was)}; or go on with other roundings: exact=False, --inexact",
                )

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return asdict(self)
