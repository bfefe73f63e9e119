"""Every layer's weights as one tensor, layer first."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn


class StackedWeights(nn.Module):
    """The stacked views of a HookedTransformer: `W_Q` is `[layer, head, d_model, d_head]`, and so on.

    Stacking copies; gradients flow back to the layers.
    """

    embed: nn.Module
    unembed: nn.Module
    blocks: nn.ModuleList

    def _stack(self, part: str, name: str) -> Tensor:
        return torch.stack([getattr(getattr(block, part), name) for block in self.blocks])

    @property
    def W_E(self) -> Float[Tensor, "d_vocab d_model"]:
        return self.embed.get_parameter("W_E")

    @property
    def W_pos(self) -> Float[Tensor, "n_ctx d_model"]:
        """The learned positional table; AttributeError where there is none."""
        return self.get_submodule("pos_embed").get_parameter("W_pos")

    @property
    def W_U(self) -> Float[Tensor, "d_model d_vocab_out"]:
        # Not get_parameter: tied embeddings have no parameter of that name.
        return self.unembed.W_U  # type: ignore[return-value]

    @property
    def b_U(self) -> Float[Tensor, " d_vocab_out"]:
        return self.unembed.b_U  # type: ignore[return-value]

    @property
    def W_Q(self) -> Float[Tensor, "layer head d_model d_head"]:
        return self._stack("attn", "W_Q")

    @property
    def W_K(self) -> Float[Tensor, "layer head d_model d_head"]:
        return self._stack("attn", "W_K")

    @property
    def W_V(self) -> Float[Tensor, "layer head d_model d_head"]:
        return self._stack("attn", "W_V")

    @property
    def W_O(self) -> Float[Tensor, "layer head d_head d_model"]:
        return self._stack("attn", "W_O")

    @property
    def b_Q(self) -> Float[Tensor, "layer head d_head"]:
        return self._stack("attn", "b_Q")

    @property
    def b_K(self) -> Float[Tensor, "layer head d_head"]:
        return self._stack("attn", "b_K")

    @property
    def b_V(self) -> Float[Tensor, "layer head d_head"]:
        return self._stack("attn", "b_V")

    @property
    def b_O(self) -> Float[Tensor, "layer d_model"]:
        return self._stack("attn", "b_O")

    @property
    def W_in(self) -> Float[Tensor, "layer d_model d_mlp"]:
        return self._stack("mlp", "W_in")

    @property
    def b_in(self) -> Float[Tensor, "layer d_mlp"]:
        return self._stack("mlp", "b_in")

    @property
    def W_out(self) -> Float[Tensor, "layer d_mlp d_model"]:
        return self._stack("mlp", "W_out")

    @property
    def b_out(self) -> Float[Tensor, "layer d_model"]:
        return self._stack("mlp", "b_out")
