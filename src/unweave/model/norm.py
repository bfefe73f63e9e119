"""Normalisation layers, with the scale and the normalised input as hookable places."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unweave.core.hooks import HookPoint
from unweave.model.config import HookedTransformerConfig

Input = Float[Tensor, "*batch length"]


class Norm(nn.Module):
    """Abstract: divide by the root of the mean square plus eps, then apply the weights, if there are any.

    `hook_scale` is the divisor, `[batch, pos, 1]`; `hook_normalized` is the quotient *before* `w`
    and `b`, as in TransformerLens 3.9.

    In a model of 16-bit weights the divisor and the quotient are float32, at the hooks too; the
    quotient is then rounded to the model's dtype, and `w` and `b` are applied in that. So it is in
    TransformerLens and in the models of Hugging Face that define their own RMSNorm.

    Args:
        length: the size of the last dimension; None means d_model.
    """

    centres: ClassVar[bool]
    weighted: ClassVar[bool]
    w: Tensor | None
    b: Tensor | None

    def __init__(self, cfg: HookedTransformerConfig, length: int | None = None) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.length = cfg.d_model if length is None else length
        # None registers the name, and keeps it out of the weights.
        self.register_parameter("w", nn.Parameter(torch.ones(self.length)) if self.weighted else None)
        shifted = self.weighted and self.centres
        self.register_parameter("b", nn.Parameter(torch.zeros(self.length)) if shifted else None)
        self.hook_scale, self.hook_normalized = HookPoint(), HookPoint()

    def forward(self, x: Input) -> Input:
        """The normalised input; step by step if someone reads or edits the scale or the quotient."""
        if not (self.hook_scale.active or self.hook_normalized.active):
            return self.quiet(x)
        raised = _raised(x)
        if self._is_only_read() and raised is x:
            # One pass gives both; the weights are applied as in a run that nobody watches.
            normalized, _, inverse = torch.native_layer_norm(x, (self.length,), None, None, self.eps)
            self.hook_scale(inverse.reciprocal())
            self.hook_normalized(normalized)
            return self.quiet(x)
        if not self.hook_scale.active:
            return self._weighted(self.hook_normalized(self._fused(raised, None, None)).to(x.dtype))
        if self.centres:
            raised = raised - raised.mean(-1, keepdim=True)
        scale = self.hook_scale((raised.pow(2).mean(-1, keepdim=True) + self.eps).sqrt())
        return self._weighted(self.hook_normalized(raised / scale).to(x.dtype))

    def quiet(self, x: Input) -> Input:
        """The same, without running the hooks."""
        raised = _raised(x)
        if raised is x:
            return self._fused(x, self.w, self.b)
        return self._weighted(self._fused(raised, None, None).to(x.dtype))

    def _is_only_read(self) -> bool:
        """Whether what the hooks see leads nowhere, so that it may be computed beside the output."""
        hooks = (*self.hook_scale.fwd_hooks, *self.hook_normalized.fwd_hooks)
        return self.centres and not torch.is_grad_enabled() and not any(hook.edits for hook in hooks)

    def _weighted(self, x: Input) -> Input:
        x = x if self.w is None else x * self.w
        return x if self.b is None else x + self.b

    def _fused(self, x: Input, w: Tensor | None, b: Tensor | None) -> Input:
        if self.centres:
            return F.layer_norm(x, (self.length,), w, b, self.eps)
        return F.rms_norm(x, (self.length,), w, self.eps)


class LayerNorm(Norm):
    """Centre, normalise, then `* w + b`. (Ba, Kiros and Hinton, 2016, arXiv:1607.06450.)"""

    centres, weighted = True, True


class LayerNormPre(Norm):
    """LayerNorm without weights: what is left when they are folded into the layers that read it."""

    centres, weighted = True, False


class RMSNorm(Norm):
    """Normalise, then `* w`: neither centred nor shifted. (Zhang and Sennrich, 2019, arXiv:1910.07467.)

    Of queries and keys `[batch, pos, head, d_head]`, `hook_scale` is `[batch, pos, head, 1]`, where
    TransformerLens flattens the first three dimensions.
    """

    centres, weighted = False, True


class RMSNormPre(Norm):
    """RMSNorm without its weight."""

    centres, weighted = False, False


class NoNorm(nn.Module):
    """No normalisation: the input itself, and no hookable places."""

    def forward(self, x: Input) -> Input:
        """`x` as it is."""
        return x

    def quiet(self, x: Input) -> Input:
        """`x` as it is."""
        return x


NORM_LAYERS: dict[str | None, Callable[[HookedTransformerConfig], Norm | NoNorm]] = {
    "LN": LayerNorm,
    "LNPre": LayerNormPre,
    "RMS": RMSNorm,
    "RMSPre": RMSNormPre,
    None: lambda _: NoNorm(),
}


def make_norm(cfg: HookedTransformerConfig) -> Norm | NoNorm:
    """The layer that `cfg.normalization_type` names."""
    return NORM_LAYERS[cfg.normalization_type](cfg)


def _raised(x: Input) -> Input:
    return x.float() if x.dtype in (torch.bfloat16, torch.float16) else x
