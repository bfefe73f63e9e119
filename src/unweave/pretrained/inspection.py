"""What a model holds and would take, from its config alone: no weights are read."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.sites import TOP, is_on_demand
from unweave.model.config import DTYPES, HookedTransformerConfig
from unweave.model.saved import FORMAT, read_config
from unweave.model.transformer import HookedTransformer
from unweave.pretrained.families import family_of
from unweave.pretrained.hub import files_at

DEFAULT_SEQ = 1024
ATTN_IN = "hook_attn_in"
EMBEDDING = tuple(f"hook_{site}" for site in TOP)


@dataclass(frozen=True)
class Hook:
    """A hook point: its name, what passes it (`shape`; a word is a size that the run decides), and its values."""

    name: str
    shape: tuple[int | str, ...]
    values: int
    on_demand: bool


@dataclass(frozen=True)
class Inspection:
    """A model's sizes, its hooks, and what it takes in memory, in bytes, for a dtype and a batch.

    Args:
        family: the adapter that opens it; None for a folder of our own.
        weights, kv_cache, activation_cache: bytes; the last is what `run_with_cache` keeps without a filter.
    """

    name: str
    family: str | None
    cfg: HookedTransformerConfig
    dtype: str
    batch: int
    seq: int
    parameters: int
    hooks: tuple[Hook, ...]
    weights: int
    kv_cache: int
    activation_cache: int


def inspect_model(
    path_or_id: str | Path,
    dtype: str = "float32",
    batch: int = 1,
    seq: int | None = None,
    revision: str | None = None,
) -> Inspection:
    """What a model holds, and would take to run.

    Args:
        path_or_id: a folder of a transformers model or of ours, a hub id, or a short name.
        dtype: of weights and activations, as `from_pretrained` takes it.
        seq: how long the sequences of the batch are; None is n_ctx, or 1024 where that is longer.

    Raises:
        InputError: for a model that can't be opened, or sizes out of range.
    """
    if dtype not in DTYPES:
        raise InputError(
            wanted=f"dtype to be one of {', '.join(DTYPES)}", got=repr(dtype), remedy="leave it out"
        )
    family, cfg = _config(path_or_id, revision)
    cfg = dataclasses.replace(cfg, dtype=dtype, device="meta")
    seq = min(cfg.n_ctx, DEFAULT_SEQ) if seq is None else seq
    if batch < 1 or not 1 <= seq <= cfg.n_ctx:
        raise InputError(
            wanted=f"a batch of at least 1, of sequences of 1 to n_ctx={cfg.n_ctx} positions",
            got=f"batch={batch}, seq={seq}",
            remedy="set batch and seq",
        )
    model = HookedTransformer.without_weights(cfg)
    size = cfg.torch_dtype.itemsize
    parameters = sum(parameter.numel() for parameter in model.parameters())
    hooks, kept = _hooks(model, batch, seq)
    heads = cfg.n_key_value_heads or cfg.n_heads
    return Inspection(
        name=str(path_or_id),
        family=family,
        cfg=cfg,
        dtype=dtype,
        batch=batch,
        seq=seq,
        parameters=parameters,
        hooks=hooks,
        weights=parameters * size,
        kv_cache=2 * cfg.n_layers * batch * seq * heads * cfg.d_head * size,
        activation_cache=kept,
    )


def _config(path_or_id: str | Path, revision: str | None) -> tuple[str | None, HookedTransformerConfig]:
    files = files_at(path_or_id, revision)
    values = files.config()
    where = f"config.json of {files}"
    if values.get("format") == FORMAT:
        return None, read_config(Path(path_or_id).expanduser())
    family = family_of(values, where)
    if family.encoder:
        raise InputError(
            wanted="a decoder to inspect",
            got=f"{where}, which is of the family {family.name}: encoders",
            remedy="open it with unweave.HookedEncoder.from_pretrained(...), and read its hook_dict",
        )
    return family.name, family.read_config(values, where)


def _hooks(model: HookedTransformer, batch: int, seq: int) -> tuple[tuple[Hook, ...], int]:
    """Every hook, and the bytes of a full cache: a tensor at two hooks counts once."""
    cfg = model.cfg
    found = _shapes(cfg, batch, seq)
    kept: dict[int, int] = {}
    hooks: list[Hook] = []
    for name in model.hook_dict:
        if name in found:
            tensor = found[name]
            shape: tuple[int | str, ...] = tuple(tensor.shape)
            values, key = tensor.numel(), id(tensor)
            bytes_kept = tensor.numel() * tensor.dtype.itemsize
        else:
            shape, values, width = _unrun(name, cfg, batch, seq)
            key, bytes_kept = hash(name), values * width
        on_demand = is_on_demand(name)
        hooks.append(Hook(name, shape, values, on_demand))
        if not on_demand:
            kept[key] = bytes_kept
    return tuple(hooks), sum(kept.values())


def _shapes(cfg: HookedTransformerConfig, batch: int, seq: int) -> dict[str, Tensor]:
    """What passes each hook behind the embedding, found by a run on torch's device "meta", without content."""
    if cfg.num_experts is not None:
        # Which tokens go to which expert is decided by content: experts are counted in `_unrun`.
        dense = {"num_experts": None, "experts_per_token": None, "norm_topk_prob": False}
        cfg = dataclasses.replace(cfg, **dense)
    model = HookedTransformer.without_weights(cfg).to(device="meta", dtype=cfg.torch_dtype)
    resid = torch.zeros(batch, seq, cfg.d_model, dtype=cfg.torch_dtype, device="meta")
    # Named one by one: what is computed on demand is left out otherwise. The embedding is not run.
    names = [name for name in model.hook_dict if name not in EMBEDDING and not name.endswith(ATTN_IN)]
    with torch.no_grad(), model.recording(names, detach=False) as kept:
        model(resid, start_at_layer=0)
    # Together with the inputs of grouped keys its content is looked at; its shape is that of theirs.
    same = {
        name.replace("hook_q_input", ATTN_IN): kept[name] for name in kept if name.endswith("hook_q_input")
    }
    return {**kept, **same}


def _unrun(
    name: str, cfg: HookedTransformerConfig, batch: int, seq: int
) -> tuple[tuple[int | str, ...], int, int]:
    """The shape, the number of values and the bytes of each, at a hook of an embedding or of an expert."""
    width, site = cfg.torch_dtype.itemsize, name.rpartition(".")[2]
    if ".experts." in name:
        assert cfg.num_experts is not None and cfg.experts_per_token is not None and cfg.d_mlp is not None
        # Together the experts see each token so many times; each its share, on average.
        values = batch * seq * cfg.experts_per_token * cfg.d_mlp // cfg.num_experts
        return ("routed", cfg.d_mlp), values, width
    if site == "hook_expert_weights":
        assert cfg.num_experts is not None
        return (batch, seq, cfg.num_experts), batch * seq * cfg.num_experts, max(4, width)
    if site == "hook_expert_indices":
        assert cfg.experts_per_token is not None
        return (batch, seq, cfg.experts_per_token), batch * seq * cfg.experts_per_token, 8
    return (batch, seq, cfg.d_model), batch * seq * cfg.d_model, width


def as_json(inspection: Inspection) -> dict[str, Any]:
    """The same as JSON values."""
    values = dataclasses.asdict(inspection)
    config = inspection.cfg.to_dict()
    values["config"] = {name: value for name, value in config.items() if name not in ("device", "dtype")}
    del values["cfg"]
    values["memory_bytes"] = {name: values.pop(name) for name in ("weights", "kv_cache", "activation_cache")}
    return json.loads(json.dumps(values, default=str))
