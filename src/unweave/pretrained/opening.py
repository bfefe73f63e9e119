"""Opening a pretrained model: its files, its config, its weights, its tokenizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from unweave.core.errors import InputError
from unweave.core.recorder import require_device
from unweave.model.config import DTYPES, HookedTransformerConfig
from unweave.model.placement import Placement
from unweave.model.transformer import HookedTransformer
from unweave.model.weights import process_weights
from unweave.pretrained.checkpoint import InMemory, open_checkpoint
from unweave.pretrained.families import family_of
from unweave.pretrained.family import first_layers
from unweave.pretrained.files import Files
from unweave.pretrained.hub import Hub, files_at
from unweave.pretrained.loading import load_weights
from unweave.pretrained.names import checkpoint_revision, hub_id
from unweave.pretrained.tokenizers import attach_tokenizer, tokenizer_of

# What else may be passed on to the hub, beside `revision`.
FOR_THE_HUB = ("token", "cache_dir", "local_files_only")


def from_pretrained(
    path_or_id: str | Path | None = None,
    fold_ln: bool = False,
    center_writing_weights: bool = False,
    center_unembed: bool = False,
    refactor_factored_attn_matrices: bool = False,
    checkpoint_index: int | None = None,
    checkpoint_value: int | None = None,
    checkpoint_label: int | None = None,
    hf_model: nn.Module | None = None,
    device: str | torch.device | None = None,
    n_devices: int = 1,
    tokenizer: Any = None,
    move_to_device: bool = True,
    fold_value_biases: bool = False,
    default_prepend_bos: bool | None = None,
    default_padding_side: str | None = None,
    dtype: str | torch.dtype = "float32",
    first_n_layers: int | None = None,
    n_ctx: int | None = None,
    *,
    revision: str | None = None,
    device_map: str | Mapping[str, Any] | None = None,
    allow_pickle: bool = False,
    ignore_config: Sequence[str] = (),
    **others: Any,
) -> HookedTransformer:
    """A model of Hugging Face's, as a HookedTransformer with the same logits.

    Weights are as they were trained, unless a step is asked for; a step that would change what the
    model computes is refused.

    Args:
        path_or_id: a folder that `save_pretrained` wrote, a hub id, or a short name such as
            "gpt2-small" or "pythia-70m"; or a folder that `model.save` wrote.
        fold_ln, center_writing_weights, center_unembed, refactor_factored_attn_matrices,
            fold_value_biases: see `unweave.model.weights.process_weights`.
        checkpoint_index, checkpoint_value: of a suite with training checkpoints, which one: its
            number in the list, or its step. `checkpoint_label` is another name of the latter.
        hf_model: a transformers model that is loaded already; its config and weights are taken, the
            latter copied.
        device: "cpu", "cuda", "cuda:1", "mps"; None means CUDA if there is one, else MPS if there is
            one, else the CPU.
        n_devices: spread the blocks evenly over so many devices of that kind.
        tokenizer: one that is loaded already; None loads the model's own, if it has one.
        move_to_device: False leaves the model on the CPU.
        default_prepend_bos, default_padding_side: how text is made into tokens.
        dtype: of the weights: "float32", "bfloat16", "float16", "float64", the torch dtype, or "auto"
            for that of the checkpoint.
        first_n_layers: open the first layers alone.
        n_ctx: the longest sequence, where it shall be shorter than the model's.
        revision: a branch, a tag or a commit of the hub.
        device_map: the device of each part, as {"embed": "cuda:0", "blocks.0": "cuda:0", ...} with ""
            for the rest; or "auto" for all CUDA devices.
        allow_pickle: read pickled weights where there are no others, with torch's weights_only.
        ignore_config: names in config.json that you know to change nothing.
        others: `token`, `cache_dir`, `local_files_only`, for the hub; `torch_dtype`, for `dtype`;
            `model_name`, TransformerLens' name of `path_or_id`.

    Raises:
        InputError: for a family, or a value of its config, that can't be honoured; for weights that
            are missing, left over, broken or of the wrong shape; for files that can't be had.
    """
    dtype = others.pop("torch_dtype", dtype)
    if path_or_id is None:
        path_or_id = others.pop("model_name", None)
    refuse_unknown(others)
    steps = {
        "fold_ln": fold_ln,
        "center_writing_weights": center_writing_weights,
        "center_unembed": center_unembed,
        "fold_value_biases": fold_value_biases,
        "refactor_factored_attn_matrices": refactor_factored_attn_matrices,
    }
    if checkpoint_label is not None:
        if checkpoint_value is not None:
            raise InputError(
                wanted="checkpoint_value or checkpoint_label", got="both", remedy="leave one of them out"
            )
        checkpoint_value = checkpoint_label
    name = "" if path_or_id is None else str(path_or_id)
    files = files_of(path_or_id, hf_model, revision, checkpoint_index, checkpoint_value, others)
    values, where = config_values(files, hf_model)
    if values.get("format") == "unweave-model":
        raise InputError(
            wanted="a transformers model",
            got=f"{files}, a model that unweave saved",
            remedy=f"open it with unweave.load({name!r})",
        )
    family = family_of(values, where)
    if family.encoder:
        raise InputError(
            wanted="a decoder for HookedTransformer.from_pretrained",
            got=f"{where}, which is of the family {family.name}: encoders",
            remedy="open it with unweave.HookedEncoder.from_pretrained(...)",
        )
    chosen = "cpu" if not move_to_device else chosen_device(device, device_map)
    cfg = family.read_config(
        values,
        where,
        ignore=ignore_config,
        model_name=name.rpartition("/")[2] or family.name,
        dtype=dtype_name(dtype, values),
        device=chosen,
    )
    placement = _placement(first_layers(cfg, first_n_layers), chosen, n_devices, device_map, move_to_device)
    checkpoint = (
        open_checkpoint(required(files), allow_pickle)
        if hf_model is None
        else InMemory(hf_model.state_dict(), where)
    )
    # Folding and centring work on one device.
    apart = None if any(steps.values()) else placement
    target = (lambda _: torch.device(chosen)) if apart is None else apart.device_of
    model = load_weights(family, cfg, checkpoint, device_of=target, n_layers=first_n_layers)
    if n_ctx is not None:
        _shorten(model, n_ctx)
    if any(steps.values()):
        model = process_weights(model, **steps)
    if placement is not None:
        placement.move(model)
        model.placement, model.cfg.device = placement, str(placement.first)
    if tokenizer is None and files is not None:
        tokenizer = tokenizer_of(files)
    attach_tokenizer(model, tokenizer, default_prepend_bos, default_padding_side)
    return model


def files_of(
    path_or_id: str | Path | None,
    hf_model: nn.Module | None,
    revision: str | None,
    index: int | None,
    value: int | None,
    others: Mapping[str, Any],
) -> Files | None:
    """The folder, or the hub's files; None where there is only a model that is loaded already."""
    if path_or_id is None:
        if hf_model is None:
            raise InputError(
                wanted="a folder, a hub id, or hf_model=",
                got="none of them",
                remedy="name a model, as 'gpt2'",
            )
        return None
    if index is None and value is None:
        return files_at(path_or_id, revision, **others)
    if revision is not None:
        raise InputError(
            wanted="revision, or a training checkpoint",
            got="both",
            remedy="leave one of them out: a checkpoint is a revision",
        )
    repo = hub_id(str(path_or_id))
    return Hub(repo, checkpoint_revision(repo, index, value), **others)


