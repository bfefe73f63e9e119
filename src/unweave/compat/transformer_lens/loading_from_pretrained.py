"""What is known of pretrained models, by name, and their configs and weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from unweave.compat.native import checkpoints_of, is_native, native_config, native_from_pretrained
from unweave.compat.native_names import NATIVE, native_id
from unweave.compat.state import with_defaults
from unweave.compat.transformer_lens.supported_models import MODEL_ALIASES, OFFICIAL_MODEL_NAMES
from unweave.compat.warned import warn
from unweave.core.errors import InputError, nearest
from unweave.core.registry import reach
from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.families import family_of
from unweave.pretrained.family import first_layers
from unweave.pretrained.hub import files_at
from unweave.pretrained.names import EARLY, PYTHIA_V0, STANFORD, checkpoint_steps, hub_id

NON_HF_HOSTED_MODEL_NAMES = ["llama-7b-hf", "llama-13b-hf", "llama-30b-hf", "llama-65b-hf"]
STANFORD_CRFM_CHECKPOINTS = list(STANFORD)
PYTHIA_CHECKPOINTS = [*EARLY, *PYTHIA_V0]
PYTHIA_V0_CHECKPOINTS = list(PYTHIA_V0)


def make_model_alias_map() -> dict[str, str]:
    """Every short name and hub id, without capitals, and the hub id that it stands for."""
    found = {name.lower(): name for name in OFFICIAL_MODEL_NAMES}
    return {alias.lower(): name for name, aliases in MODEL_ALIASES.items() for alias in aliases} | found


def get_official_model_name(model_name: str) -> str:
    """The hub id that a short name, or the id itself, stands for.

    Raises:
        InputError: for a name that is not known. `from_pretrained` takes other hub ids all the same.
    """
    known = make_model_alias_map()
    if model_name.lower() not in known:
        raise InputError(
            wanted="a model that is known by name",
            got=repr(model_name),
            remedy=f"nearest: {nearest(model_name.lower(), known)}; from_pretrained takes any hub id of a family it reads",
        )
    return known[model_name.lower()]


def convert_hf_model_config(model_name: str, **kwargs: Any) -> dict[str, Any]:
    """The fields of the config that a model of transformers has as a HookedTransformer.

    Args:
        model_name: a short name, a hub id or a folder.
        kwargs: `revision`, `token`, `cache_dir`, `local_files_only`; others are left to transformers.

    Raises:
        InputError: for a family, or a value of its config, that can't be honoured.
    """
    values, where = _values(model_name, kwargs)
    return family_of(values, where).read_config(values, where, model_name=_short(model_name)).to_dict()


def convert_neel_model_config(official_model_name: str, **kwargs: Any) -> dict[str, Any]:
    """The fields of the config of a model in TransformerLens' own format."""
    values, _ = _values(official_model_name, kwargs)
    return native_config(values, model_name=_short(official_model_name)).to_dict()


def get_pretrained_model_config(
    model_name: str,
    hf_cfg: Mapping[str, Any] | None = None,
    checkpoint_index: int | None = None,
    checkpoint_value: int | None = None,
    fold_ln: bool = False,
    device: str | torch.device | None = None,
    n_devices: int = 1,
    default_prepend_bos: bool | None = None,
    dtype: str | torch.dtype = torch.float32,
    first_n_layers: int | None = None,
    n_ctx: int | None = None,
    **kwargs: Any,
) -> HookedTransformerConfig:
    """The config that a pretrained model has as a HookedTransformer; its weights are not read.

    Args:
        model_name: a short name, a hub id or a folder.
        hf_cfg: the config of a transformers model that is loaded already, in place of the files'.
        checkpoint_index, checkpoint_value, n_devices: change nothing of the config.
        fold_ln: the norms' type once their weights are folded.
        default_prepend_bos: None is True.
        first_n_layers, n_ctx: as `from_pretrained` takes them.
        kwargs: of the hub; others are ignored.

    Raises:
        InputError: as `from_pretrained`.
    """
    others = {"dtype": str(dtype).removeprefix("torch."), "device": str(device or "cpu")}
    if is_native(model_name) and hf_cfg is None:
        values, _ = _values(model_name, kwargs)
        cfg = native_config(values, model_name=_short(model_name), **others)
    else:
        values, where = (dict(hf_cfg), "hf_cfg") if hf_cfg is not None else _values(model_name, kwargs)
        cfg = family_of(values, where).read_config(values, where, model_name=_short(model_name), **others)
    changed: dict[str, Any] = {}
    if fold_ln and cfg.normalization_type in ("LN", "RMS"):
        if cfg.positional_embedding_type == "shortformer" or cfg.norm_position != "before":
            warn("fold_ln is left out, since it would change the model")
        else:
            changed["normalization_type"] = f"{cfg.normalization_type}Pre"
    if default_prepend_bos is not None:
        changed["default_prepend_bos"] = default_prepend_bos
    if n_ctx is not None:
        if n_ctx > cfg.n_ctx:
            warn(f"n_ctx={n_ctx} is more than the model's own {cfg.n_ctx}")
        changed["n_ctx"] = n_ctx
    return dataclasses.replace(first_layers(cfg, first_n_layers), **changed)


