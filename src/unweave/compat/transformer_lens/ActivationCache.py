"""What a run was seen to compute."""

from __future__ import annotations

from torch import Tensor

from unweave.compat.warned import warn
from unweave.core.errors import InputError
from unweave.model.cache import ActivationCache as StrictCache


class ActivationCache(StrictCache):
    """`unweave.ActivationCache`, which only warns of parts that don't sum to the residual stream."""

    def require_sum(self, rows: Tensor, whole: Tensor, what: str, to: str) -> None:
        """Warn where Unweave refuses."""
        try:
            super().require_sum(rows, whole, what, to)
        except InputError as error:
            warn(error)


__all__ = ["ActivationCache"]