def required(files: Files | None) -> Files:
    """The files, which there are wherever there is no hf_model."""
    assert files is not None, "without hf_model there are files"
    return files


def refuse_unknown(others: Mapping[str, Any]) -> None:
    """Raise InputError for an argument that nothing takes."""
    for name in others:
        if name not in FOR_THE_HUB:
            raise InputError(
                wanted="an argument of from_pretrained",
                got=repr(name),
                remedy=f"leave it out; passed on to the hub are {', '.join(FOR_THE_HUB)}",
            )


def config_values(files: Files | None, hf_model: nn.Module | None) -> tuple[dict[str, Any], str]:
    """The config as JSON values, and its name for errors."""
    if hf_model is None:
        files = required(files)
        return files.config(), f"config.json of {files}"
    config: Any = getattr(hf_model, "config", None)
    if not hasattr(config, "to_dict"):
        raise InputError(
            wanted="a transformers model in hf_model",
            got=type(hf_model).__name__,
            remedy="pass any other module to unweave.wrap()",
        )
    # A model that was built, and not loaded, has no architectures in its config.
    values = {**config.to_dict(), "architectures": [type(hf_model).__name__]}
    return values, f"the config of {type(hf_model).__name__}"


def chosen_device(device: str | torch.device | None, device_map: object) -> str:
    """The device asked for, or the best there is; "cpu" with a device map, which names others."""
    if device_map is not None:
        if device is not None:
            raise InputError(wanted="device or device_map", got="both", remedy="leave one of them out")
        return "cpu"
    if device is None:
        if torch.cuda.is_available():
            return "cuda"
        return "mps" if torch.backends.mps.is_available() else "cpu"
    require_device(str(device))
    return str(device)


