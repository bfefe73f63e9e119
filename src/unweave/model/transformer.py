"""The hookable transformer."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any, Literal, overload

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.core.errors import InputError
from unweave.core.hooks import HookedRootModule, HookPoint
from unweave.core.tokens import require_tokens
from unweave.model.block import TransformerBlock
from unweave.model.cache import ActivationCache
from unweave.model.config import HookedTransformerConfig
from unweave.model.embedding import Embed, Unembed
from unweave.model.init import init_weights
from unweave.model.norm import make_norm
from unweave.model.positions import PosEmbed, SinusoidalPosEmbed
from unweave.model.stacked import StackedWeights


class HookedTransformer(StackedWeights, HookedRootModule):
    """A decoder whose every intermediate tensor has a name and can be read or replaced.

    Args:
        cfg: a HookedTransformerConfig, or a dict of its fields. The model keeps a copy of its own.

    Raises:
        InputError: for a config that cannot be honoured, or a device that this machine lacks.
    """

    def __init__(self, cfg: HookedTransformerConfig | dict[str, Any]) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.from_dict(cfg) if isinstance(cfg, dict) else dataclasses.replace(cfg)
        _require_available(str(cfg.device))
        self.cfg = cfg
        # Whatever torch's default device is: a seed means the same weights everywhere.
        with torch.device("cpu"):
            self.embed, self.hook_embed = Embed(cfg), HookPoint()
            if cfg.positional_embedding_type != "none":
                learned = cfg.positional_embedding_type == "standard"
                self.pos_embed = PosEmbed(cfg) if learned else SinusoidalPosEmbed(cfg)
                self.hook_pos_embed = HookPoint()
            self.blocks = nn.ModuleList(TransformerBlock(cfg) for _ in range(cfg.n_layers))
            self.ln_final = make_norm(cfg)
            self.unembed = Unembed(cfg)
            init_weights(self, cfg)
        self.to(device=torch.device(str(cfg.device)), dtype=cfg.torch_dtype)
        self.setup()

    def forward(
        self,
        input: Int[Tensor, "batch pos"] | Int[Tensor, " pos"],
        return_type: str | None = "logits",
        *,
        stop_at_layer: int | None = None,
        unembed_at: slice = slice(None),
    ) -> Float[Tensor, "batch unembedded d_vocab_out"] | Float[Tensor, "batch pos d_model"] | None:
        """Run the model on tokens.

        Args:
            input: whole numbers in `[0, d_vocab)`, at most n_ctx of them; one sequence or a batch.
            return_type: "logits", or None to compute no logits.
            stop_at_layer: return the residual stream before this layer; negative counts from the end.
            unembed_at: the positions at which the final norm and logits are computed.

        Raises:
            InputError: for tokens that the model cannot read, or an argument out of range.
        """
        if return_type not in ("logits", None):
            raise InputError(
                wanted="return_type 'logits' or None",
                got=repr(return_type),
                remedy="compute the loss from logits",
            )
        if not isinstance(unembed_at, slice):
            raise InputError(
                wanted="a slice of positions for unembed_at",
                got=repr(unembed_at),
                remedy="write slice(-1, None) for the last one",
            )
        resid = self.input_to_embed(input)
        for block in self.blocks[: self._stop(stop_at_layer)]:
            resid = block(resid)
        if stop_at_layer is not None:
            return resid
        if return_type is None and not any(point.active for point in self._final_points()):
            return None
        normalized = self.ln_final(resid[:, unembed_at])
        return None if return_type is None else self.unembed(normalized)

    def input_to_embed(self, input: Tensor) -> Float[Tensor, "batch pos d_model"]:
        """The residual stream before layer 0: token embeddings, plus positions if there are any."""
        tokens = self._checked(input)
        resid = self.hook_embed(self.embed(tokens))
        if self.cfg.positional_embedding_type != "none":
            resid = resid + self.hook_pos_embed(self.pos_embed(resid))
        return resid

    @overload
    def run_with_cache(
        self, *model_args: Any, return_cache_object: Literal[False], **kwargs: Any
    ) -> tuple[Any, dict[str, Tensor]]: ...

    @overload
    def run_with_cache(
        self, *model_args: Any, return_cache_object: Literal[True] = True, **kwargs: Any
    ) -> tuple[Any, ActivationCache]: ...

    def run_with_cache(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *model_args: Any,
        return_cache_object: bool = True,
        remove_batch_dim: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ActivationCache | dict[str, Tensor]]:
        """One forward run, its output, and an ActivationCache.

        Args:
            return_cache_object: False gives a dict instead.
            remove_batch_dim: drop the batch dimension, which must then be 1.
            kwargs: those of `HookedRootModule.run_with_cache`, and of `forward`.
        """
        output, kept = super().run_with_cache(*model_args, remove_batch_dim=remove_batch_dim, **kwargs)
        if not return_cache_object:
            return output, kept
        return output, ActivationCache(kept, self, has_batch_dim=not remove_batch_dim)

    def save(self, folder: str | Path) -> None:
        """Write this model as a folder that `unweave.load` opens; see `unweave.model.saved`."""
        from unweave.model.saved import save

        save(self, folder)

    def _stop(self, layer: int | None) -> int:
        n_layers = len(self.blocks)
        if layer is None:
            return n_layers
        stop = layer + n_layers if layer < 0 else layer
        if not 0 <= stop <= n_layers:
            raise InputError(
                wanted=f"stop_at_layer between {-n_layers} and {n_layers}",
                got=str(layer),
                remedy="leave it out to run every layer",
            )
        return stop

    def _final_points(self) -> list[HookPoint]:
        return [module for module in self.ln_final.modules() if isinstance(module, HookPoint)]

    def _checked(self, tokens: Tensor) -> Int[Tensor, "batch pos"]:
        single = isinstance(tokens, Tensor) and tokens.ndim == 1
        tokens = require_tokens(tokens[None] if single else tokens, self.cfg.d_vocab, most=self.cfg.n_ctx)
        return tokens.to(self.W_E.device)


def _require_available(device: str) -> None:
    try:
        torch.empty(0, device=device)
    # Which of the three depends on the device: an unknown kind, one not built in, one not there.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(
            wanted="a device of this machine", got=repr(device), remedy="write device='cpu'"
        ) from error
