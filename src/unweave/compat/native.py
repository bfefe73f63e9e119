"""Opening a model in TransformerLens' own format: a `config.json` of its fields, and pickled weights under its names.

So published are NeelNanda's toy models (`solu-1l`, `gelu-4l`, `attn-only-2l`) and others.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unweave.compat.native_names import NATIVE, native_id
from unweave.compat.processing import processed
from unweave.compat.state import as_ours, min_gpt, old_solu, with_defaults
from unweave.core.errors import InputError
from unweave.core.recorder import require_device
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer
from unweave.pretrained.files import Files, Folder
from unweave.pretrained.hub import Hub, files_at
from unweave.pretrained.opening import chosen_device, dtype_name
from unweave.pretrained.tokenizers import attach_tokenizer, load_tokenizer

WEIGHTS = (".pth", ".pt")
# Fields of a whole config of TransformerLens, which a description of a training run has not.
WHOLE = ("d_vocab_out", "attn_scale", "initializer_range")


def is_native(path_or_id: str | Path) -> bool:
    """Whether this names a model in TransformerLens' own format: by its name on the hub, or by the folder's config."""
    folder = Path(path_or_id).expanduser()
    if not folder.is_dir():
        return native_id(str(path_or_id)) in NATIVE
    return (folder / "config.json").is_file() and describes_native(Folder(folder).config())


def describes_native(values: Mapping[str, Any]) -> bool:
    """Whether these are the fields of a config of TransformerLens', and not of transformers or Unweave."""
    return {"d_model", "n_layers", "d_head"} <= values.keys() and not {"model_type", "format"} & values.keys()


def native_from_pretrained(
    path_or_id: str | Path,
    *,
    checkpoint_index: int | None = None,
    checkpoint_value: int | None = None,
    device: str | torch.device | None = None,
    tokenizer: Any = None,
    move_to_device: bool = True,
    default_prepend_bos: bool | None = None,
    default_padding_side: str | None = None,
    dtype: str | torch.dtype = "float32",
    first_n_layers: int | None = None,
    revision: str | None = None,
    for_the_hub: Mapping[str, Any] | None = None,
    **steps: bool,
) -> HookedTransformer:
    """A model in TransformerLens' own format.

    Weights are read with `weights_only`: nothing in them is run.

    Args:
        path_or_id: a folder with a config.json and one file of weights (`*final.pth`, or the only
            one), or the hub id or short name of such a model.
        checkpoint_index, checkpoint_value: a checkpoint of training, `checkpoints/*_{value}.pth`: its
            number in the order of values, or its value, in steps or tokens.
        tokenizer: None loads the one that the config names; False none.
        for_the_hub: `token`, `cache_dir`, `local_files_only`.
        steps: of `unweave.compat.processing.processed`.
        device, move_to_device, default_prepend_bos, default_padding_side, dtype, first_n_layers,
            revision: as `unweave.HookedTransformer.from_pretrained` takes them.

    Raises:
        InputError: for a config that cannot be honoured, weights that do not fit it, or files that
            cannot be had.
    """
    files = (
        files_at(path_or_id, revision, **(for_the_hub or {}))
        if Path(path_or_id).is_dir()
        else Hub(native_id(str(path_or_id)), revision, **(for_the_hub or {}))
    )
    values = files.config()
    chosen = chosen_device(device, None) if move_to_device else "cpu"
    require_device(chosen)
    name = native_id(str(path_or_id)).rpartition("/")[2]
    cfg = native_config(values, model_name=name, dtype=dtype_name(dtype, {}), device=chosen)
    if first_n_layers is not None:
        cfg = dataclasses.replace(cfg, n_layers=min(first_n_layers, cfg.n_layers))
    weights = _weights(files, checkpoint_index, checkpoint_value)
    model = native_model(cfg, weights, kind=_kind(values, name))
    model = processed(model, **steps)
    if tokenizer is None and cfg.tokenizer_name is not None:
        tokenizer = load_tokenizer(cfg.tokenizer_name)
    attach_tokenizer(model, tokenizer or None, default_prepend_bos, default_padding_side)
    return model


def native_config(values: Mapping[str, Any], **fields: Any) -> HookedTransformerConfig:
    """The config of a config.json: either the fields that describe the training run of one of the toy
    models, or all of a HookedTransformerConfig of TransformerLens.

    Args:
        fields: to set beside.

    Raises:
        InputError: for a value that cannot be honoured.
    """
    known = {field.name for field in dataclasses.fields(HookedTransformerConfig)}
    given = {**values, "normalization_type": values.get("normalization", values.get("normalization_type"))}
    if values.get("shortformer_pos"):
        given["positional_embedding_type"] = "shortformer"
    if not all(name in values for name in WHOLE):
        described = (
            "d_model",
            "n_layers",
            "d_mlp",
            "d_head",
            "n_heads",
            "n_ctx",
            "d_vocab",
            "tokenizer_name",
        )
        read = (
            *described,
            "act_fn",
            "attn_only",
            "final_rms",
            "normalization_type",
            "positional_embedding_type",
        )
        given = {name: given[name] for name in read if name in given}
    else:
        given = {name: value for name, value in given.items() if name in known}
        given["seed"] = None  # weights are loaded
    if given.get("attn_only"):
        given = {name: value for name, value in given.items() if name not in ("act_fn", "d_mlp")}
    return HookedTransformerConfig.from_dict({**given, **fields})