def dtype_name(dtype: str | torch.dtype, values: Mapping[str, Any]) -> str:
    """The dtype's name as a config has it."""
    if dtype == "auto":
        dtype = values.get("dtype") or values.get("torch_dtype") or "float32"
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise InputError(
            wanted=f"dtype to be one of {', '.join(DTYPES)}, or auto",
            got=repr(dtype),
            remedy="leave it out for float32",
        )
    return name


def _placement(
    cfg: HookedTransformerConfig,
    device: str,
    n_devices: int,
    device_map: str | Mapping[str, Any] | None,
    move_to_device: bool,
) -> Placement | None:
    """Where the parts go; None if all go to one device."""
    if device_map is None and n_devices == 1:
        return None
    if device_map is not None and n_devices != 1:
        raise InputError(wanted="device_map or n_devices", got="both", remedy="leave one of them out")
    if not move_to_device:
        raise InputError(
            wanted="move_to_device=True with device_map or n_devices", got="False", remedy="leave it out"
        )
    if isinstance(device_map, Mapping):
        placement = Placement.from_map(cfg, device_map)
    elif device_map in (None, "auto"):
        there = torch.cuda.device_count()
        count = there if device_map == "auto" else n_devices
        kind = torch.device("cuda" if device_map == "auto" else device).type
        if kind != "cuda" or not 1 <= count <= there:
            raise InputError(
                wanted=f"{max(count, 1)} CUDA devices to spread the model over",
                got=f"{there}" + ("" if kind == "cuda" else f", and device {device!r}"),
                remedy="leave device_map and n_devices out for a model on one device",
            )
        placement = Placement.spread(cfg, [torch.device("cuda", index) for index in range(count)])
    else:
        raise InputError(
            wanted="device_map 'auto', or a table of parts and devices",
            got=repr(device_map),
            remedy="leave it out for a model on one device",
        )
    for used in placement.devices:
        require_device(str(used))
    return placement


def _shorten(model: HookedTransformer, n_ctx: int) -> None:
    """Let the model read sequences of `n_ctx` at most."""
    if not 1 <= n_ctx <= model.cfg.n_ctx:
        raise InputError(
            wanted=f"n_ctx from 1 to {model.cfg.n_ctx}, the model's own",
            got=str(n_ctx),
            remedy="leave it out",
        )
    table: Any = getattr(getattr(model, "pos_embed", None), "W_pos", None)
    if table is not None:
        model.pos_embed.W_pos = nn.Parameter(table.detach()[:n_ctx].clone())
    model.cfg.n_ctx = n_ctx
