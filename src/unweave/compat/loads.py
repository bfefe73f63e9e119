"""How a HookedTransformer of TransformerLens comes by its weights: from the hub, from a state dict, and processed."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from unweave.compat.devices import get_device
from unweave.compat.native import is_native, native_from_pretrained
from unweave.compat.processing import processed, valid_steps
from unweave.compat.state import as_ours, with_defaults
from unweave.compat.warned import warn
from unweave.compat.weights_in_place import WeightsInPlace
from unweave.core.registry import reach
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer as StrictTransformer
from unweave.pretrained.families import family_of
from unweave.pretrained.opening import FOR_THE_HUB, config_values, files_of

# What may stand among the further arguments of `from_pretrained`.
_TAKEN = (*FOR_THE_HUB, "revision", "device_map", "allow_pickle", "ignore_config", "torch_dtype")


class LoadsWeights(WeightsInPlace):
    """A HookedTransformer that opens models as 3.9 does: with processed weights, and from its own format too."""

    @classmethod
    def from_pretrained(
        cls,
        model_name: Any = None,
        fold_ln: bool = True,
        center_writing_weights: bool = True,
        center_unembed: bool = True,
        refactor_factored_attn_matrices: bool = False,
        checkpoint_index: int | None = None,
        checkpoint_value: int | None = None,
        checkpoint_label: int | None = None,
        hf_model: Any = None,
        device: str | torch.device | None = None,
        n_devices: int = 1,
        tokenizer: Any = None,
        move_to_device: bool = True,
        fold_value_biases: bool = True,
        default_prepend_bos: bool | None = None,
        default_padding_side: str | None = None,
        dtype: str | torch.dtype = "float32",
        first_n_layers: int | None = None,
        n_ctx: int | None = None,
        **from_pretrained_kwargs: Any,
    ) -> Any:
        """A pretrained model with processed weights; see `unweave.HookedTransformer.from_pretrained`.

        A step of processing that would change the model is left out, with a warning.

        Args:
            model_name: a short name, a hub id or a folder: of transformers, or of TransformerLens' own
                format (see `unweave.compat.native`).
            from_pretrained_kwargs: for the hub; others are left out, with a warning.

        Raises:
            InputError: for a model that can't be opened.
        """
        steps: dict[str, Any] = {
            "fold_ln": fold_ln,
            "center_writing_weights": center_writing_weights,
            "center_unembed": center_unembed,
            "fold_value_biases": fold_value_biases,
            "refactor_factored_attn_matrices": refactor_factored_attn_matrices,
        }
        given: dict[str, Any] = {
            "checkpoint_index": checkpoint_index,
            "checkpoint_value": checkpoint_label if checkpoint_value is None else checkpoint_value,
            "device": get_device() if device is None and move_to_device else device,
            "tokenizer": tokenizer,
            "move_to_device": move_to_device,
            "default_prepend_bos": default_prepend_bos,
            "default_padding_side": default_padding_side,
            "dtype": dtype,
            "first_n_layers": first_n_layers,
        }
        others = _taken(from_pretrained_kwargs)
        given["dtype"] = others.pop("torch_dtype", dtype)
        if hf_model is None and model_name is not None and is_native(model_name):
            hub = {name: others[name] for name in FOR_THE_HUB if name in others}
            model = native_from_pretrained(
                model_name, **given, revision=others.get("revision"), for_the_hub=hub, **steps
            )
        else:
            source = {"hf_model": hf_model, "n_devices": n_devices, "n_ctx": n_ctx, **given, **others}
            spread = n_devices != 1 or "device_map" in others
            if spread:
                # Weights are processed before they are spread, or not at all.
                source |= dict.fromkeys(valid_steps(_config_of(model_name, hf_model, others), steps), True)
                source["device"] = None if "device_map" in others else given["device"]
            model = reach("from_pretrained")(model_name, **source)
            model = model if spread else processed(model, **steps)
        return cls._as_this(model)

    @classmethod
    def from_pretrained_no_processing(
        cls,
        model_name: Any = None,
        fold_ln: bool = False,
        center_writing_weights: bool = False,
        center_unembed: bool = False,
        refactor_factored_attn_matrices: bool = False,
        fold_value_biases: bool = False,
        **from_pretrained_kwargs: Any,
    ) -> Any:
        """A pretrained model with the weights that it was trained with."""
        return cls.from_pretrained(
            model_name,
            fold_ln=fold_ln,
            center_writing_weights=center_writing_weights,
            center_unembed=center_unembed,
            refactor_factored_attn_matrices=refactor_factored_attn_matrices,
            fold_value_biases=fold_value_biases,
            **from_pretrained_kwargs,
        )

    @classmethod
    def _as_this(cls, model: StrictTransformer) -> Any:
        """The model as one of this class, which may be a package's own below ours."""
        makes = next(base for base in cls.__mro__ if "__init__" in vars(base))
        if makes.__module__.partition(".")[0] == "unweave":
            return cls.of(model)
        with torch.random.fork_rng(devices=[]):
            made = cls(model.cfg, tokenizer=False if model.tokenizer is None else model.tokenizer)
        made.load_state_dict(model.state_dict())
        made.default_padding_side = model.default_padding_side
        return made.to(model.W_E.dtype)

    @classmethod
    def of(cls, model: StrictTransformer) -> Any:
        """The same model, of the same weights, as one of these."""
        if isinstance(model, cls):
            return model
        new = cls.without_weights(model.cfg)
        assert isinstance(new, cls)
        for name, weight in model.named_parameters():
            owner, _, leaf = name.rpartition(".")
            new.get_submodule(owner).register_parameter(leaf, weight)
        for name, buffer in model.named_buffers():
            owner, _, leaf = name.rpartition(".")
            new.get_submodule(owner).register_buffer(leaf, buffer, persistent=False)
        new.placement = model.placement
        if model.tokenizer is not None:
            new.set_tokenizer(model.tokenizer, model.default_padding_side)
        new.train(model.training)
        return new

    def set_tokenizer(self, tokenizer: Any, default_padding_side: str | None = None) -> None:
        """Let this model read and write text with a tokenizer; see `unweave.HookedTransformer.set_tokenizer`.

        Where it has no token for padding, or for BOS, `model.tokenizer` is a copy in which that is EOS,
        as in 3.9. (There the tokenizer also puts BOS in front by itself; here it stays as it is.)
        """
        super().set_tokenizer(tokenizer, default_padding_side)
        self.tokenizer = completed(self.tokenizer)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Load weights, also those that a HookedTransformer of TransformerLens saved, with the buffers among them."""
        return super().load_state_dict(as_ours(state_dict, self), strict, assign)

    def load_and_process_state_dict(
        self,
        state_dict: Mapping[str, Tensor],
        fold_ln: bool = True,
        center_writing_weights: bool = True,
        center_unembed: bool = True,
        fold_value_biases: bool = True,
        refactor_factored_attn_matrices: bool = False,
    ) -> None:
        """Load weights, with zeros and ones for biases and norms that are missing, and process them in place."""
        self.load_state_dict(self.fill_missing_keys(dict(state_dict)))
        self.process_weights_(
            fold_ln,
            center_writing_weights,
            center_unembed,
            refactor_factored_attn_matrices,
            fold_value_biases,
        )

    def fill_missing_keys(self, state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        """The state dict under our names, with zeros for missing biases, and ones for missing norms.

        Raises:
            InputError: if a matrix is missing.
        """
        return with_defaults(as_ours(state_dict, self), self)


def _config_of(model_name: Any, hf_model: Any, others: Mapping[str, Any]) -> HookedTransformerConfig:
    """The config of a model of transformers; no weights are read."""
    hub = {name: others[name] for name in FOR_THE_HUB if name in others}
    values, where = config_values(
        files_of(model_name, hf_model, others.get("revision"), None, None, hub), hf_model
    )
    return family_of(values, where).read_config(values, where, ignore=others.get("ignore_config", ()))


def completed(tokenizer: Any) -> Any:
    """A tokenizer of transformers whose padding and BOS are EOS where it has none: a copy, if it lacks one."""
    eos = getattr(tokenizer, "eos_token", None)
    lacking = [name for name in ("pad_token", "bos_token") if getattr(tokenizer, name, eos) is None]
    if eos is None or not lacking:
        return tokenizer
    own = copy.deepcopy(tokenizer)
    for name in lacking:
        setattr(own, name, eos)
    return own


def _taken(given: Mapping[str, Any]) -> dict[str, Any]:
    for name in given.keys() - set(_TAKEN):
        warn(f"from_pretrained takes no {name}={given[name]!r} here: it is left out")
    return {name: value for name, value in given.items() if name in _TAKEN}
