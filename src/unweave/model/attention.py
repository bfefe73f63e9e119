"""Self-attention, fused unless someone reads or edits its scores or pattern."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unweave.core.hooks import HookPoint
from unweave.core.vmapped import is_vmapped
from unweave.model.biases import add_bias
from unweave.model.config import HookedTransformerConfig
from unweave.model.head_norm import make_head_norm
from unweave.model.kernels import attention_kernel
from unweave.model.linear import linear
from unweave.model.rotary import Rotary
from unweave.model.run import Run
from unweave.model.score_bias import RelativePositionBias, alibi_bias

Residual = Float[Tensor, "batch pos d_model"]
Input = Residual | Float[Tensor, "batch pos head d_model"]
Grouped = Residual | Float[Tensor, "batch pos group d_model"]
PerHead = Float[Tensor, "batch pos head d_head"]
# Keys and values: those of a cache come before the run's own.
PerKey = Float[Tensor, "batch key head d_head"]
PerGroup = Float[Tensor, "batch key group d_head"]


class Attention(nn.Module):
    """Heads with weights `W_Q, W_K, W_V` `[head, d_model, d_head]`, `W_O` `[head, d_head, d_model]`.

    `hook_q/k/v/z` are `[batch, pos, head, d_head]`, `hook_attn_scores` (masked with -inf) and
    `hook_pattern` `[batch, head, query, key]`; `hook_result`, each head's own output
    `[batch, pos, head, d_model]`, is computed when a hook names it. With rotary positions
    `hook_rot_q` and `hook_rot_k` are what the scores are made of; keys are turned anew in every
    run, so that `hook_rot_k` has all positions, those that came from a cache included. Where every
    key of a query is padding, its row of the pattern is zero.
    """

    b_O: Tensor

    def __init__(self, cfg: HookedTransformerConfig, layer: int = 0) -> None:
        super().__init__()
        self.cfg, self.layer = cfg, layer
        heads, d_model, d_head = cfg.n_heads, cfg.d_model, cfg.d_head
        for name in ("Q", "K", "V"):
            own, prefix = self.own_heads(name)
            self.register_parameter(f"{prefix}W_{name}", nn.Parameter(torch.empty(own, d_model, d_head)))
            add_bias(self, cfg, f"b_{name}", (own, d_head), prefix)
        self.W_O = nn.Parameter(torch.empty(heads, d_head, d_model))
        add_bias(self, cfg, "b_O", (d_model,))
        self.hook_q, self.hook_k, self.hook_v = HookPoint(), HookPoint(), HookPoint()
        self.hook_attn_scores, self.hook_pattern = HookPoint(), HookPoint()
        self.hook_z = HookPoint()
        self.hook_result = HookPoint(on_demand=not cfg.use_attn_result)
        self.q_norm, self.k_norm = (
            make_head_norm(cfg, self.own_heads(name)[0]) if cfg.use_qk_norm else None for name in "QK"
        )
        self.rotary = None
        if cfg.layer_is_rotated(layer):
            self.rotary = Rotary.of_layer(cfg, layer)
            self.hook_rot_q, self.hook_rot_k = HookPoint(), HookPoint()
        elif cfg.positional_embedding_type == "relative_positional_bias" and layer == 0:
            self.rel_pos_bias, self.rel_pos_hook = RelativePositionBias(cfg), HookPoint()
        self.window = cfg.window_size if cfg.layer_is_local(layer) else None

    def own_heads(self, which: str) -> tuple[int, str]:
        """How many heads have queries ("Q"), keys ("K") or values ("V") of their own, and the
        prefix of those weights' names.
        """
        return self.cfg.n_heads, ""

    def forward(
        self,
        query_input: Input,
        key_input: Grouped | None = None,
        value_input: Grouped | None = None,
        run: Run | None = None,
    ) -> Residual:
        """What all heads together add to the residual stream.

        Args:
            query_input: normed residual stream, one for all heads or one a head.
            key_input, value_input: the same for keys and values; None means `query_input`.
            run: the run that this is a part of; None: over these positions alone.
        """
        if run is None:
            run = Run(query_input.shape[1], query_input.device)
        key_input = query_input if key_input is None else key_input
        value_input = key_input if value_input is None else value_input
        q = self.hook_q(self.project(query_input, "Q"))
        k, v = self.keys_values(key_input, value_input)
        q = self._bounded(q if self.q_norm is None else self.q_norm(q))
        entry = run.entry(self.layer)
        if entry is not None:
            k, v = entry.append(k, v)
        return self.attend(q, k, v, run)

    def attend(self, q: PerHead, k: PerGroup, v: PerGroup, run: Run) -> Residual:
        """What all heads together add, from queries, keys and values that are normed and not yet turned."""
        if self.rotary is not None:
            cos, sin = run.rotation(self.rotary, q.dtype)
            late = slice(run.offset, None)
            q = self.hook_rot_q(self.rotary.rotate(q, cos[..., late, :], sin[..., late, :]))
            k = self.hook_rot_k(self.rotary.rotate(k, cos, sin))
        z = self.hook_z(self.mix(q, self.for_every_head(k), self.for_every_head(v), run))
        if self.hook_result.active:
            result = torch.einsum("bphe,hed->bphd", z, self.W_O).to(z.dtype)
            return self.hook_result(result).sum(2) + self.b_O
        return linear(z.flatten(2), self.W_O.flatten(0, 1), self.b_O)

    def queries(self, query_input: Input) -> PerHead:
        """Queries, normed, and not yet turned by rotary positions."""
        q = self.hook_q(self.project(query_input, "Q"))
        return self._bounded(q if self.q_norm is None else self.q_norm(q))

    def keys_values(self, key_input: Grouped, value_input: Grouped) -> tuple[PerKey, PerKey]:
        """Keys and values as a key-value cache holds them: normed, and not yet turned by rotary positions."""
        k = self.hook_k(self.project(key_input, "K"))
        v = self.hook_v(self.project(value_input, "V"))
        return self._bounded(k if self.k_norm is None else self.k_norm(k)), self._bounded(v)

    def _bounded(self, x: Tensor) -> Tensor:
        if self.cfg.clip_qkv is None:
            return x
        most = float(self.cfg.clip_qkv)
        return x.clamp(-most, most)

    def weights(self, which: str) -> tuple[Tensor, Tensor]:
        """Weight `[head, d_model, d_head]` and bias of queries ("Q"), keys ("K") or values ("V")."""
        return getattr(self, f"W_{which}"), getattr(self, f"b_{which}")

    def project(self, x: Input, which: str) -> PerHead:
        """The input read by every head's queries ("Q"), keys ("K") or values ("V")."""
        weight, bias = self.weights(which)
        if x.ndim == 4:
            return torch.einsum("bphd,hde->bphe", x, weight).to(x.dtype) + bias
        flat = linear(x, weight.transpose(0, 1).flatten(1), bias.flatten())
        return flat.view(*flat.shape[:-1], weight.shape[0], self.cfg.d_head)

    def for_every_head(self, x: Float[Tensor, "batch key group d_head"]) -> PerKey:
        """Each group's keys or values once for every head that reads them."""
        groups = x.shape[2]
        return x if groups == self.cfg.n_heads else x.repeat_interleave(self.cfg.n_heads // groups, 2)

    @property
    def scale(self) -> float:
        """What scores are divided by."""
        scale = float(self.cfg.attn_scale) if self.cfg.use_attn_scale else 1.0
        return scale * (self.layer + 1) if self.cfg.scale_attn_by_inverse_layer_idx else scale

    def mix(self, q: PerHead, k: PerKey, v: PerKey, run: Run) -> PerHead:
        """Values, averaged as queries and keys say; by the kernel that fits, which does not show."""
        watched = self.hook_attn_scores.active or self.hook_pattern.active
        capped = self.cfg.attn_scores_soft_cap > 0
        # torch's fused kernel for the CPU can't be batched over models.
        stepwise = watched or capped or is_vmapped(q)
        kernel = "explicit" if stepwise else attention_kernel(q.device.type, run.n_key)
        return self.explicit(q, k, v, run) if kernel == "explicit" else self.fused(q, k, v, run)

    def fused(self, q: PerHead, k: PerKey, v: PerKey, run: Run) -> PerHead:
        """PyTorch's scaled_dot_product_attention, given back in the dtype of `q`."""
        plain = run.is_plain(self.cfg.attention_dir, self.window)
        bias = self.position_bias(run, q.dtype)
        mask, dead = (None, None) if plain and bias is None else self._mask(run, bias)
        z = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=mask,
            is_causal=plain and bias is None,
            scale=1.0 / self.scale,
        )
        z = z if dead is None else z.masked_fill(dead, 0.0)
        return z.transpose(1, 2).to(q.dtype)

    def explicit(self, q: PerHead, k: PerKey, v: PerKey, run: Run) -> PerHead:
        """The same, step by step, with its scores and pattern as hookable places.

        Under autocast the two products are bf16; scores, softmax and pattern keep the dtype of `q`.
        """
        # Unscaled, they may lie beyond what float16 holds. In place where no one has seen them yet.
        early = q.dtype == torch.float16
        q, k, v = (q / self.scale if early else q).transpose(1, 2), k.permute(0, 2, 3, 1), v.transpose(1, 2)
        scores = (q @ k).to(q.dtype)
        scores = scores if early else scores.div_(self.scale)
        cap = self.cfg.attn_scores_soft_cap
        scores = cap * torch.tanh(scores / cap) if cap > 0 else scores
        bias = self.position_bias(run, q.dtype)
        scores = scores if bias is None else scores + bias
        visible = run.visible(self.cfg.attention_dir, self.window)
        scores = scores if visible is None else scores.masked_fill_(~visible, -math.inf)
        scores = self.hook_attn_scores(scores)
        if run.attended is None:
            pattern = scores.softmax(-1)
        else:
            # A row of nothing but -inf would be NaN, and its gradient too.
            dead = (scores == -math.inf).all(-1, keepdim=True)
            pattern = scores.masked_fill(dead, 0.0).softmax(-1).masked_fill(dead, 0.0)
        pattern = self.hook_pattern(pattern)
        return (pattern @ v).transpose(1, 2).to(q.dtype)

    def position_bias(self, run: Run, dtype: torch.dtype) -> Float[Tensor, "#batch head query key"] | None:
        """What positions add to the scores, if they do."""
        if self.cfg.positional_embedding_type == "alibi":
            bias = run.alibi(lambda: alibi_bias(self.cfg, run, dtype))
            return bias / self.scale if self.cfg.alibi_scaled else bias
        return run.position_bias

    def _mask(self, run: Run, bias: Tensor | None) -> tuple[Tensor | None, Tensor | None]:
        """The kernel's mask, and the queries `[batch, 1, query, 1]` that see nothing."""
        visible = run.visible(self.cfg.attention_dir, self.window)
        if visible is None:
            return bias, None
        dead = None
        if run.attended is not None:
            dead = ~visible.any(-1, keepdim=True)
            visible = visible | dead
        return visible if bias is None else bias.masked_fill(~visible, -math.inf), dead


