"""Weight processing as 3.9 has it: in place, and on dictionaries of weights."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from unweave.compat.processing import processed
from unweave.model.transformer import HookedTransformer

Weights = dict[str, Tensor]


class WeightsInPlace(HookedTransformer):
    """The methods of 3.9's HookedTransformer that change its own weights, or those in a dictionary."""

    def process_weights_(
        self,
        fold_ln: bool = True,
        center_writing_weights: bool = True,
        center_unembed: bool = True,
        refactor_factored_attn_matrices: bool = False,
        fold_value_biases: bool = True,
    ) -> None:
        """Fold and centre this model's own weights.

        Hooks stay, and so do parameters that keep their shape: an optimiser goes on with them.
        """
        steps: dict[str, Any] = {
            "fold_ln": fold_ln,
            "center_writing_weights": center_writing_weights,
            "center_unembed": center_unembed,
            "fold_value_biases": fold_value_biases,
            "refactor_factored_attn_matrices": refactor_factored_attn_matrices,
        }
        new = processed(self, **steps)
        if new is not self:
            self._become(new)

    def fold_layer_norm(
        self, state_dict: Mapping[str, Tensor], fold_biases: bool = True, center_weights: bool = True
    ) -> Weights:
        """Weights with their norms folded in; whether biases and means are follows from the norm."""
        return self._after(state_dict, "fold_ln")

    def center_writing_weights(self, state_dict: Mapping[str, Tensor]) -> Weights:
        """Weights that write to the residual stream with mean zero."""
        return self._after(state_dict, "center_writing_weights")

    def center_unembed(self, state_dict: Mapping[str, Tensor]) -> Weights:
        """Weights by which logits sum to zero over the vocabulary."""
        return self._after(state_dict, "center_unembed")

    def fold_value_biases(self, state_dict: Mapping[str, Tensor]) -> Weights:
        """Weights with `b_V` zero and in `b_O`."""
        return self._after(state_dict, "fold_value_biases")

    def refactor_factored_attn_matrices(self, state_dict: Mapping[str, Tensor]) -> Weights:
        """Weights with each head's factors from the SVD of their product."""
        return self._after(state_dict, "refactor_factored_attn_matrices")

    def _after(self, state_dict: Mapping[str, Tensor], step: str) -> Weights:
        with torch.random.fork_rng(devices=[]):
            model = type(self)(self.cfg.replaced(), tokenizer=False)
        model.load_state_dict(state_dict)
        return dict(processed(model, **{step: True}).state_dict())

    @torch.no_grad()
    def _become(self, new: HookedTransformer) -> None:
        """Take over another model's config, parts and weights."""
        points, weights, device = dict(self.hook_dict), dict(self.named_parameters()), self.W_E.device
        for field in dataclasses.fields(new.cfg):
            object.__setattr__(self.cfg, field.name, getattr(new.cfg, field.name))
        placement, offset = self.placement, self.run_offset
        self._assemble(self.cfg, torch.device("meta"))
        self.placement, self.run_offset = placement, offset
        for name, weight in new.named_parameters():
            owner, _, leaf = name.rpartition(".")
            kept = weights.get(name)
            if kept is not None and kept.shape == weight.shape:
                kept.copy_(weight)
                weight = kept
            self.get_submodule(owner).register_parameter(leaf, weight)
        for name, point in points.items():
            if name in self.hook_dict:
                owner, _, leaf = name.rpartition(".")
                setattr(self.get_submodule(owner), leaf, point)
        self.setup()
        if placement is None:
            nn.Module.to(self, device=device, dtype=new.W_E.dtype)
