"""Means that nothing can see, taken out of what is written to the residual stream and of the logits."""

from __future__ import annotations

import re
from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.model.weights.table import WeightTable

WRITERS = re.compile(
    r"embed\.W_E|pos_embed\.W_pos|token_type_embed\.W_token_type"
    r"|blocks\.\d+\.attn\.[Wb]_O|blocks\.\d+\.mlp\.(experts\.\d+\.)?[Wb]_out"
)


def center_writing_weights(table: WeightTable, cfg: HookedTransformerConfig) -> dict[str, Any]:
    """Each row of what writes `[..., d_model]`, less its mean."""
    fields = table.untie(cfg)
    for name in filter(WRITERS.fullmatch, table.names):
        # Shortformer's positions are read by queries and keys alone, past every norm.
        if name != "pos_embed.W_pos" or cfg.positional_embedding_type != "shortformer":
            _centre(table, name)
    return fields


def center_unembed(table: WeightTable, cfg: HookedTransformerConfig) -> dict[str, Any]:
    """Each row of `W_U` `[d_model, d_vocab_out]`, and `b_U`, less its mean."""
    fields = table.untie(cfg)
    for name in ("unembed.W_U", "unembed.b_U"):
        if name in table:
            _centre(table, name)
    return fields


def _centre(table: WeightTable, name: str) -> None:
    weight = table.read(name)
    table.write(name, weight - weight.mean(-1, keepdim=True))
