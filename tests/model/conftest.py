from __future__ import annotations

import pytest
import torch.nn.functional as F
from torch import Tensor


@pytest.fixture
def fused_calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each call of the fused attention kernel."""
    calls: list[int] = []
    kernel = F.scaled_dot_product_attention

    def counted(*args: Tensor, **kwargs: object) -> Tensor:
        calls.append(1)
        return kernel(*args, **kwargs)

    monkeypatch.setattr(F, "scaled_dot_product_attention", counted)
    return calls
