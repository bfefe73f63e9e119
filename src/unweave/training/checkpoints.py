"""Checkpoints: a model folder with the optimiser's state beside it, there whole or not at all."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from unweave.core.files import folder_atomic, write_json_atomic
from unweave.model.saved import write_files
from unweave.model.transformer import HookedTransformer
from unweave.training.config import TrainConfig


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, the earliest first."""
    return sorted(folder.glob("step-" + 8 * "[0-9]"))


def write_checkpoint(
    folder: Path, model: HookedTransformer, optimizer: torch.optim.Optimizer, config: TrainConfig, step: int
) -> Path:
    """Write `folder/step-NNNNNNNN`, which `unweave.load` opens, after `step` updates."""
    path = folder / f"step-{step:08d}"
    moments = {
        f"{index}.{name}": value.detach().cpu().contiguous()
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    with folder_atomic(path) as part:
        write_files(model, part)
        save_file(moments, part / "optimizer.safetensors")
        write_json_atomic(part / "training.json", {"step": step, "config": config.to_dict()})
    return path