class GroupedQueryAttention(Attention):
    """Attention whose heads share keys and values in groups (Ainslie et al., 2023, arXiv:2305.13245).

    The parameters `_W_K, _W_V, _b_K, _b_V` have one row a group; `W_K` and the others are they,
    repeated for every head. `hook_k`, `hook_v` and `hook_rot_k` have one head a group, unless
    `ungroup_grouped_query_attention`.
    """

    def own_heads(self, which: str) -> tuple[int, str]:
        """As many as there are groups, for keys and values."""
        groups = self.cfg.n_key_value_heads
        return (self.cfg.n_heads, "") if which == "Q" or groups is None else (groups, "_")

    def weights(self, which: str) -> tuple[Tensor, Tensor]:
        """The groups' own; every head's where it is told to ungroup."""
        prefix = "" if which == "Q" or self.cfg.ungroup_grouped_query_attention else "_"
        return getattr(self, f"{prefix}W_{which}"), getattr(self, f"{prefix}b_{which}")

    def _repeated(self, name: str) -> Tensor:
        own: Tensor = getattr(self, name)
        return own.repeat_interleave(self.cfg.n_heads // own.shape[0], 0)

    @property
    def W_K(self) -> Float[Tensor, "head d_model d_head"]:
        return self._repeated("_W_K")

    @property
    def W_V(self) -> Float[Tensor, "head d_model d_head"]:
        return self._repeated("_W_V")

    @property
    def b_K(self) -> Float[Tensor, "head d_head"]:
        return self._repeated("_b_K")

    @property
    def b_V(self) -> Float[Tensor, "head d_head"]:
        return self._repeated("_b_V")


def make_attention(cfg: HookedTransformerConfig, layer: int) -> Attention:
    """The attention of one layer."""
    return Attention(cfg, layer) if cfg.n_key_value_heads is None else GroupedQueryAttention(cfg, layer)
