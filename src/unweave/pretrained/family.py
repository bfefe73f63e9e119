"""What an adapter is: a model family's config, weights, and what of them changes nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.inert import INERT, MUST_BE_OFF
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.takes import Take, expanded


@dataclass(frozen=True)
class Family:
    """One family of models, whose checkpoints are laid out alike. See docs/pretrained.md.

    Args:
        name: what `unweave models` calls it.
        architectures: the names in config.json's `architectures` that this adapter reads.
        model_types: its `model_type`s, for files without `architectures`.
        config: reads a config and returns the fields of a HookedTransformerConfig.
        weights: the table of rows for a model of that config, without the prefix.
        prefix: what some files put before their tensors' names and others don't.
        inert: config values, beside those of `unweave.pretrained.inert`, that change nothing, each
            with the reason.
        ignored: tensors that older files hold and no model reads, as regular expressions of their
            whole names without the prefix, each with the reason.
        tied: tensors that repeat another where embeddings are tied: they must be equal to it.
        encoder: its models are opened by `HookedEncoder.from_pretrained`.
        supports: what of the family is honoured, in a line for `unweave models`.
        examples: hub ids of well-known models of it.
    """

    name: str
    architectures: tuple[str, ...]
    config: Callable[[ConfigReader], dict[str, Any]]
    weights: Callable[[HookedTransformerConfig], Sequence[Take]]
    model_types: tuple[str, ...] = ()
    prefix: str = ""
    inert: Mapping[str, str] = field(default_factory=dict[str, str])
    ignored: Mapping[str, str] = field(default_factory=dict[str, str])
    tied: Mapping[str, str] = field(default_factory=dict[str, str])
    encoder: bool = False
    supports: str = ""
    examples: tuple[str, ...] = ()

    def read_config(
        self,
        values: Mapping[str, Any],
        where: str = "config.json",
        *,
        ignore: Sequence[str] = (),
        **others: Any,
    ) -> HookedTransformerConfig:
        """The config of a model of this family.

        Args:
            values: what config.json holds.
            ignore: names that the user knows to change nothing.
            others: fields that don't come from the file: the dtype, the device, the model's name.

        Raises:
            InputError: for values that can't be honoured, all of them listed.
        """
        reader = ConfigReader(values, where)
        fields = self.config(reader)
        for name, off in MUST_BE_OFF.items():
            if name not in reader.read:
                reader.only(name, off, None, default=off)
        if values.get("quantization_config"):
            reader.refuse("quantization_config", "quantised weights aren't read; open the original model")
        reader.finish({**INERT, **self.inert, **dict.fromkeys(ignore, "the user says so")})
        try:
            return HookedTransformerConfig(**fields, **others)
        except InputError as error:
            raise InputError(
                wanted=f"{error.wanted}, for the model of {where}", got=error.got, remedy=error.remedy
            ) from error

    def rows(self, cfg: HookedTransformerConfig) -> list[Take]:
        """The table, for every layer and expert of a model."""
        # Of "(qkv head d_head)" einops can infer one axis: the heads, which may be grouped.
        sizes = {"d_head": cfg.d_head, "qkv": 3, "gate_up": 2}
        return expanded(self.weights(cfg), cfg.n_layers, cfg.num_experts or 0, sizes)


def windows(layer_types: Sequence[str], window: int | None) -> dict[str, Any]:
    """The fields for layers that see all or, if their type is "sliding_attention", a window.

    Raises:
        InputError: for another type.
    """
    kinds = {"full_attention": "global", "sliding_attention": "local"}
    for kind in layer_types:
        if kind not in kinds:
            raise InputError(
                wanted="layer_types of full_attention and sliding_attention",
                got=repr(kind),
                remedy="open the model with transformers and pass it to unweave.wrap()",
            )
    types = tuple(kinds[kind] for kind in layer_types)
    if window is None or "local" not in types:
        return {}
    return {"use_local_attn": True, "window_size": window, "attn_types": types}


def first_layers(cfg: HookedTransformerConfig, n_layers: int | None) -> HookedTransformerConfig:
    """The config of the model's first layers alone.

    Raises:
        InputError: if it has fewer.
    """
    if n_layers is None:
        return cfg
    if not 0 <= n_layers <= cfg.n_layers:
        raise InputError(
            wanted=f"first_n_layers from 0 to {cfg.n_layers}",
            got=str(n_layers),
            remedy="leave it out for all",
        )
    changed: dict[str, Any] = {"n_layers": n_layers}
    if cfg.rotary_layers is not None:
        changed["rotary_layers"] = cfg.rotary_layers[:n_layers]
    if cfg.attn_types is not None:
        changed["attn_types"] = cfg.attn_types[:n_layers]
        if "local" not in changed["attn_types"]:
            off = {
                "use_local_attn": False,
                "window_size": None,
                "attn_types": None,
                "rotary_base_local": None,
                "rotary_scaling_local": None,
                "yarn_global_attn_only": False,
            }
            changed |= off
    return dataclasses.replace(cfg, **changed)