def native_model(
    cfg: HookedTransformerConfig, weights: Mapping[str, Tensor], kind: str = "neel"
) -> HookedTransformer:
    """A model of this config with these weights; biases and norms that are missing are zeros and ones.

    Args:
        kind: "neel" (the names of today), "neel-solu-old" or "mingpt".

    Raises:
        InputError: for a matrix that is missing, or a tensor that is unknown or of another shape.
    """
    match kind:
        case "neel-solu-old":
            weights = old_solu(weights, cfg.n_layers)
        case "mingpt":
            weights = min_gpt(weights, cfg.n_heads)
        case _:
            pass
    with torch.random.fork_rng(devices=[]):
        model = HookedTransformer(cfg, tokenizer=False)
    # Layers beyond first_n_layers are left out.
    within = {name: w for name, w in weights.items() if _layer(name) < cfg.n_layers}
    ours = with_defaults(as_ours(within, model), model)
    own = model.state_dict()
    for name, tensor in ours.items():
        if name not in own or tensor.shape != own[name].shape:
            there = "no such weight" if name not in own else f"shape {tuple(own[name].shape)}"
            raise InputError(
                wanted=f"{there} for {name}, as the config has it",
                got=f"shape {tuple(tensor.shape)}",
                remedy="see that config.json and the weights are of one model",
            )
    model.load_state_dict(ours)
    return model


def checkpoints_of(path_or_id: str | Path, **for_the_hub: Any) -> list[int]:
    """The values of the training checkpoints that are kept beside a model, in order."""
    folder = Path(path_or_id)
    files = Folder(folder) if folder.is_dir() else Hub(native_id(str(path_or_id)), **for_the_hub)
    return sorted(_checkpoints(_names(files)))


def _kind(values: Mapping[str, Any], name: str) -> str:
    return str(values.get("architecture") or ("neel-solu-old" if name.endswith("_old") else "neel"))


def _layer(name: str) -> int:
    found = re.match(r"blocks\.(\d+)\.", name)
    return -1 if found is None else int(found[1])


def _weights(files: Files, index: int | None, value: int | None) -> dict[str, Tensor]:
    names = _names(files)
    path = files.find(_chosen(files, names, index, value))
    assert path is not None, "its name was listed"
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch.load raises many kinds for a broken file
        raise InputError(
            wanted=f"a state dict that torch.save wrote in {path}, and nothing else",
            got=f"{type(error).__name__}: {error}",
            remedy="download or copy the file again",
        ) from error
    if not isinstance(loaded, Mapping) or not all(isinstance(each, Tensor) for each in loaded.values()):
        raise InputError(
            wanted=f"a table of tensors in {path}",
            got=type(loaded).__name__,
            remedy="save model.state_dict()",
        )
    return dict(loaded)


def _names(files: Files) -> list[str]:
    """The files of weights there are."""
    if isinstance(files, Folder):
        found = [str(path.relative_to(files.path).as_posix()) for path in sorted(files.path.rglob("*"))]
    else:
        assert isinstance(files, Hub)
        api = import_module("huggingface_hub").HfApi(token=files.token)
        found = list(api.list_repo_files(files.repo, revision=files.revision))
    return [name for name in found if name.endswith(WEIGHTS)]


def _chosen(files: Files, names: list[str], index: int | None, value: int | None) -> str:
    if index is not None or value is not None:
        kept = _checkpoints(names)
        ordered = sorted(kept)
        if value is None and index is not None and -len(ordered) <= index < len(ordered):
            value = ordered[index]
        if value not in kept or (index is not None and value != ordered[index]):
            raise InputError(
                wanted=f"one of {len(ordered)} checkpoints in {files}",
                got=f"checkpoint_index={index}, checkpoint_value={value}",
                remedy=f"values are {', '.join(map(str, ordered[:8]))}"
                + (", ..." if len(ordered) > 8 else ""),
            )
        return kept[value]
    final = [name for name in names if name.endswith(tuple(f"final{ending}" for ending in WEIGHTS))]
    final = final or [name for name in names if "/" not in name]
    if len(final) != 1:
        raise InputError(
            wanted=f"one file of weights in {files}: *final.pth, or one alone",
            got=", ".join(final) or "none",
            remedy="rename the one to be opened to model_final.pth",
        )
    return final[0]


def _checkpoints(names: list[str]) -> dict[int, str]:
    found = {name: re.fullmatch(r"checkpoints/.*_(\d+)\.pth", name) for name in names}
    return {int(match[1]): name for name, match in found.items() if match is not None}
