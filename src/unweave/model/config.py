"""The configuration of a HookedTransformer: one flat table, checked when built and when assigned."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from unweave.core.errors import InputError, nearest
from unweave.model import config_checks as checks
from unweave.model.activations import Activation
from unweave.model.config_needs import check_needs

NORMS = ("LN", "LNPre", "RMS", "RMSPre", None)
NORM_POSITIONS = ("before", "after", "stream")
POSITIONS = (
    "none",
    "standard",
    "sinusoidal",
    "shortformer",
    "rotary",
    "alibi",
    "relative_positional_bias",
)
LISTS = ("attn_types", "without_biases", "rotary_layers", "longrope_short_factors", "longrope_long_factors")
INIT_MODES = ("gpt2", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "muP")
DTYPES = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass
class HookedTransformerConfig:
    """Sizes and switches, under TransformerLens' names where it has one.

    Args:
        n_layers, d_model, n_ctx, d_head: sizes; `n_ctx` is the longest sequence, in tokens.
        n_heads: -1 means `d_model // d_head`.
        d_mlp: None means `4 * d_model`.
        d_vocab: size of the input vocabulary; -1 means that of the tokenizer that the model is given.
        d_vocab_out: size of the output vocabulary; -1 means `d_vocab`.
        act_fn: a name from `activations.ACTIVATIONS`, or a function of a tensor, with which a model
            can't be saved; required unless `attn_only`. "solu_ln" is SoLU and a LayerNorm.
        normalization_type: "LN", "RMS" (with weights), "LNPre", "RMSPre" (without), None (no norms).
        positional_embedding_type: "none" (no such table), "standard" (learned), "sinusoidal",
            "shortformer" (learned, read by queries and keys alone), "rotary", "alibi", or
            "relative_positional_bias" (T5's).
        attn_scale: what scores are divided by; -1.0 means sqrt(d_head).
        use_attn_scale: False divides by nothing.
        scale_attn_by_inverse_layer_idx: divide by the layer's number, from 1, as well.
        init_mode: a row of `init.INIT_MODES`: how weight matrices begin. Biases are zero.
        initializer_range: "gpt2": the standard deviation, -1.0 means 0.8 / sqrt(d_model); in the
            other modes a factor (the gain), -1.0 means 1.
        seed: of the initial weights; None draws from torch's global state.
        device: where the parameters live, by name or as torch's; None means the CPU.
        dtype: "float32", "float64", "bfloat16", "float16" or the torch dtype.
        n_key_value_heads: grouped-query attention: so many heads' keys and values, shared.
        ungroup_grouped_query_attention: `hook_k` and `hook_v` have `n_heads` heads all the same.
        gated_mlp: `act(x @ W_gate) * (x @ W_in) + b_in` inside the MLP.
        gate_biases: `act(x @ W_gate + b_gate) * (x @ W_in + b_in)` instead (LLaMA's `mlp_bias`).
        parallel_attn_mlp: attention and MLP both read resid_pre; there is no resid_mid.
        num_experts, experts_per_token, norm_topk_prob: a mixture of gated MLPs, how many of them a
            token goes to, and whether the weights of those are made to sum to one.
        attention_dir: "causal" or "bidirectional".
        use_local_attn, window_size, attn_types: with them, layers of type "local" see the
            `window_size` latest positions, their own included; those of type "global" see all.
            A bidirectional window reaches as far to the right.
        attn_scores_soft_cap, output_logits_soft_cap: `cap * tanh(x / cap)` of scores or logits;
            -1.0 means none.
        clip_qkv: queries, keys and values are clamped to [-clip_qkv, clip_qkv], after any norm of
            theirs and before rotary positions; None: they are not.
        use_qk_norm: a norm with weights on queries and keys, in front of rotary positions.
        qk_norm_type: "RMS", or "LN", which centres and has a bias.
        qk_norm_scope: "head": over each head, with one set of weights for all; "each_head": over
            each head, with its own weights; "all_heads": over all heads together, each number
            with its own weight.
        norm_position: "before": what attention and MLP read is normed. "after": what they give is
            normed, by `ln1_post` and `ln2_post`, and they read the stream as it is (OLMo 2).
            "stream": the stream is normed after each of them has added to it, and there is no
            final norm (the transformer of 2017, BERT, OPT-350m); see `block.PostNormBlock`.
        use_normalization_before_and_after: norms before, and those of "after" too.
        final_rms: the last norm is an RMS norm.
        post_embedding_ln: a LayerNorm on token embeddings.
        embedding_scale: token embeddings are multiplied by it.
        residual_multiplier: what attention and MLP add to the stream is multiplied by it.
        logit_multiplier: logits are multiplied by it, before their soft-cap.
        tie_word_embeddings: `W_U` is `W_E` transposed, not a parameter of its own.
        without_biases: those of b_Q, b_K, b_V, b_O, b_in, b_out, b_U that stay zero, untrained.
        n_token_types: size of a table added to token embeddings, by `token_type_ids`; 0: none.
        rotary_dim: how many of a head's dimensions are rotated; None means `d_head`.
        rotary_base, rotary_base_local: of the wavelengths, and that of layers of type "local".
        rotary_adjacent_pairs: rotate dimensions 2i and 2i + 1 together (GPT-J), not i and i + half.
        rotary_layers: one of True and False a layer: whether its queries and keys are rotated;
            None: all are. A layer that is not rotated has no `hook_rot_q` and `hook_rot_k`.
        rotary_scaling_factor: positions are divided by it.
        rotary_scaling_local: whether layers of type "local" are stretched like the others; None: as
            in TransformerLens, where `rotary_scaling_factor` spares them, and the other ways do not.
        use_NTK_by_parts_rope: Llama 3's stretch of long wavelengths, by `NTK_by_parts_factor`,
            `NTK_by_parts_low_freq_factor`, `NTK_by_parts_high_freq_factor`, `NTK_original_ctx_len`.
        use_yarn_rope: YaRN (Peng et al., 2023, arXiv:2309.00071), by the `yarn_...` fields.
        use_longrope: LongRoPE (Ding et al., 2024, arXiv:2402.13753), as Phi-3 has it: wavelengths are
            multiplied by `longrope_short_factors`, one for each pair of dimensions; in a run of more
            positions than `longrope_original_ctx_len` by `longrope_long_factors`, at every
            position; cosines and sines are multiplied by `longrope_attention_factor`. What a run
            gives for early positions therefore depends on how many follow.
        alibi_slopes: "geometric": head h of H has 2^(-8h/H); "nearest_power": the same where H is a
            power of two, else the slopes of the power below, and, for the heads that are left,
            every other one of twice that power's (ALiBi's published code, BLOOM, Falcon).
        alibi_scaled: ALiBi's bias is divided by the scale of attention, as the scores are (Falcon).
        alibi_rounded: slopes, and each key's slope times its position, are rounded to bfloat16, in
            every dtype (Falcon).
        relative_attention_num_buckets, relative_attention_max_distance: T5's buckets.
        use_attn_result, use_split_qkv_input, use_attn_in, use_hook_mlp_in: whether a run that
            caches everything caches `attn.hook_result`, `hook_q_input` (and k, v), `hook_attn_in`,
            `hook_mlp_in` too. They are computed whenever they are named, whatever stands here.
        default_prepend_bos: whether text gets BOS in front, where a call does not say.
        tokenizer_name: where the tokenizer is: a hub id or a folder. A new model that is given none loads it from there.
        tokenizer_prepends_bos: whether the tokenizer by itself puts a token in front; set_tokenizer sets it.

    A default that depends on another field is filled in when the config is built, and stays when
    that field is assigned to. A field that would have no effect beside the others is refused.

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
    act_fn: str | Activation | None = None
    d_vocab: int = -1
    eps: int | float = 1e-5
    attn_only: bool = False
    attn_scale: int | float = -1.0
    normalization_type: str | None = "LN"
    positional_embedding_type: str = "standard"
    d_vocab_out: int = -1
    init_mode: str = "gpt2"
    initializer_range: int | float = -1.0
    seed: int | None = None
    device: str | torch.device | None = None
    dtype: str | torch.dtype = "float32"
    n_key_value_heads: int | None = None
    ungroup_grouped_query_attention: bool = False
    gated_mlp: bool = False
    gate_biases: bool = False
    parallel_attn_mlp: bool = False
    num_experts: int | None = None
    experts_per_token: int | None = None
    norm_topk_prob: bool = False
    use_attn_scale: bool = True
    scale_attn_by_inverse_layer_idx: bool = False
    attention_dir: str = "causal"
    use_local_attn: bool = False
    window_size: int | None = None
    attn_types: Sequence[str] | None = None
    attn_scores_soft_cap: int | float = -1.0
    output_logits_soft_cap: int | float = -1.0
    clip_qkv: int | float | None = None
    use_qk_norm: bool = False
    qk_norm_type: str = "RMS"
    qk_norm_scope: str = "head"
    norm_position: str = "before"
    use_normalization_before_and_after: bool = False
    final_rms: bool = False
    post_embedding_ln: bool = False
    embedding_scale: int | float = 1.0
    residual_multiplier: int | float = 1.0
    logit_multiplier: int | float = 1.0
    tie_word_embeddings: bool = False
    without_biases: Sequence[str] = ()
    n_token_types: int = 0
    rotary_dim: int | None = None
    rotary_base: int | float = 10_000
    rotary_base_local: int | float | None = None
    rotary_adjacent_pairs: bool = False
    rotary_layers: Sequence[bool] | None = None
    rotary_scaling_factor: int | float = 1.0
    rotary_scaling_local: bool | None = None
    use_NTK_by_parts_rope: bool = False
    NTK_by_parts_factor: int | float = 8.0
    NTK_by_parts_low_freq_factor: int | float = 1.0
    NTK_by_parts_high_freq_factor: int | float = 4.0
    NTK_original_ctx_len: int = 8192
    use_yarn_rope: bool = False
    yarn_factor: int | float = 1.0
    yarn_attention_factor: int | float = 1.0
    yarn_beta_fast: int | float = 32.0
    yarn_beta_slow: int | float = 1.0
    yarn_original_max_position_embeddings: int = 4096
    yarn_truncate: bool = True
    yarn_global_attn_only: bool = False
    use_longrope: bool = False
    longrope_short_factors: Sequence[float] | None = None
    longrope_long_factors: Sequence[float] | None = None
    longrope_original_ctx_len: int = 4096
    longrope_attention_factor: int | float = 1.0
    alibi_slopes: str = "geometric"
    alibi_scaled: bool = False
    alibi_rounded: bool = False
    relative_attention_num_buckets: int | None = None
    relative_attention_max_distance: int | None = None
    use_attn_result: bool = False
    use_split_qkv_input: bool = False
    use_attn_in: bool = False
    use_hook_mlp_in: bool = False
    default_prepend_bos: bool = True
    tokenizer_name: str | None = None
    tokenizer_prepends_bos: bool | None = None

    def __post_init__(self) -> None:
        fill = object.__setattr__
        if isinstance(self.dtype, torch.dtype):
            fill(self, "dtype", str(self.dtype).removeprefix("torch."))
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if getattr(value, "ndim", None) == 0:  # a scalar of NumPy's or torch's is the number it holds
                fill(self, field.name, value.item())
        # Tuples, since an element assigned in a list would not be checked.
        for name in LISTS:
            if isinstance(getattr(self, name), list):
                fill(self, name, tuple(getattr(self, name)))
        if self.n_heads == -1 and _positive(self.d_head) and _positive(self.d_model):
            checks.require_whole_heads(self.d_model, self.d_head)
            fill(self, "n_heads", self.d_model // self.d_head)
        if self.d_mlp is None and not self.attn_only and _positive(self.d_model):
            fill(self, "d_mlp", 4 * self.d_model)
        if self.d_vocab_out == -1:
            fill(self, "d_vocab_out", self.d_vocab)
        if self.attn_scale == -1.0 and self.use_attn_scale and _positive(self.d_head):
            fill(self, "attn_scale", math.sqrt(self.d_head))
        if self.initializer_range == -1.0 and _positive(self.d_model):
            fill(
                self, "initializer_range", 0.8 / math.sqrt(self.d_model) if self.init_mode == "gpt2" else 1.0
            )
        rotary = self.positional_embedding_type == "rotary"
        if self.rotary_dim == (None if rotary else self.d_head):
            # All of a head, filled in while it is rotary, and taken back when it is not.
            fill(self, "rotary_dim", self.d_head if rotary else None)
        fill(self, "device", str(self.device or "cpu"))
        self._check()
        fill(self, "_built", True)

    def __setattr__(self, name: str, value: Any) -> None:
        if not getattr(self, "_built", False):
            object.__setattr__(self, name, value)
            return
        _require_fields(type(self), [name])
        candidate = self.replaced(**{name: value})
        # More than one may have changed: attn_only=False also fills in d_mlp.
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, getattr(candidate, field.name))

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any]) -> HookedTransformerConfig:
        """The config of these fields.

        Raises:
            InputError: also for a field that is unknown, or missing and without a default.
        """
        _require_fields(cls, config_dict)
        for field in dataclasses.fields(cls):
            if field.default is dataclasses.MISSING and field.name not in config_dict:
                raise InputError(
                    wanted=f"a value for {field.name}",
                    got="none",
                    remedy=f"set {field.name} in {cls.__name__}",
                )
        return cls(**config_dict)

    @classmethod
    def unwrap(cls, config: Mapping[str, Any] | HookedTransformerConfig) -> HookedTransformerConfig:
        """The config itself, or the one of these fields."""
        return config if isinstance(config, HookedTransformerConfig) else cls.from_dict(config)

    def is_layer_norm_activation(self) -> bool:
        """Whether a LayerNorm follows the activation function, as in "solu_ln"."""
        return isinstance(self.act_fn, str) and self.act_fn.endswith("_ln")

    def to_dict(self) -> dict[str, Any]:
        """Every field as a JSON value; `HookedTransformerConfig.from_dict(it)` gives the same config."""
        return dataclasses.asdict(self)

    def replaced(self, **changes: Any) -> HookedTransformerConfig:
        """A copy with these fields changed; a class whose construction does more may override it."""
        return dataclasses.replace(self, **changes)

    @property
    def torch_dtype(self) -> torch.dtype:
        """`dtype` as torch knows it."""
        return DTYPES[str(self.dtype).removeprefix("torch.")]

    def layer_is_rotated(self, layer: int) -> bool:
        """Whether this layer's queries and keys are turned by their positions."""
        rotary = self.positional_embedding_type == "rotary"
        return rotary and (self.rotary_layers is None or self.rotary_layers[layer])

    def layer_is_local(self, layer: int) -> bool:
        """Whether this layer's attention sees a window only."""
        return self.use_local_attn and self.attn_types is not None and self.attn_types[layer] == "local"

    def _check(self) -> None:
        checks.check_sizes(self)
        checks.check_mlp(self)
        checks.require_choice("normalization_type", self.normalization_type, NORMS)
        checks.require_choice("norm_position", self.norm_position, NORM_POSITIONS)
        checks.require_choice("positional_embedding_type", self.positional_embedding_type, POSITIONS)
        checks.require_choice("init_mode", self.init_mode, INIT_MODES)
        checks.require_choice("dtype", str(self.dtype).removeprefix("torch."), tuple(DTYPES))
        checks.check_norms(self)
        checks.check_numbers(self)
        checks.check_device(self)
        checks.check_attention(self)
        checks.check_positions(self)
        checks.check_longrope(self)
        self.check_needs()

    def check_needs(self) -> None:
        """Raise InputError for a field that would have no effect beside the others."""
        if not self.use_attn_scale and self.attn_scale not in (-1.0, math.sqrt(self.d_head)):
            checks.refuse("attn_scale left out, or use_attn_scale=True with it", self.attn_scale)
        check_needs(self, {field.name: field.default for field in dataclasses.fields(self)})


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
