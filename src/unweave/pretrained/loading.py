"""A model's weights, each allocated once, straight from its checkpoint."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, nn

from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer
from unweave.pretrained.checkpoint import Checkpoint
from unweave.pretrained.family import Family, first_layers
from unweave.pretrained.takes import Take, made_shape

Model = TypeVar("Model", bound=nn.Module)
FLOATS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
# How many problems an error lists.
SHOWN = 8


@dataclass(frozen=True)
class Found:
    """A row of the table, and the tensor's own name in the checkpoint."""

    row: Take
    name: str


def load_weights(
    family: Family,
    cfg: HookedTransformerConfig,
    checkpoint: Checkpoint,
    *,
    device_of: Callable[[str], torch.device],
    n_layers: int | None = None,
    make: Callable[[HookedTransformerConfig], Model] = HookedTransformer.without_weights,
) -> Model:
    """The model of this config with the checkpoint's weights.

    All names and shapes are checked before a tensor is read; then one is read at a time, brought
    into the config's dtype and onto its device. A tensor that needs neither is the file's own memory
    map.

    Args:
        cfg: of the whole model.
        device_of: the device of a parameter or buffer, by name.
        n_layers: open the first layers alone.
        make: the model of a config, without weights.

    Raises:
        InputError: for tensors that are missing, left over, or of the wrong shape, each with its
            file; and for one that can't be read.
    """
    wanted = first_layers(cfg, n_layers)
    model = make(wanted)
    shapes = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    found, placed = _matched(family, cfg, checkpoint, shapes), set[int]()
    for entry in found:
        tensor = checkpoint.read(entry.name)
        settle = _settler(entry.name, checkpoint, wanted.torch_dtype, device_of(entry.row.ours))
        weight = entry.row.of(tensor, settle)
        # Two weights made of one whole tensor must not change together.
        _put(model, entry.row.ours, weight.clone() if weight.data_ptr() in placed else weight)
        placed.add(weight.data_ptr())
    _require_tied(family, wanted, checkpoint)
    for name, buffer in list(model.named_buffers()):
        owner, _, leaf = name.rpartition(".")
        moved = buffer.to(device=device_of(name), dtype=wanted.torch_dtype)
        model.get_submodule(owner).register_buffer(leaf, moved, persistent=False)
    return model


def _matched(
    family: Family, cfg: HookedTransformerConfig, checkpoint: Checkpoint, shapes: dict[str, tuple[int, ...]]
) -> list[Found]:
    """The rows that the model needs; and every tensor of the checkpoint accounted for."""
    names = _short_names(family, checkpoint)
    rows = [_chosen(row, names) for row in family.rows(cfg)]
    needed = [row for row in rows if row.ours in shapes]
    unmapped = shapes.keys() - {row.ours for row in needed}
    if unmapped:
        raise InputError(
            wanted=f"a row for every weight in the table of the adapter {family.name}",
            got=f"none for {_listed(unmapped)}",
            remedy="this is a mistake in the adapter: please report it to its authors",
        )
    problems = [*_missing(needed, names, family), *_misshapen(needed, names, checkpoint, shapes)]
    problems += _left_over(family, cfg, rows, names, checkpoint)
    if problems:
        more = len(problems) - SHOWN
        raise InputError(
            wanted=f"the weights of a {family.name} model of this config",
            got="; ".join(problems[:SHOWN]) + (f"; and {more} more" if more > 0 else ""),
            remedy="see that config.json and the weights are of one model, and whole",
        )
    return [Found(row, names[row.theirs]) for row in needed]


def _short_names(family: Family, checkpoint: Checkpoint) -> dict[str, str]:
    """The checkpoint's names by what they are without the family's prefix."""
    names: dict[str, str] = {}
    for name, place in checkpoint.places.items():
        short = name.removeprefix(family.prefix)
        if short in names:
            raise InputError(
                wanted=f"{short} once in the weights",
                got=f"{names[short]} and {name} in {place}",
                remedy="take the weights of one model",
            )
        names[short] = name
    return names


def _chosen(row: Take, names: dict[str, str]) -> Take:
    """The row, or the one that stands in for it in checkpoints laid out otherwise."""
    while row.theirs not in names and row.or_else is not None:
        row = row.or_else
    return row


def _missing(rows: Sequence[Take], names: dict[str, str], family: Family) -> list[str]:
    gone = dict.fromkeys(row.theirs for row in rows if row.theirs not in names)
    return [f"no tensor {family.prefix if 'lm_head' not in name else ''}{name}" for name in gone]


def _misshapen(
    rows: Sequence[Take], names: dict[str, str], checkpoint: Checkpoint, shapes: dict[str, tuple[int, ...]]
) -> list[str]:
    problems: list[str] = []
    for row in rows:
        if row.theirs not in names:
            continue
        name = names[row.theirs]
        shape = checkpoint.shapes[name]
        try:
            made = made_shape(row, shape)
        except InputError:
            made = None
        if made != shapes[row.ours]:
            problems.append(
                f"{name} of shape {shape} in {checkpoint.places[name]}, which doesn't give {row.ours} of shape "
                f"{shapes[row.ours]}"
            )
    return problems


def _left_over(
    family: Family,
    cfg: HookedTransformerConfig,
    rows: Sequence[Take],
    names: dict[str, str],
    checkpoint: Checkpoint,
) -> list[str]:
    used = {row.theirs for row in rows}
    used |= set(family.tied) if cfg.tie_word_embeddings else set()
    return [
        f"an unknown tensor {name} in {checkpoint.places[name]}"
        for short, name in names.items()
        if short not in used and not any(re.fullmatch(pattern, short) for pattern in family.ignored)
    ]


def _settler(
    name: str, checkpoint: Checkpoint, dtype: torch.dtype, device: torch.device
) -> Callable[[Tensor], Tensor]:
    def settle(part: Tensor) -> Tensor:
        if part.dtype not in FLOATS:
            raise InputError(
                wanted=f"floating-point numbers for {name} in {checkpoint.places[name]}",
                got=str(part.dtype),
                remedy="quantised weights aren't read; open the original model",
            )
        return part.to(device=device, dtype=dtype, copy=checkpoint.shared)

    return settle


def _put(model: nn.Module, name: str, weight: Tensor) -> None:
    owner, _, leaf = name.rpartition(".")
    model.get_submodule(owner).register_parameter(leaf, nn.Parameter(weight))


def _require_tied(family: Family, cfg: HookedTransformerConfig, checkpoint: Checkpoint) -> None:
    """What repeats the embeddings must be equal to them, or the file is of an untied model."""
    if not cfg.tie_word_embeddings:
        return
    names = _short_names(family, checkpoint)
    for copy, original in family.tied.items():
        if copy not in names or original not in names:
            continue
        first, second = checkpoint.read(names[copy]), checkpoint.read(names[original])
        if first.data_ptr() != second.data_ptr() and not torch.equal(first, second):
            raise InputError(
                wanted=f"{names[copy]} in {checkpoint.places[names[copy]]} equal to {names[original]}, since "
                "tie_word_embeddings is true",
                got="another",
                remedy="set tie_word_embeddings to false in config.json if the two were trained apart",
            )


def _listed(names: set[str]) -> str:
    ordered = sorted(names)
    more = len(ordered) - SHOWN
    return ", ".join(ordered[:SHOWN]) + (f" and {more} more" if more > 0 else "")
