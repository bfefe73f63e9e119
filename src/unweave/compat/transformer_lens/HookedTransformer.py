"""The hookable transformer, with 3.9's defaults."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from unweave.compat.loads import LoadsWeights
from unweave.compat.spliced import TakesModules
from unweave.core.hooked_module import HookedRootModule
from unweave.model.loss import Loss, Output

__all__ = ["HookedRootModule", "HookedTransformer", "Loss", "LossPerToken", "Output", "SingleLoss"]

SingleLoss = Float[Tensor, ""]
LossPerToken = Float[Tensor, "batch predicted"]


class HookedTransformer(LoadsWeights, TakesModules):
    """`unweave.HookedTransformer`, with 3.9's defaults where they differ."""
