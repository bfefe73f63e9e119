"""The hookable transformer."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any, Literal, overload

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from unweave.core.errors import InputError
from unweave.core.hooks import HookPoint, excuse
from unweave.core.recorder import require_device
from unweave.core.registry import reach
from unweave.model.attention import Attention
from unweave.model.block import make_block
from unweave.model.cache import ActivationCache
from unweave.model.config import HookedTransformerConfig
from unweave.model.embedding import Embed, TokenTypeEmbed, make_final_norm, make_unembed
from unweave.model.init import init_weights
from unweave.model.inputs import (
    check_arguments,
    check_mask,
    check_residual,
    check_token_types,
    check_tokens,
    layers_to_run,
)
from unweave.model.kv_cache import KeyValueCache
from unweave.model.loss import Loss, Output, next_token_loss
from unweave.model.placement import Placement, on_device, require_one_device
from unweave.model.positions import IN_A_TABLE, make_pos_embed
from unweave.model.run import Run
from unweave.model.switches import CachingSwitches
from unweave.model.text.methods import TextMethods
from unweave.model.text.vocabulary import size_of, tokenizer_for


class HookedTransformer(TextMethods, CachingSwitches):
    """A decoder whose every intermediate tensor has a name and can be read or replaced.

    Args:
        cfg: a HookedTransformerConfig, or a dict of its fields. The model keeps a copy of its own.
        tokenizer, default_padding_side: those of `set_tokenizer`. None loads the tokenizer that
            `cfg.tokenizer_name` names, if it names one; False: the model has none. Where `cfg.d_vocab`
            is -1 it is the tokenizer's.
        move_to_device: False leaves the model on the CPU.

    Raises:
        InputError: for a config that cannot be honoured, a device that this machine lacks, or a
            tokenizer that cannot be loaded or does not fit d_vocab.
    """

    def __init__(
        self,
        cfg: HookedTransformerConfig | dict[str, Any],
        tokenizer: Any = None,
        move_to_device: bool = True,
        default_padding_side: str | None = None,
    ) -> None:
        super().__init__()
        cfg = self.own_config(cfg)
        if move_to_device:
            require_device(str(cfg.device))
        else:
            cfg.device = "cpu"
        tokenizer = tokenizer_for(cfg, tokenizer, default_padding_side)
        if cfg.d_vocab == -1:
            cfg.d_vocab = size_of(tokenizer)
        # Whatever torch's default device is: a seed means the same weights everywhere.
        self._assemble(cfg, torch.device("cpu"))
        self.init_weights()
        self.to(device=torch.device(str(cfg.device)), dtype=cfg.torch_dtype)
        if tokenizer is not None:
            self.set_tokenizer(tokenizer, default_padding_side)

    @classmethod
    def own_config(cls, cfg: HookedTransformerConfig | dict[str, Any]) -> HookedTransformerConfig:
        """The config that a new model keeps: a copy."""
        return HookedTransformerConfig.from_dict(cfg) if isinstance(cfg, dict) else cfg.replaced()

    @classmethod
    def without_weights(cls, cfg: HookedTransformerConfig) -> HookedTransformer:
        """A model whose parameters have shapes and no content (they are on torch's device "meta").

        Whoever asks for it puts a parameter in the place of each. Buffers are there.
        """
        model = cls.__new__(cls)
        CachingSwitches.__init__(model)
        model._assemble(cls.own_config(cfg), torch.device("meta"))
        return model

    def _assemble(self, cfg: HookedTransformerConfig, device: torch.device) -> None:
        """The parts, their parameters on `device`, their buffers on the CPU."""
        self.cfg = cfg
        # Which part is on which device, where they are not all on one.
        self.placement: Placement | None = None
        # Where the last run began: so many positions before its first were in a cache.
        self.run_offset = 0
        with device:
            self.embed, self.hook_embed = Embed(cfg), HookPoint()
            pos_embed = make_pos_embed(cfg)
            if pos_embed is not None:
                self.pos_embed, self.hook_pos_embed = pos_embed, HookPoint()
            if cfg.n_token_types:
                self.token_type_embed, self.hook_token_type_embed = TokenTypeEmbed(cfg), HookPoint()
            self.blocks = nn.ModuleList(make_block(cfg, layer) for layer in range(cfg.n_layers))
            self.ln_final = make_final_norm(cfg)
            self.unembed = make_unembed(cfg, self.embed)
        self.setup()

    def forward(
        self,
        input: Int[Tensor, "batch pos"] | Int[Tensor, " pos"] | Float[Tensor, "batch pos d_model"] | Any,
        return_type: str | None = "logits",
        loss_per_token: bool = False,
        prepend_bos: bool | None = None,
        padding_side: str | None = None,
        *,
        start_at_layer: int | None = None,
        tokens: Int[Tensor, "batch pos"] | None = None,
        shortformer_pos_embed: Float[Tensor, "batch pos d_model"] | None = None,
        attention_mask: Tensor | None = None,
        stop_at_layer: int | None = None,
        past_kv_cache: KeyValueCache | None = None,
        token_type_ids: Int[Tensor, "batch pos"] | None = None,
        unembed_at: slice = slice(None),
    ) -> (
        Float[Tensor, "batch unembedded d_vocab_out"]
        | Float[Tensor, "batch pos d_model"]
        | Loss
        | Output
        | None
    ):
        """Run the model on tokens, or from a residual stream on.

        Args:
            input: whole numbers in `[0, d_vocab)`, at most n_ctx of them; one sequence or a batch.
                Or text, see `unweave.model.text.methods`. With `start_at_layer`, the residual
                stream before that layer.
            return_type: "logits", "loss" (of the next token, in nats, the mean), "both" (a pair
                `.logits, .loss`), or None to compute no logits: the unembedding's hooks do not fire
                then, and to name one is an error.
            loss_per_token: the loss by token, `[batch, pos - 1]`, and not its mean.
            prepend_bos, padding_side: for text; None is the model's default.
            start_at_layer: the first layer to run; negative counts from the end. Hooks of what is
                left out here, or after `stop_at_layer`, need not fire.
            tokens: with `start_at_layer`, for the loss.
            shortformer_pos_embed: with `start_at_layer`, instead of the model's own table.
            attention_mask: `[batch, pos]`, 1 for tokens and 0 for padding, wherever it stands.
                Padding is not attended to, not counted in positions, and not in the loss.
            stop_at_layer: return the residual stream before this layer; negative counts from the end.
            past_kv_cache: keys and values of the positions before these, to which theirs are added.
            token_type_ids: each token's type, where the config has any; None: all are 0.
            unembed_at: the positions at which the final norm and logits are computed.

        Raises:
            InputError: for tokens that the model cannot read, or an argument out of range.
        """
        check_arguments(return_type, unembed_at)
        layers = layers_to_run(len(self.blocks), start_at_layer, stop_at_layer)
        with nullcontext() if past_kv_cache is None else past_kv_cache.all_or_nothing():
            if start_at_layer is None:
                read = self.read(input, attention_mask, prepend_bos, padding_side, past_kv_cache)
                tokens, attention_mask = self._checked(read[0], past_kv_cache), read[1]
                run = self._new_run(tokens, attention_mask, past_kv_cache, layers)
                resid = self._embedded(tokens, run, token_type_ids)
            else:
                resid = check_residual(input, self.cfg, past_kv_cache, self.W_E)
                run = self._new_run(resid, attention_mask, past_kv_cache, layers)
                self._take_up(resid, run, shortformer_pos_embed)
            self.add_position_bias(run)
            resid = self._through(layers, resid, run)
            if start_at_layer is not None or stop_at_layer is not None:
                self._excuse_others(layers, start_at_layer is not None, stop_at_layer is not None)
            if stop_at_layer is not None:
                return resid
            if return_type is None and not any(point.active for point in self._final_points()):
                return None
            if self.placement is not None:
                resid = resid.to(self.placement.last)
            normalized = self.ln_final(resid[:, unembed_at])
            if return_type is None:
                return None
            logits = self.logits(normalized)
            if return_type == "logits":
                return logits
            if tokens is None:
                raise InputError(
                    wanted="tokens, for the loss of a run from start_at_layer",
                    got="none",
                    remedy="pass tokens=, or ask for logits",
                )
            attended = None if run.attended is None else run.attended[:, run.offset :].to(logits.device)
            loss = self.loss_fn(logits, tokens.to(logits.device), attended, loss_per_token)
            return loss if return_type == "loss" else Output(logits, loss)

    def _through(self, layers: range, resid: Tensor, run: Run) -> Tensor:
        """The residual stream after these layers, on each one's device in turn."""
        runs = {run.device: run}
        try:
            for layer in layers:
                if self.placement is not None:
                    resid, run = on_device(resid, run, self.placement.blocks[layer], runs)
                resid = self.blocks[layer](resid, run)
        except RuntimeError:
            if self.placement is None:
                require_one_device(self)
            raise
        if self.placement is None and resid.device != run.device:
            require_one_device(self)
        return resid

    def loss_fn(
        self,
        logits: Float[Tensor, "batch pos d_vocab_out"],
        tokens: Int[Tensor, "batch pos"],
        attention_mask: Tensor | None = None,
        per_token: bool = False,
    ) -> Loss:
        """The loss of the next token; see `unweave.model.loss.next_token_loss`."""
        attended = None if attention_mask is None else attention_mask.bool()
        return next_token_loss(logits, tokens, attended, per_token)

    def input_to_embed(
        self,
        input: Any,
        prepend_bos: bool | None = None,
        padding_side: str | None = None,
        *,
        attention_mask: Tensor | None = None,
        past_kv_cache: KeyValueCache | None = None,
        token_type_ids: Tensor | None = None,
    ) -> tuple[
        Float[Tensor, "batch pos d_model"],
        Int[Tensor, "batch pos"],
        Float[Tensor, "batch pos d_model"] | None,
        Bool[Tensor, "batch key"] | None,
    ]:
        """The residual stream before layer 0: token embeddings, plus positions if they are added.

        Beside it the checked tokens, shortformer's positional embedding, and which keys are not
        padding (None: none is), those in the cache included.
        """
        read = self.read(input, attention_mask, prepend_bos, padding_side, past_kv_cache)
        tokens, attention_mask = self._checked(read[0], past_kv_cache), read[1]
        run = self._new_run(tokens, attention_mask, past_kv_cache, range(len(self.blocks)))
        return self._embedded(tokens, run, token_type_ids), tokens, run.pos_embed, run.attended

    @property
    def n_params_total(self) -> int:
        """How many numbers the parameters hold, embeddings, biases and norms included."""
        return sum(parameter.numel() for parameter in self.parameters())

    def init_weights(self) -> None:
        """Draw every weight matrix anew, as the config says; biases and norms stay as they are.

        With a seed in the config these are the weights that the model began with.
        """
        init_weights(self, self.cfg)

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

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> HookedTransformer:
        """Open a model of Hugging Face's; see `unweave.pretrained.opening.from_pretrained`."""
        return reach("from_pretrained")(*args, **kwargs)

    @classmethod
    def from_pretrained_no_processing(cls, *args: Any, **kwargs: Any) -> HookedTransformer:
        """The same, with its weights as they were trained: what `from_pretrained` does unless told otherwise."""
        return cls.from_pretrained(*args, **kwargs)

    def save(self, folder: str | Path) -> None:
        """Write this model as a folder that `unweave.load` opens; see `unweave.model.saved`."""
        from unweave.model.saved import save

        save(self, folder)

    def _final_points(self) -> list[HookPoint]:
        return [module for module in self.ln_final.modules() if isinstance(module, HookPoint)]

    def logits(
        self, normalized: Float[Tensor, "batch pos d_model"]
    ) -> Float[Tensor, "batch pos d_vocab_out"]:
        """Logits from the output of the final norm: unembedded, multiplied, capped."""
        logits, cap = self.unembed(normalized), self.cfg.output_logits_soft_cap
        if self.cfg.logit_multiplier != 1.0:
            logits = logits * self.cfg.logit_multiplier
        return cap * torch.tanh(logits / cap) if cap > 0 else logits

    def _excuse_others(self, layers: range, started: bool, stopped: bool) -> None:
        """Hooks outside the layers asked for need not fire."""
        if not any(point.fwd_hooks or point.bwd_hooks for point in self.hook_points()):
            return
        skipped = [block for layer, block in enumerate(self.blocks) if layer not in layers]
        before = [
            module
            for name, module in self.named_children()
            if name.removeprefix("hook_") in ("embed", "pos_embed", "token_type_embed")
        ]
        after = [self.ln_final, self.unembed]
        excuse(*skipped, *(before if started else ()), *(after if stopped else ()))

    def _checked(self, tokens: Tensor, past: KeyValueCache | None) -> Int[Tensor, "batch pos"]:
        return check_tokens(tokens, self.cfg, 0 if past is None else past.length, self.W_E.device)

    def _new_run(
        self, input: Tensor, attention_mask: Tensor | None, past: KeyValueCache | None, layers: range
    ) -> Run:
        batch, n_pos = input.shape[:2]
        attended = check_mask(attention_mask, batch, n_pos, past, input.device)
        run = Run(n_pos, input.device, past=past)
        if past is not None:
            past.require_fit(self.cfg, layers, batch)
            run.offset = past.length
            attended = input.new_ones(batch, n_pos, dtype=torch.bool) if attended is None else attended
            if past.outgrown(self.cfg, attended):
                raise InputError(
                    wanted=f"past_kv_cache and input on one side of longrope_original_ctx_len="
                    f"{self.cfg.longrope_original_ctx_len}, behind which all positions are turned otherwise",
                    got=f"{run.offset} cached positions and {n_pos} new ones",
                    remedy="run the whole sequence with a new cache",
                )
            attended = past.append_attention_mask(attended)
        self.run_offset = run.offset
        # Where nothing is padded a mask would only cost time.
        run.attended = None if attended is None or bool(attended.all()) else attended
        return run

    def _embedded(self, tokens: Tensor, run: Run, token_types: Tensor | None) -> Tensor:
        resid = self.hook_embed(self.embed(tokens))
        if token_types is not None or self.cfg.n_token_types:
            types = check_token_types(token_types, self.cfg, tokens)
            resid = resid + self.hook_token_type_embed(self.token_type_embed(types))
        if self.cfg.positional_embedding_type == "shortformer":
            self._take_up(resid, run, None)
        elif self.cfg.positional_embedding_type in IN_A_TABLE:
            resid = resid + self.hook_pos_embed(self._position_rows(tokens, resid, run))
        return resid

    def _position_rows(self, tokens: Tensor, resid: Tensor, run: Run) -> Tensor:
        return self.pos_embed(resid, run)

    def _take_up(self, resid: Tensor, run: Run, pos_embed: Tensor | None) -> None:
        """What a run needs beside the residual stream: shortformer's positions."""
        shortformer = self.cfg.positional_embedding_type == "shortformer"
        if pos_embed is not None and not shortformer:
            raise InputError(
                wanted="no shortformer_pos_embed, since positions are not shortformer's",
                got="one",
                remedy="leave it out",
            )
        if shortformer:
            run.pos_embed = (
                self.hook_pos_embed(self.pos_embed(resid, run)) if pos_embed is None else pos_embed
            )

    def add_position_bias(self, run: Run) -> None:
        """What relative positions add to every layer's scores: made once a run."""
        if self.cfg.positional_embedding_type == "relative_positional_bias" and len(self.blocks):
            first = self.blocks[0].attn
            assert isinstance(first, Attention)
            run.position_bias = first.rel_pos_hook(first.rel_pos_bias(run))
