"""Checkpoints: a model folder with all that going on needs beside it, there whole or not at all."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.files import folder_atomic, write_json_atomic
from unweave.model.saved import WEIGHTS, write_files
from unweave.model.transformer import HookedTransformer
from unweave.training.config import TrainConfig
from unweave.training.surroundings import Surroundings

OPTIMIZER, RANDOM, TRAINING, HASHES = (
    "optimizer.safetensors",
    "random.safetensors",
    "training.json",
    "hashes.json",
)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's folder that was found whole: every file's hash is what was written down.

    Args:
        step: updates that were done.
        config: of the run, as JSON values.
        surroundings: what else decides the numbers: see `Surroundings`.
    """

    path: Path
    step: int
    config: Mapping[str, Any]
    surroundings: Surroundings

    @classmethod
    def opened(cls, path: Path) -> Checkpoint:
        """The checkpoint in this folder.

        Raises:
            InputError: if a file is missing, cut short or changed.
        """
        try:
            hashes = json.loads((path / HASHES).read_text(encoding="utf-8"))
            wrong = [name for name, digest in hashes.items() if _hash(path / name) != digest]
            if not wrong:
                head = json.loads((path / TRAINING).read_text(encoding="utf-8"))
                return cls(path, head["step"], head["config"], Surroundings(**head["surroundings"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            wrong = [str(error)]
        raise InputError(
            wanted=f"a whole checkpoint in {path}",
            got=f"{', '.join(wrong)} missing, cut short or changed",
            remedy="remove that folder to go on from the checkpoint before it, or copy it again",
        )

    def restore(self, model: HookedTransformer, optimizer: torch.optim.Optimizer) -> None:
        """Put weights, the optimiser's state and the random state back.

        Values are copied into tensors that are there already, or made by torch: those that lie in a
        file's memory are aligned otherwise, and products of them may round otherwise.

        Raises:
            InputError: if the model is not the one that was saved.
        """
        _fill(model, load_file(self.path / WEIGHTS), self.path)
        tensors = load_file(self.path / OPTIMIZER)
        state: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            index, _, name = key.partition(".")
            state.setdefault(int(index), {})[name] = value.clone()
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
        random = load_file(self.path / RANDOM)
        torch.random.set_rng_state(random.pop("cpu"))
        for name, value in random.items():
            torch.cuda.set_rng_state(value, name)


def list_checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, the earliest first."""
    return sorted(folder.glob("step-" + 8 * "[0-9]"))


def write_checkpoint(
    folder: Path,
    model: HookedTransformer,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    step: int,
    surroundings: Surroundings,
) -> Path:
    """Write `folder/step-NNNNNNNN`, which `unweave.load` opens, after `step` updates.

    Raises:
        OSError: if it can't be written, on a full disk say; those before it are as they were.
    """
    path = folder / f"step-{step:08d}"
    moments = {
        f"{index}.{name}": value.detach().cpu().contiguous()
        for index, state in optimizer.state_dict()["state"].items()
        for name, value in state.items()
    }
    random = {"cpu": torch.random.get_rng_state()}
    if torch.cuda.is_available():
        random |= {f"cuda:{n}": torch.cuda.get_rng_state(n) for n in range(torch.cuda.device_count())}
    try:
        with folder_atomic(path) as part:
            write_files(model, part)
            save_file(moments, part / OPTIMIZER)
            save_file(random, part / RANDOM)
            head = {"step": step, "config": config.to_dict(), "surroundings": surroundings.to_dict()}
            write_json_atomic(part / TRAINING, head)
            write_json_atomic(part / HASHES, {file.name: _hash(file) for file in sorted(part.iterdir())})
    except SafetensorError as error:
        # Its own kind of error, for what the system says of the disk.
        raise OSError(f"{path} could not be written: {error}") from error
    return path


def _fill(model: HookedTransformer, tensors: Mapping[str, Tensor], path: Path) -> None:
    own = model.state_dict()
    if {name: t.shape for name, t in own.items()} != {name: t.shape for name, t in tensors.items()}:
        raise InputError(
            wanted=f"the model that was saved in {path}",
            got="one with other weights",
            remedy="build it with the config beside them",
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
