"""The config, with 3.9's fields and defaults."""

from __future__ import annotations

import copy
import dataclasses
import random
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from unweave.compat.devices import get_device
from unweave.compat.pickled import config_fields
from unweave.compat.warned import warn
from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig as StrictConfig

# Fields of 3.9 that nothing here reads: kept, so that they can be read back.
KEPT: dict[str, Any] = {
    "original_architecture": None,
    "from_checkpoint": False,
    "checkpoint_index": None,
    "checkpoint_label_type": None,
    "checkpoint_value": None,
    "init_weights": True,
    "n_devices": 1,
    "trust_remote_code": False,
    "decoder_start_token_id": None,
    "uses_rms_norm": False,
    "layer_norm_folding": False,
    # Read by the model alone: whether it has a hook on its tokens.
    "use_hook_tokens": False,
}
# Fields of 3.9 that would change what the model computes, and can't be honoured.
REFUSED: dict[str, Any] = {
    "load_in_4bit": False,
    "quantization_method": None,
    "use_logn_attn": False,
    "train_seq_length": None,
    "use_dynamic_ntk_rope": False,
    "use_attention_sinks": False,
}


class HookedTransformerConfig(StrictConfig):
    """`unweave.HookedTransformerConfig` with 3.9's defaults: `act_fn="relu"`, the best device there is.

    A field that has no effect beside the others warns. `dtype` is torch's. A model keeps this object, and
    not a copy. `seed` seeds Python, NumPy and torch when the config is made.

    Args:
        others: the fields of `unweave.HookedTransformerConfig`, and of 3.9: those in KEPT are kept and
            read by nothing; those in REFUSED may only have their defaults.

    Raises:
        InputError: as there, and for a field in REFUSED.
    """

    use_hook_tokens: bool

    def __init__(
        self,
        d_model: int,
        d_head: int,
        n_layers: int,
        n_ctx: int,
        n_heads: int = -1,
        d_mlp: int | None = None,
        d_vocab: int = -1,
        device: str | torch.device | None = None,
        *,
        act_fn: Any = "relu",
        n_params: int | None = None,
        **others: Any,
    ) -> None:
        for name, default in REFUSED.items():
            value = others.pop(name, default)
            object.__setattr__(self, name, default)
            if value != default:
                raise InputError(
                    wanted=f"{name}={default!r}",
                    got=repr(value),
                    remedy="Unweave has no such thing; leave it out",
                )
        for name, default in KEPT.items():
            object.__setattr__(self, name, others.pop(name, default))
        sizes = {
            "d_model": d_model,
            "d_head": d_head,
            "n_layers": n_layers,
            "n_ctx": n_ctx,
            "n_heads": n_heads,
        }
        sizes |= {"d_mlp": 4 * d_model if d_mlp is None else d_mlp, "d_vocab": d_vocab}
        super().__init__(**sizes, device=device or get_device(), act_fn=act_fn, **others)
        self._warn_of_needs()
        if self.seed is not None:
            self.set_seed_everywhere(self.seed)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "dtype", self.torch_dtype)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take up what was pickled, by this class or by TransformerLens; nothing is seeded."""
        if "_built" not in state:  # not one of ours
            fields: dict[str, Any] = {**config_fields(state, KEPT | REFUSED), "seed": None}
            state = vars(type(self)(**fields)) | {"seed": state.get("seed")}
        self.__dict__.update(state)

    def __setattr__(self, name: str, value: Any) -> None:
        """3.9 takes any assignment: of one that Unweave would refuse there is a warning."""
        object.__setattr__(self, name, value)
        if getattr(self, "_built", False) and name in {field.name for field in dataclasses.fields(self)}:
            try:
                self._check()
                super().check_needs()
            except InputError as error:
                warn(error)

    @classmethod
    def of(cls, cfg: StrictConfig) -> HookedTransformerConfig:
        """The same config, as one of these; nothing is seeded."""
        if isinstance(cfg, cls):
            return cfg
        new = cls.__new__(cls)
        fields = {field.name: getattr(cfg, field.name) for field in dataclasses.fields(cfg)}
        for name, value in {**KEPT, **REFUSED, **fields}.items():
            object.__setattr__(new, name, value)
        new.__post_init__()
        return new

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any]) -> HookedTransformerConfig:
        """The config of these fields."""
        return cls(**config_dict)

    @classmethod
    def unwrap(cls, config: Mapping[str, Any] | StrictConfig) -> HookedTransformerConfig:
        """The config itself, or the one of these fields."""
        return cls.of(config) if isinstance(config, StrictConfig) else cls.from_dict(config)

    def to_dict(self) -> dict[str, Any]:
        """Every field, 3.9's included."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    def replaced(self, **changes: Any) -> HookedTransformerConfig:
        """A copy with these fields changed, that seeds nothing and warns of nothing."""
        new = copy.copy(self)
        for name, value in changes.items():
            object.__setattr__(new, name, value)
        new.__post_init__()
        return new

    def check_needs(self) -> None:
        """Nothing: what has no effect was warned of when the config was made."""

    @property
    def n_params(self) -> int:
        """How many weights heads and MLPs have, as 3.9 counts: without embeddings, biases and norms."""
        heads = 4 * self.d_model * self.d_head * self.n_heads
        mlp = 0 if self.attn_only else self.d_model * (self.d_mlp or 0) * (2 + self.gated_mlp)
        if self.num_experts and not self.attn_only:
            mlp = (mlp + self.d_model) * self.num_experts
        return self.n_layers * (heads + mlp)

    def set_seed_everywhere(self, seed: int) -> None:
        """Seed Python's, NumPy's and torch's global generators."""
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002

    def _warn_of_needs(self) -> None:
        try:
            super().check_needs()
        except InputError as error:
            warn(f"{error}; it has no effect")


__all__ = ["HookedTransformerConfig"]