def get_num_params_of_pretrained(model_name: str) -> int:
    """How many numbers the matrices of a model's layers have: biases, norms and embeddings are not counted."""
    cfg = get_pretrained_model_config(model_name)
    attention = 4 * cfg.d_model * cfg.d_head * cfg.n_heads
    mlp = 0 if cfg.attn_only or cfg.d_mlp is None else cfg.d_model * cfg.d_mlp * (2 + cfg.gated_mlp)
    if cfg.num_experts:
        mlp = (mlp + cfg.d_model) * cfg.num_experts
    return cfg.n_layers * (attention + mlp)


def get_checkpoint_labels(model_name: str, **kwargs: Any) -> tuple[list[int], str]:
    """The training checkpoints of a model, in order, and what their numbers count: "step" or "token".

    Raises:
        InputError: for a model without.
    """
    if is_native(model_name):
        labels = checkpoints_of(model_name, **kwargs)
        if not labels:
            raise InputError(
                wanted="training checkpoints", got=f"none of {model_name}", remedy="open the model itself"
            )
        return labels, "token" if labels[-1] > 1e9 else "step"
    return list(checkpoint_steps(hub_id(model_name))[0]), "step"


def get_pretrained_state_dict(
    official_model_name: str,
    cfg: Any = None,
    hf_model: Any = None,
    dtype: str | torch.dtype = torch.float32,
    **kwargs: Any,
) -> dict[str, Tensor]:
    """A pretrained model's weights under the names of a HookedTransformer, as they were trained.

    Args:
        official_model_name: a short name, a hub id or a folder.
        cfg: not needed here: the model's own config is read.
        hf_model: a transformers model that is loaded already, in place of the files.
        kwargs: as `from_pretrained` takes them.
    """
    if hf_model is None and is_native(official_model_name):
        model = native_from_pretrained(
            official_model_name, dtype=dtype, tokenizer=False, device="cpu", **kwargs
        )
    else:
        model = reach("from_pretrained")(
            official_model_name, hf_model=hf_model, dtype=dtype, device="cpu", **kwargs
        )
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}


def fill_missing_keys(model: nn.Module, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict, with zeros for missing biases and ones for missing norms of this model.

    Raises:
        InputError: if a matrix is missing.
    """
    state_dict.update(with_defaults(state_dict, model))
    return state_dict


@dataclass
class Config:
    """The sizes of a GPT-2, as tutorials write them."""

    d_model: int = 768
    debug: bool = True
    layer_norm_eps: float = 1e-5
    d_vocab: int = 50257
    init_range: float = 0.02
    n_ctx: int = 1024
    d_head: int = 64
    d_mlp: int = 3072
    n_heads: int = 12
    n_layers: int = 12


def get_basic_config(model_name: str, **kwargs: Any) -> Config:
    """A pretrained model's sizes."""
    values = get_pretrained_model_config(model_name, **kwargs).to_dict()
    return Config(
        **{field.name: values[field.name] for field in dataclasses.fields(Config) if field.name in values}
    )


def _values(model_name: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    """What config.json holds, and its name for errors."""
    asked = {
        name: options[name]
        for name in ("revision", "token", "cache_dir", "local_files_only")
        if name in options
    }
    name = native_id(model_name)
    files = files_at(name if name in NATIVE or Path(model_name).is_dir() else hub_id(model_name), **asked)
    return files.config(), f"config.json of {files}"


def _short(model_name: str) -> str:
    return native_id(hub_id(model_name)).rpartition("/")[2]
