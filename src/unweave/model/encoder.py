"""The hookable encoder: BERT."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.core.errors import InputError
from unweave.core.hooks import HookedRootModule, HookPoint
from unweave.core.recorder import require_device
from unweave.core.registry import reach
from unweave.model.block import make_block
from unweave.model.cache import ActivationCache
from unweave.model.config import HookedTransformerConfig
from unweave.model.embedding import make_unembed
from unweave.model.encoder_parts import BertEmbed, BertMLMHead, BertNSPHead, BertPooler
from unweave.model.init import init_weights
from unweave.model.inputs import check_mask, check_token_types, check_tokens
from unweave.model.run import Run
from unweave.model.stacked import StackedWeights
from unweave.model.switches import CachingSwitches

RETURN_TYPES = ("logits", "next_sentence", None)
HEADS = ("mlm_head", "pooler", "nsp_head")
# What makes an output of the last layer's, one after the other.
NEEDED = {"logits": ("mlm_head", "unembed"), "next_sentence": ("pooler", "nsp_head"), None: ()}

# What an encoder always is, and what it has no place for.
FIXED = {"attention_dir": "bidirectional", "positional_embedding_type": "standard"}
ABSENT = {"output_logits_soft_cap": -1.0, "logit_multiplier": 1.0}


class HookedEncoder(StackedWeights, CachingSwitches):
    """BERT (Devlin et al., 2019, arXiv:1810.04805), with TransformerLens' names for its parts and hooks.

    Each layer norms the stream after it has added to it (`block.PostNormBlock`); there is no final
    norm. `mlm_head` and `unembed` make logits; `pooler` and `nsp_head`, which run with
    `return_type="next_sentence"` only, say whether one segment follows the other. In a batch,
    positions are counted from the first, whatever `one_zero_attention_mask` says.

    Args:
        cfg: a HookedTransformerConfig with `attention_dir` "bidirectional", or a dict of its
            fields. `norm_position` becomes "stream"; two token types, if there are none.

    Raises:
        InputError: for a config that is not an encoder's.
    """

    def __init__(self, cfg: HookedTransformerConfig | dict[str, Any]) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.from_dict(cfg) if isinstance(cfg, dict) else cfg
        cfg = _of_an_encoder(cfg)
        require_device(str(cfg.device))
        # Whatever torch's default device is: a seed means the same weights everywhere.
        self._assemble(cfg, torch.device("cpu"), HEADS)
        init_weights(self, cfg)
        self.to(device=torch.device(str(cfg.device)), dtype=cfg.torch_dtype)

    @classmethod
    def without_weights(cls, cfg: HookedTransformerConfig, heads: Sequence[str] = HEADS) -> HookedEncoder:
        """An encoder whose parameters have shapes and no content (they are on torch's device "meta").

        Whoever asks for it puts a parameter in the place of each.

        Args:
            heads: which of "mlm_head" (with `unembed`), "pooler" and "nsp_head" there are; a run that
                needs another raises.
        """
        model = cls.__new__(cls)
        HookedRootModule.__init__(model)
        model._assemble(_of_an_encoder(cfg), torch.device("meta"), heads)
        return model

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> HookedEncoder:
        """Open a BERT of Hugging Face's; see `unweave.pretrained.encoders.encoder_from_pretrained`."""
        return reach("encoder_from_pretrained")(*args, **kwargs)

    def _assemble(self, cfg: HookedTransformerConfig, device: torch.device, heads: Sequence[str]) -> None:
        """The parts, their parameters on `device`; None in place of the heads that there are not."""
        self.cfg = cfg
        self.tokenizer: Any = None
        with device:
            self.embed, self.hook_full_embed = BertEmbed(cfg), HookPoint()
            self.blocks = nn.ModuleList(make_block(cfg, layer) for layer in range(cfg.n_layers))
            self.mlm_head = BertMLMHead(cfg) if "mlm_head" in heads else None
            if self.mlm_head is not None:
                self.unembed = make_unembed(cfg, self.embed.embed)
            self.nsp_head = BertNSPHead(cfg) if "nsp_head" in heads else None
            self.pooler = BertPooler(cfg) if "pooler" in heads else None
        self.setup()

    def forward(
        self,
        input: Int[Tensor, "batch pos"] | Int[Tensor, " pos"],
        return_type: str | None = "logits",
        token_type_ids: Int[Tensor, "batch pos"] | None = None,
        one_zero_attention_mask: Tensor | None = None,
    ) -> Float[Tensor, "batch pos d_vocab_out"] | Float[Tensor, "batch 2"] | None:
        """Run the encoder on tokens.

        Args:
            input: whole numbers in `[0, d_vocab)`, at most n_ctx of them; one sequence or a batch.
            return_type: "logits" of every position's token; "next_sentence": two logits a
                sequence; None runs the layers alone.
            token_type_ids: each token's segment; None: all are 0.
            one_zero_attention_mask: `[batch, pos]`, 1 for tokens and 0 for padding, which is not
                attended to.

        Raises:
            InputError: for tokens that the model cannot read, or another argument out of range.
        """
        if return_type not in RETURN_TYPES:
            raise InputError(
                wanted="return_type 'logits', 'next_sentence' or None",
                got=repr(return_type),
                remedy="leave it out for logits",
            )
        needed = NEEDED[return_type]
        missing = [name for name in needed if getattr(self, name, None) is None]
        if missing:
            raise InputError(
                wanted=f"an encoder with {' and '.join(needed)}, for return_type={return_type!r}",
                got=f"one without {' and '.join(missing)}, which its checkpoint did not have",
                remedy="open a checkpoint that has them, or pass return_type=None and read the cache",
            )
        out = self.encoder_output(input, token_type_ids, one_zero_attention_mask)
        if return_type is None:
            return None
        for name in needed:
            out = self.get_submodule(name)(out)
        return out

    def encoder_output(
        self,
        tokens: Int[Tensor, "batch pos"] | Int[Tensor, " pos"],
        token_type_ids: Int[Tensor, "batch pos"] | None = None,
        one_zero_attention_mask: Tensor | None = None,
    ) -> Float[Tensor, "batch pos d_model"]:
        """The residual stream after the last layer, normed: what BERT's heads read."""
        tokens = check_tokens(tokens, self.cfg, 0, self.W_E.device)
        batch, n_pos = tokens.shape
        attended = check_mask(one_zero_attention_mask, batch, n_pos, None, tokens.device)
        run = Run(n_pos, tokens.device)
        # Where nothing is padded a mask would only cost time.
        run.attended = None if attended is None or bool(attended.all()) else attended
        types = check_token_types(token_type_ids, self.cfg, tokens)
        resid = self.hook_full_embed(self.embed(tokens, types))
        for block in self.blocks:
            resid = block(resid, run)
        return resid

    def run_with_cache(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        *model_args: Any,
        return_cache_object: bool = True,
        remove_batch_dim: bool = False,
        **kwargs: Any,
    ) -> tuple[Any, ActivationCache | dict[str, Tensor]]:
        """One forward run, its output, and an ActivationCache (a dict, without `return_cache_object`)."""
        output, kept = super().run_with_cache(*model_args, remove_batch_dim=remove_batch_dim, **kwargs)
        if not return_cache_object:
            return output, kept
        # Of the model a cache reads names, config and weights, which are here the same.
        return output, ActivationCache(kept, cast(Any, self), has_batch_dim=not remove_batch_dim)

    @property
    def W_E(self) -> Float[Tensor, "d_vocab d_model"]:
        return self.embed.get_parameter("embed.W_E")

    @property
    def W_pos(self) -> Float[Tensor, "n_ctx d_model"]:
        """The learned positional table."""
        return self.embed.get_parameter("pos_embed.W_pos")


def _of_an_encoder(cfg: HookedTransformerConfig) -> HookedTransformerConfig:
    """The config, with what BERT's never say: norms of the stream, and token types."""
    for name, value in (FIXED | ABSENT).items():
        if getattr(cfg, name) != value:
            raise InputError(
                wanted=f"{name}={value!r} for a HookedEncoder",
                got=repr(getattr(cfg, name)),
                remedy=f"set {name}, or build a HookedTransformer",
            )
    if cfg.normalization_type is None or cfg.act_fn == "solu_ln":
        raise InputError(
            wanted="norms, and an activation without one of its own, for a HookedEncoder",
            got=f"normalization_type={cfg.normalization_type!r}, act_fn={cfg.act_fn!r}",
            remedy="set normalization_type='LN' and act_fn='gelu', as BERT has them",
        )
    return dataclasses.replace(cfg, norm_position="stream", n_token_types=cfg.n_token_types or 2)
