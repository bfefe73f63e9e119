"""Every layer's weights as one tensor, layer first."""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.core.errors import InputError
from unweave.core.factored_matrix import FactoredMatrix
from unweave.model.composition import composition_scores
from unweave.model.config import HookedTransformerConfig


class StackedWeights(nn.Module):
    """The stacked views of a HookedTransformer: `W_Q` is `[layer, head, d_model, d_head]`, and so on.

    Stacking copies; gradients flow back to the layers. Where groups of heads share keys and values
    (`n_key_value_heads`), their weights stand here once for every head, as in TransformerLens.
    """

    cfg: HookedTransformerConfig
    embed: nn.Module
    unembed: nn.Module
    blocks: nn.ModuleList

    def _stack(self, part: str, name: str) -> Tensor:
        return torch.stack([getattr(getattr(block, part), name) for block in self.blocks])

    def _per_head(self, name: str) -> Tensor:
        stacked = self._stack("attn", name)
        return stacked.repeat_interleave(self.cfg.n_heads // stacked.shape[1], 1)

    @property
    def W_E(self) -> Float[Tensor, "d_vocab d_model"]:
        # Not get_parameter: within torch.func.functional_call a weight is a plain tensor.
        return self.embed.W_E  # type: ignore[return-value]

    @property
    def W_pos(self) -> Float[Tensor, "n_ctx d_model"]:
        """The learned positional table; AttributeError where there is none."""
        return self.get_submodule("pos_embed").get_parameter("W_pos")

    @property
    def W_E_pos(self) -> Float[Tensor, "d_vocab_and_n_ctx d_model"]:
        """`W_E` above `W_pos`: all that can stand in the residual stream before layer 0."""
        return torch.cat([self.W_E, self.W_pos])

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
        return self._per_head("W_K")

    @property
    def W_V(self) -> Float[Tensor, "layer head d_model d_head"]:
        return self._per_head("W_V")

    @property
    def W_O(self) -> Float[Tensor, "layer head d_head d_model"]:
        return self._stack("attn", "W_O")

    @property
    def b_Q(self) -> Float[Tensor, "layer head d_head"]:
        return self._stack("attn", "b_Q")

    @property
    def b_K(self) -> Float[Tensor, "layer head d_head"]:
        return self._per_head("b_K")

    @property
    def b_V(self) -> Float[Tensor, "layer head d_head"]:
        return self._per_head("b_V")

    @property
    def b_O(self) -> Float[Tensor, "layer d_model"]:
        return self._stack("attn", "b_O")

    @property
    def W_in(self) -> Float[Tensor, "layer d_model d_mlp"]:
        return self._stack("mlp", "W_in")

    @property
    def W_gate(self) -> Float[Tensor, "layer d_model d_mlp"] | None:
        """The gates' weights; None where MLPs have no gates."""
        return self._stack("mlp", "W_gate") if getattr(self.cfg, "gated_mlp", False) else None

    @property
    def b_in(self) -> Float[Tensor, "layer d_mlp"]:
        return self._stack("mlp", "b_in")

    @property
    def W_out(self) -> Float[Tensor, "layer d_mlp d_model"]:
        return self._stack("mlp", "W_out")

    @property
    def b_out(self) -> Float[Tensor, "layer d_model"]:
        return self._stack("mlp", "b_out")

    @property
    def QK(self) -> FactoredMatrix:
        """`W_Q @ W_K.T` of every head, `[layer, head, d_model, d_model]`: queries' side first."""
        return FactoredMatrix(self.W_Q, self.W_K.mT)

    @property
    def OV(self) -> FactoredMatrix:
        """`W_V @ W_O` of every head, `[layer, head, d_model, d_model]`: what is read first."""
        return FactoredMatrix(self.W_V, self.W_O)

    def all_composition_scores(
        self, mode: Literal["Q", "K", "V"]
    ) -> Float[Tensor, "layer head later_layer later_head"]:
        """How much each head writes to each later one's queries, keys or values; 0 where it is not later.

        See `unweave.model.composition.composition_scores`. Weights of norms are not in it: fold them first.

        Raises:
            InputError: for another mode.
        """
        if mode not in ("Q", "K", "V"):
            raise InputError(wanted="a mode of composition", got=repr(mode), remedy="write 'Q', 'K' or 'V'")
        reads = {"Q": lambda: self.QK, "K": lambda: self.QK.T, "V": lambda: self.OV}[mode]()
        layer = torch.arange(self.cfg.n_layers, device=self.W_E.device)
        later = layer[:, None, None, None] < layer[:, None]
        return composition_scores(self.OV, reads).where(later, 0.0)

    def accumulated_bias(
        self, layer: int, mlp_input: bool = False, include_mlp_biases: bool = True
    ) -> Float[Tensor, " d_model"]:
        """The sum of the output biases `b_O` and `b_out` of all layers before `layer`.

        Args:
            layer: 0 to n_layers.
            mlp_input: include this layer's own `b_O`, as in what its MLP reads.
            include_mlp_biases: False leaves the `b_out` out.

        Raises:
            InputError: for a layer out of range, or an MLP input where there is none after attention,
                or if what layers write passes a norm or a multiplier first.
        """
        self._require_biases_that_add_up(layer, mlp_input)
        parts = [("attn", "b_O", layer + mlp_input)]
        if include_mlp_biases and not self.cfg.attn_only:
            parts.append(("mlp", "b_out", layer))
        total = torch.zeros_like(self.W_E[0])
        for part, name, stop in parts:
            for block in self.blocks[:stop]:
                # Experts have no biases.
                total = total + getattr(block.get_submodule(part), name, 0.0)
        return total

    def _require_biases_that_add_up(self, layer: int, mlp_input: bool) -> None:
        cfg = self.cfg
        last = cfg.n_layers - 1 if mlp_input else cfg.n_layers
        if not isinstance(layer, int) or not 0 <= layer <= last:
            raise InputError(
                wanted=f"a layer from 0 to {last}", got=repr(layer), remedy="count layers from the first"
            )
        if mlp_input and (cfg.attn_only or getattr(cfg, "parallel_attn_mlp", False)):
            raise InputError(
                wanted="an MLP that reads what attention has written",
                got="a model in which there is none",
                remedy="leave mlp_input out",
            )
        changed = getattr(cfg, "use_normalization_before_and_after", False) or cfg.norm_position != "before"
        if changed or getattr(cfg, "residual_multiplier", 1.0) != 1.0:
            raise InputError(
                wanted="layers that add their biases to the residual stream as they are",
                got="a model with a norm or a multiplier in between",
                remedy="read the biases from the layers, model.b_O and model.b_out",
            )

    def tokens_to_residual_directions(
        self, tokens: Int[Tensor, "..."] | int | str
    ) -> Float[Tensor, "*tokens d_model"]:
        """The direction in the residual stream along which each token's logit grows: its column of `W_U`.

        That holds for what the final norm gives; weights of the norm are not in it: fold them first.

        Args:
            tokens: any number of tokens, in any shape; one alone, also in a tensor, gives `[d_model]`.
                A string is one token, for models with a tokenizer.

        Raises:
            InputError: for tokens outside the output vocabulary.
        """
        if isinstance(tokens, str):
            to_token = getattr(self, "to_single_token", None)
            if to_token is None:
                raise InputError(
                    wanted="a token as a number", got=repr(tokens), remedy="this model has no tokenizer"
                )
            tokens = int(to_token(tokens))
        asked = torch.as_tensor(tokens, device=self.W_U.device)
        size = self.cfg.d_vocab_out
        whole = asked.dtype in (torch.int64, torch.int32)
        if not whole or not asked.numel() or asked.min() < 0 or asked.max() >= size:
            raise InputError(
                wanted=f"tokens from 0 to {size - 1}",
                got=repr(tokens) if asked.numel() == 1 else f"{asked.dtype} of shape {tuple(asked.shape)}",
                remedy="check the vocabulary that they were made with",
            )
        return self.W_U.mT[asked.reshape(()) if asked.numel() == 1 else asked]

    def all_head_labels(self) -> list[str]:
        """Every head's name, "L0H0", "L0H1" and so on: the order of `W_Q.flatten(0, 1)`."""
        return [f"L{layer}H{head}" for layer in range(self.cfg.n_layers) for head in range(self.cfg.n_heads)]
