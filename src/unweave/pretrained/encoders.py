"""Opening a pretrained encoder, by the loader that opens decoders."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unweave.core.errors import InputError
from unweave.model.encoder import HEADS, HookedEncoder
from unweave.pretrained.checkpoint import Checkpoint, InMemory, open_checkpoint
from unweave.pretrained.families import family_of
from unweave.pretrained.family import Family
from unweave.pretrained.loading import load_weights
from unweave.pretrained.opening import (
    chosen_device,
    config_values,
    dtype_name,
    files_of,
    refuse_unknown,
    required,
)
from unweave.pretrained.tokenizers import tokenizer_of


def encoder_from_pretrained(
    path_or_id: str | Path | None = None,
    checkpoint_index: int | None = None,
    checkpoint_value: int | None = None,
    hf_model: nn.Module | None = None,
    device: str | torch.device | None = None,
    tokenizer: Any = None,
    move_to_device: bool = True,
    dtype: str | torch.dtype = "float32",
    first_n_layers: int | None = None,
    *,
    revision: str | None = None,
    allow_pickle: bool = False,
    ignore_config: Sequence[str] = (),
    **others: Any,
) -> HookedEncoder:
    """A BERT of Hugging Face's, as a HookedEncoder with the same outputs.

    It has the heads that the checkpoint has; a run that needs another raises. (TransformerLens 3.9
    gives such a head random weights.) `model.tokenizer` is the model's own, or the one given.

    Args:
        path_or_id, hf_model, device, move_to_device, dtype, first_n_layers, revision, allow_pickle,
            ignore_config, others: as `unweave.pretrained.opening.from_pretrained` takes them.
        checkpoint_index, checkpoint_value: no encoder has training checkpoints; refused.

    Raises:
        InputError: as `from_pretrained`; and for a decoder.
    """
    dtype = others.pop("torch_dtype", dtype)
    if path_or_id is None:
        path_or_id = others.pop("model_name", None)
    refuse_unknown(others)
    files = files_of(path_or_id, hf_model, revision, checkpoint_index, checkpoint_value, others)
    values, where = config_values(files, hf_model)
    family = family_of(values, where)
    if not family.encoder:
        raise InputError(
            wanted="an encoder for HookedEncoder.from_pretrained",
            got=f"{where}, which is of the family {family.name}: decoders",
            remedy="open it with unweave.HookedTransformer.from_pretrained(...)",
        )
    name = "" if path_or_id is None else str(path_or_id)
    cfg = family.read_config(
        values,
        where,
        ignore=ignore_config,
        model_name=name.rpartition("/")[2] or family.name,
        dtype=dtype_name(dtype, values),
        device="cpu" if not move_to_device else chosen_device(device, None),
    )
    checkpoint = (
        open_checkpoint(required(files), allow_pickle)
        if hf_model is None
        else InMemory(hf_model.state_dict(), where)
    )
    model = load_weights(
        family,
        cfg,
        checkpoint,
        device_of=lambda _: torch.device(str(cfg.device)),
        n_layers=first_n_layers,
        make=partial(HookedEncoder.without_weights, heads=heads_of(family, checkpoint, cfg)),
    )
    model.tokenizer = tokenizer
    if tokenizer is None and files is not None:
        model.tokenizer = tokenizer_of(files)
    return model


def heads_of(family: Family, checkpoint: Checkpoint, cfg: Any) -> tuple[str, ...]:
    """The heads of which the checkpoint has a tensor; one that has only part of a head is refused later."""
    there = {name.removeprefix(family.prefix) for name in checkpoint.places}
    rows = [row for row in family.rows(cfg) if row.theirs in there]
    return tuple(head for head in HEADS if any(row.ours.startswith(f"{head}.") for row in rows))
