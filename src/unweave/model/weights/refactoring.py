"""Attention's factors, chosen anew: their products alone decide what a head does."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from unweave.core.factored_matrix import FactoredMatrix
from unweave.model.config import HookedTransformerConfig
from unweave.model.weights.folding import fold_value_biases
from unweave.model.weights.table import WeightTable


def refactor_attention(table: WeightTable, cfg: HookedTransformerConfig) -> dict[str, Any]:
    """Queries and keys evenly from the SVD of their product, values and outputs with W_O a rotation."""
    fold_value_biases(table, cfg)
    for layer in range(cfg.n_layers):
        at = f"blocks.{layer}.attn"
        _even_queries_and_keys(table, at)
        U, S, V = FactoredMatrix(table.read(f"{at}.W_V"), table.read(f"{at}.W_O")).svd()
        table.write(f"{at}.W_V", _padded(U * S[..., None, :], cfg.d_head))
        table.write(f"{at}.W_O", _padded(V, cfg.d_head).mT)
    return {}


def _even_queries_and_keys(table: WeightTable, at: str) -> None:
    # A bias is one more row: the weight of an input that is always 1.
    queries, keys = (_with_bias(table, at, which) for which in "QK")
    even = FactoredMatrix(queries, keys.mT).make_even()
    for which, rows in (("Q", even.A), ("K", even.B.mT)):
        weight = table.read(f"{at}.W_{which}")
        rows = _padded(rows, weight.shape[-1])
        table.write(f"{at}.W_{which}", rows[:, : weight.shape[1]])
        if f"{at}.b_{which}" in table:
            table.write(f"{at}.b_{which}", rows[:, -1])


def _with_bias(table: WeightTable, at: str, which: str) -> Float[Tensor, "head rows d_head"]:
    weight, bias = table.read(f"{at}.W_{which}"), f"{at}.b_{which}"
    return torch.cat([weight, table.read(bias)[:, None]], 1) if bias in table else weight


def _padded(matrix: Float[Tensor, "head rows rank"], d_head: int) -> Float[Tensor, "head rows d_head"]:
    """Columns of zeros, where d_head is larger than the rank can be."""
    return F.pad(matrix, (0, d_head - matrix.shape[-1]))
