"""One layer: attention and MLP, each added to the residual stream."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from unweave.core.hooks import HookPoint
from unweave.model.attention import make_attention
from unweave.model.config import HookedTransformerConfig
from unweave.model.mlp import make_mlp
from unweave.model.norm import NoNorm, Norm, make_norm
from unweave.model.run import Run
from unweave.model.split_inputs import SplitInputs

Residual = Float[Tensor, "batch pos d_model"]


class TransformerBlock(nn.Module):
    """`resid_mid = resid_pre + attn(ln1(resid_pre))`, `resid_post = resid_mid + mlp(ln2(resid_mid))`.

    With `parallel_attn_mlp` there is no resid_mid, and both read resid_pre. `hook_attn_out` and
    `hook_mlp_out` are what is added to the stream, after the norms `ln1_post` and `ln2_post` and
    the multiplier, where a config has them. With `norm_position` "after", `ln1` and `ln2` do
    nothing and have no hooks.
    """

    def __init__(self, cfg: HookedTransformerConfig, layer: int = 0) -> None:
        super().__init__()
        self.cfg = cfg
        self.attn_only = cfg.attn_only
        self.hook_resid_pre, self.hook_attn_out = HookPoint(), HookPoint()
        self.hook_attn_in = HookPoint(on_demand=not cfg.use_attn_in)
        self.hook_q_input, self.hook_k_input, self.hook_v_input = (
            HookPoint(on_demand=not cfg.use_split_qkv_input) for _ in "qkv"
        )
        self.split_inputs = SplitInputs(
            cfg, self.hook_attn_in, self.hook_q_input, self.hook_k_input, self.hook_v_input
        )
        self.ln1 = _first_norm(cfg)
        self.attn = make_attention(cfg, layer)
        self.ln1_post = _post_norm(cfg)
        if not cfg.attn_only:
            if not cfg.parallel_attn_mlp:
                self.hook_resid_mid = HookPoint()
            self.hook_mlp_in = HookPoint(on_demand=not cfg.use_hook_mlp_in)
            self.hook_mlp_out = HookPoint()
            self.ln2 = _first_norm(cfg)
            self.mlp = make_mlp(cfg)
            self.ln2_post = _post_norm(cfg)
        self.hook_resid_post = HookPoint()

    def forward(self, resid: Residual, run: Run | None = None) -> Residual:
        """The residual stream after this layer."""
        run = Run.over(resid) if run is None else run
        resid = self.hook_resid_pre(resid)
        attn_out = self.hook_attn_out(self._added(self.attention(resid, run), self.ln1_post))
        if self.attn_only:
            return self.hook_resid_post(resid + attn_out)
        if self.cfg.parallel_attn_mlp:
            return self.hook_resid_post(resid + attn_out + self.mlp_out(resid))
        resid = self.hook_resid_mid(resid + attn_out)
        return self.hook_resid_post(resid + self.mlp_out(resid))

    @property
    def attention_norm(self) -> Norm | NoNorm:
        """The norm through which attention reads the residual stream."""
        return self.ln1

    def attention(self, resid: Residual, run: Run) -> Residual:
        """What attention makes of the residual stream, before any norm after it."""
        if run.projected is not None:
            return self.attn.attend(*run.projected, run)
        if self.split_inputs.active:
            q, k, v = self.split_inputs(resid, self.attention_norm)
        else:
            q = k = v = self.attention_norm(resid)
        if run.pos_embed is not None:
            # Shortformer: positions are read by queries and keys, and stay out of the stream.
            q, k = (x + (run.pos_embed if x.ndim == 3 else run.pos_embed[:, :, None]) for x in (q, k))
        return self.attn(q, k, v, run)

    def mlp_out(self, resid: Residual) -> Residual:
        """What the MLP adds to the residual stream."""
        if self.hook_mlp_in.active:
            # A tensor of its own: the gradient there is the MLP's, not the stream's.
            resid = self.hook_mlp_in(resid.clone())
        return self.hook_mlp_out(self._added(self.mlp(self.ln2(resid)), self.ln2_post))

    def _added(self, out: Residual, post_norm: nn.Module | None) -> Residual:
        out = out if post_norm is None else post_norm(out)
        return out if self.cfg.residual_multiplier == 1.0 else out * self.cfg.residual_multiplier


class PostNormBlock(TransformerBlock):
    """`resid_mid = resid_pre + attn(resid_pre)`, `resid_post = ln1(resid_mid) + mlp(ln1(resid_mid))`,
    and `ln2(resid_post)` goes on to the next layer: `norm_position` "stream" (Vaswani et al., 2017,
    arXiv:1706.03762), with TransformerLens' hooks for BERT.

    `hook_normalized_resid_post` is what goes on.
    """

    def __init__(self, cfg: HookedTransformerConfig, layer: int = 0) -> None:
        super().__init__(cfg, layer)
        self.hook_normalized_resid_post = HookPoint()

    @property
    def attention_norm(self) -> Norm | NoNorm:
        """None: what comes in is normed."""
        return _NO_NORM

    def forward(self, resid: Residual, run: Run | None = None) -> Residual:
        """The residual stream after this layer, normed."""
        run = Run.over(resid) if run is None else run
        resid = self.hook_resid_pre(resid)
        attn_out = self.hook_attn_out(self._added(self.attention(resid, run), None))
        resid = self.hook_resid_mid(resid + attn_out)
        if self.hook_mlp_in.active:
            resid = self.hook_mlp_in(resid.clone())
        resid = self.ln1(resid)
        resid = self.hook_resid_post(resid + self.hook_mlp_out(self._added(self.mlp(resid), None)))
        return self.hook_normalized_resid_post(self.ln2(resid))


def make_block(cfg: HookedTransformerConfig, layer: int) -> TransformerBlock:
    """One layer, as `norm_position` arranges it."""
    return PostNormBlock(cfg, layer) if cfg.norm_position == "stream" else TransformerBlock(cfg, layer)


_NO_NORM = NoNorm()


def _first_norm(cfg: HookedTransformerConfig) -> Norm | NoNorm:
    return NoNorm() if cfg.norm_position == "after" else make_norm(cfg)


def _post_norm(cfg: HookedTransformerConfig) -> nn.Module | None:
    """The norm after a sublayer, if there is one; it keeps its weights when others' are folded."""
    if not (cfg.use_normalization_before_and_after or cfg.norm_position == "after"):
        return None
    kind = {"LNPre": "LN", "RMSPre": "RMS"}.get(str(cfg.normalization_type), cfg.normalization_type)
    return make_norm(cfg.replaced(normalization_type=kind))
