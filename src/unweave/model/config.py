"""The configuration of a HookedTransformer: one flat table, checked when built and when assigned."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from unweave.core.errors import InputError, nearest
from unweave.model.activations import ACTIVATIONS

NORMS = ("LN", "LNPre", "RMS", "RMSPre", None)
POSITIONS = ("none", "standard", "sinusoidal")
INIT_MODES = ("gpt2",)
DTYPES = {"float32": torch.float32, "float64": torch.float64, "bfloat16": torch.bfloat16}


@dataclass
class HookedTransformerConfig:
    """Sizes and switches, under TransformerLens' names.

    Args:
        n_layers, d_model, n_ctx, d_head: sizes; `n_ctx` is the longest sequence, in tokens.
        n_heads: -1 means `d_model // d_head`.
        d_mlp: None means `4 * d_model`.
        d_vocab: size of the input vocabulary; required.
        d_vocab_out: size of the output vocabulary; -1 means `d_vocab`.
        act_fn: "relu", "gelu" or "silu"; required unless `attn_only`.
        normalization_type: "LN", "RMS" (with weights), "LNPre", "RMSPre" (without), None (no norms).
        positional_embedding_type: "none" (no such table), "standard" (learned), "sinusoidal".
        attn_scale: what scores are divided by; -1.0 means sqrt(d_head).
        init_mode: "gpt2": weights normal with `initializer_range`, biases zero.
        initializer_range: standard deviation; -1.0 means 0.8 / sqrt(d_model).
        seed: of the initial weights; None draws from torch's global state.
        device: where the parameters live, by name or as torch's; None means the CPU.
        dtype: "float32", "float64", "bfloat16" or the torch dtype.

    A default that depends on another field is filled in when the config is built, and stays when
    that field is assigned to.

    Raises:
        InputError: for a value that cannot be honoured. A refused assignment changes nothing.
    """

    n_layers: int
    d_model: int
    n_ctx: int
    d_head: int
    model_name: str = "custom"
    n_heads: int = -1
    d_mlp: int | None = None
    act_fn: str | None = None
    d_vocab: int = -1
    eps: float = 1e-5
    attn_only: bool = False
    attn_scale: float = -1.0
    normalization_type: str | None = "LN"
    positional_embedding_type: str = "standard"
    d_vocab_out: int = -1
    init_mode: str = "gpt2"
    initializer_range: float = -1.0
    seed: int | None = None
    device: str | torch.device | None = None
    dtype: str | torch.dtype = "float32"

    def __post_init__(self) -> None:
        fill = object.__setattr__
        if isinstance(self.dtype, torch.dtype):
            fill(self, "dtype", str(self.dtype).removeprefix("torch."))
        if self.n_heads == -1 and _positive(self.d_head) and _positive(self.d_model):
            _require_whole_heads(self.d_model, self.d_head)
            fill(self, "n_heads", self.d_model // self.d_head)
        if self.d_mlp is None and not self.attn_only and _positive(self.d_model):
            fill(self, "d_mlp", 4 * self.d_model)
        if self.d_vocab_out == -1:
            fill(self, "d_vocab_out", self.d_vocab)
        if self.attn_scale == -1.0 and _positive(self.d_head):
            fill(self, "attn_scale", math.sqrt(self.d_head))
        if self.initializer_range == -1.0 and _positive(self.d_model):
            fill(self, "initializer_range", 0.8 / math.sqrt(self.d_model))
        fill(self, "device", str(self.device or "cpu"))
        self._check()
        fill(self, "_built", True)

    def __setattr__(self, name: str, value: Any) -> None:
        if not getattr(self, "_built", False):
            object.__setattr__(self, name, value)
            return
        _require_fields(type(self), [name])
        candidate = dataclasses.replace(self, **{name: value})
        # More than one may have changed: attn_only=False also fills in d_mlp.
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, getattr(candidate, field.name))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> HookedTransformerConfig:
        """The config of these fields.

        Raises:
            InputError: also for a field that is unknown, or missing and without a default.
        """
        _require_fields(cls, values)
        for field in dataclasses.fields(cls):
            if field.default is dataclasses.MISSING and field.name not in values:
                raise InputError(
                    wanted=f"a value for {field.name}",
                    got="none",
                    remedy=f"set {field.name} in {cls.__name__}",
                )
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Every field as a JSON value; `HookedTransformerConfig.from_dict(it)` gives the same config."""
        return dataclasses.asdict(self)

    @property
    def torch_dtype(self) -> torch.dtype:
        """`dtype` as torch knows it."""
        return DTYPES[str(self.dtype)]

    def _check(self) -> None:
        for name in ("d_model", "n_ctx", "d_head", "n_heads", "d_vocab", "d_vocab_out"):
            _require_count(name, getattr(self, name), 1)
        _require_count("n_layers", self.n_layers, 0)
        _require_choice("attn_only", self.attn_only, (True, False))
        if not self.attn_only:
            _require_count("d_mlp", self.d_mlp, 1)
            _require_choice("act_fn", self.act_fn, tuple(ACTIVATIONS))
        _require_choice("normalization_type", self.normalization_type, NORMS)
        _require_choice("positional_embedding_type", self.positional_embedding_type, POSITIONS)
        _require_choice("init_mode", self.init_mode, INIT_MODES)
        _require_choice("dtype", self.dtype, tuple(DTYPES))
        for name in ("eps", "attn_scale", "initializer_range"):
            value = getattr(self, name)
            if not (isinstance(value, int | float) and math.isfinite(value) and value > 0):
                raise InputError(
                    wanted=f"a finite number above 0 for {name}", got=repr(value), remedy=f"set {name}"
                )
        if self.seed is not None and (not isinstance(self.seed, int) or isinstance(self.seed, bool)):
            raise InputError(wanted="a whole number or None for seed", got=repr(self.seed), remedy="set seed")
        try:
            torch.device(str(self.device))
        except RuntimeError as error:
            raise InputError(
                wanted="a torch device", got=repr(self.device), remedy="write 'cpu' or 'cuda'"
            ) from error


def _positive(value: object) -> bool:
    return isinstance(value, int) and value > 0


def _require_fields(config: type[HookedTransformerConfig], names: Iterable[str]) -> None:
    known = [field.name for field in dataclasses.fields(config)]
    for name in names:
        if name not in known:
            raise InputError(
                wanted=f"a field of {config.__name__}",
                got=repr(name),
                remedy=f"nearest: {nearest(name, known)}",
            )


def _require_whole_heads(d_model: int, d_head: int) -> None:
    if d_model % d_head:
        raise InputError(
            wanted=f"a d_head that divides d_model={d_model}",
            got=str(d_head),
            remedy="set n_heads to choose the number of heads yourself",
        )


def _require_count(name: str, value: object, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(
            wanted=f"a whole number of at least {least} for {name}",
            got=repr(value),
            remedy=f"set {name} in HookedTransformerConfig",
        )


def _require_choice(name: str, value: object, choices: tuple[str | bool | None, ...]) -> None:
    if value not in choices:
        raise InputError(
            wanted=f"{name} to be one of {', '.join(map(repr, choices))}",
            got=repr(value),
            remedy=f"set {name} in HookedTransformerConfig",
        )
