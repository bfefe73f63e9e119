"""One training step's forward pass, for each way of being sparse."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unweave.analysis.features.dictionary import Dictionary

# What dead features' reconstruction of the error counts (Gao et al., 2024).
AUXILIARY = 1 / 32
# How fast a batch top-k's threshold follows its batches.
THRESHOLD_RATE = 0.01


@dataclass(frozen=True, eq=False)
class Step:
    """What a forward pass gave; losses are means over vectors of sums over dimensions."""

    features: Float[Tensor, "token d_sae"]
    output: Float[Tensor, "token d"]
    error: Float[Tensor, ""]
    loss: Float[Tensor, ""]


@dataclass(frozen=True)
class Sparsity:
    """A way of keeping features few: `architecture`, and its k or penalty."""

    architecture: str
    k: int | None
    l1: float

    def step(
        self, dictionary: Dictionary, x: Float[Tensor, "token d"], warm: float, dead: Bool[Tensor, " d_sae"]
    ) -> Step:
        """The forward pass; `warm` from 0 to 1 is how much of the penalty counts yet."""
        pre = (x - dictionary.b_dec) @ dictionary.W_enc + dictionary.b_enc
        features = self._active(pre)
        output = features @ dictionary.W_dec + dictionary.b_dec
        error = (x - output).pow(2).sum(-1).mean()
        if self.architecture == "standard":
            penalty = (features * dictionary.W_dec.norm(dim=-1)).sum(-1).mean()
            return Step(features, output, error, error + warm * self.l1 * penalty)
        return Step(features, output, error, error + self._auxiliary(dictionary, pre, x - output, dead))

    def before_update(self, dictionary: Dictionary) -> None:
        """Take the part off a decoder row's gradient that would only change its norm."""
        gradient = dictionary.W_dec.grad
        if self.architecture != "standard" and gradient is not None:
            rows = dictionary.W_dec.detach()
            gradient -= (gradient * rows).sum(-1, keepdim=True) * rows

    @torch.no_grad()
    def after_update(self, dictionary: Dictionary, done: Step) -> None:
        """Bring decoder rows back to norm one, and the threshold after its batches."""
        if self.architecture == "standard":
            return
        dictionary.W_dec.div_(dictionary.W_dec.norm(dim=-1, keepdim=True))
        positive = done.features[done.features > 0]
        if self.architecture == "batchtopk" and len(positive):
            dictionary.threshold.lerp_(positive.min().expand_as(dictionary.threshold), THRESHOLD_RATE)

    def _active(self, pre: Float[Tensor, "token d_sae"]) -> Float[Tensor, "token d_sae"]:
        if self.k is None:
            return pre.relu()
        if self.architecture == "topk":
            top = pre.topk(self.k, dim=-1)
            return torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu())
        flat = pre.relu().flatten()
        top = flat.topk(self.k * len(pre))
        return torch.zeros_like(flat).scatter(-1, top.indices, top.values).view_as(pre)

    def _auxiliary(self, dictionary: Dictionary, pre: Tensor, left: Tensor, dead: Tensor) -> Tensor:
        """The error of the best dead features' reconstruction of what the others leave."""
        if not bool(dead.any()):
            return pre.new_zeros(())
        k = min(int(dead.sum()), max(1, pre.shape[1] // 2), max(1, left.shape[1] // 2))
        top = pre.masked_fill(~dead, -torch.inf).topk(k, dim=-1)
        guess = torch.zeros_like(pre).scatter(-1, top.indices, top.values.relu()) @ dictionary.W_dec
        return AUXILIARY * (left.detach() - guess).pow(2).sum(-1).mean()
