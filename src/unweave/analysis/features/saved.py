"""Dictionaries on disk, in SAELens' format: cfg.json and sae_weights.safetensors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from unweave import __version__
from unweave.analysis.features import layouts
from unweave.analysis.features.dictionary import Dictionary
from unweave.core.errors import InputError
from unweave.core.files import folder_atomic
from unweave.core.log import log

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"


def load(
    folder: str | Path,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    ignore: Sequence[str] = (),
) -> Dictionary:
    """Open a folder that SAELens wrote (version 6, or one before), or that `save` did.

    A "batchtopk" that was saved in training is turned into what SAELens runs it as afterwards: a
    JumpReLU whose thresholds are its one.

    Args:
        dtype: of the weights; None is the file's config's.
        ignore: config values that you know change nothing.

    Raises:
        InputError: for a file that is missing or torn, or a config value that can't be honoured.
    """
    folder = Path(folder)
    values, weights = _held(folder)
    config, batch_k = layouts.read(values, str(folder / CONFIG), ignore)
    rescales = config.rescale_acts_by_decoder_norm
    if batch_k:
        config = replace(config, rescale_acts_by_decoder_norm=False)
        weights["threshold"] = torch.full((config.d_sae,), weights.pop("topk_threshold").item())
    _fold_finetuning(weights, values, folder)
    if dtype is not None:
        config = replace(config, dtype=str(dtype).removeprefix("torch."))
    dictionary = Dictionary(config, weights)
    if batch_k and rescales:
        # Its one threshold is meant for features scaled by their decoders' norms.
        threshold = dictionary.threshold.detach().clone()
        dictionary.fold_decoder_norms()
        with torch.no_grad():
            dictionary.threshold.copy_(threshold)
    for text in dictionary.warnings:
        log.warning("%s: %s", folder, text)
    return dictionary.to(device)


def save(dictionary: Dictionary, folder: str | Path) -> None:
    """Write a folder that `load` and SAELens 6 open; one of that name is replaced.

    Raises:
        InputError: if the path, or something above it, is a file.
    """
    weights = {name: weight.detach().cpu().contiguous() for name, weight in dictionary.named_parameters()}
    with folder_atomic(Path(folder)) as unfinished:
        save_file(weights, unfinished / WEIGHTS)
        text = json.dumps(layouts.written(dictionary.config, __version__), indent=1)
        (unfinished / CONFIG).write_text(text + "\n", encoding="utf-8")


def _held(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        values = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        weights = load_file(folder / WEIGHTS)
    except (OSError, json.JSONDecodeError, SafetensorError) as error:
        raise InputError(
            wanted=f"{CONFIG} and {WEIGHTS} in {folder}, as SAELens writes them",
            got=str(error),
            remedy="name the folder of one dictionary",
        ) from error
    return values, weights


def _fold_finetuning(weights: dict[str, Tensor], values: dict[str, Any], folder: Path) -> None:
    """A factor for each feature, which some versions before 6 kept beside the decoder, into the decoder."""
    factor = weights.pop("scaling_factor", None)
    if factor is None or torch.allclose(factor, torch.ones_like(factor)):
        return
    if not values.get("finetuning_scaling_factor"):
        raise InputError(
            wanted=f"finetuning_scaling_factor in {folder / CONFIG} for the scaling_factor of its weights",
            got="none",
            remedy="take both files from one place",
        )
    weights["W_dec"] = weights["W_dec"] * factor[:, None]
