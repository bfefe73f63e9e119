"""Norms' weights folded into what reads them, and value biases into output biases."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.weights.table import WeightTable

# A matrix [..., d_in, d_out] and the bias that is added to its product; None where there is none.
Reader = tuple[str, str | None]


def fold_norms(table: WeightTable, cfg: HookedTransformerConfig) -> dict[str, Any]:
    """`(n * w + b) @ W` is `n @ (w[:, None] * W) + b @ W`, where n is what a norm has normalised."""
    fields = table.untie(cfg)
    for layer in range(cfg.n_layers):
        attention, mlp = f"blocks.{layer}.attn", f"blocks.{layer}.mlp"
        _fold(table, f"blocks.{layer}.ln1", [table.projection(attention, which) for which in "QKV"])
        if not cfg.attn_only:
            _fold(table, f"blocks.{layer}.ln2", list(_mlp_readers(table, mlp)))
        if f"{mlp}.ln.w" in table:
            _fold(table, f"{mlp}.ln", [(f"{mlp}.W_out", f"{mlp}.b_out")])
    _fold(table, "ln_final", [("unembed.W_U", "unembed.b_U")])
    return {**fields, "normalization_type": f"{cfg.normalization_type}Pre"}


def fold_value_biases(table: WeightTable, cfg: HookedTransformerConfig) -> dict[str, Any]:
    """`pattern @ (v + b_V) @ W_O` is `pattern @ v @ W_O + b_V @ W_O`: rows of the pattern sum to one."""
    for layer in range(cfg.n_layers):
        at = f"blocks.{layer}.attn"
        (_, bias), W_O = table.projection(at, "V"), table.read(f"{at}.W_O")
        if bias in table:
            b_V = table.read(bias)
            every_head = b_V.repeat_interleave(W_O.shape[0] // b_V.shape[0], 0)
            table.add_to_bias(f"{at}.b_O", torch.einsum("he,hed->d", every_head, W_O))
            table.write(bias, torch.zeros_like(b_V))
    return {}


def _mlp_readers(table: WeightTable, at: str) -> Iterator[Reader]:
    if f"{at}.W_gate" not in table:
        yield f"{at}.W_in", f"{at}.b_in"
        return
    if f"{at}.b_gate" in table:
        yield f"{at}.W_gate", f"{at}.b_gate"
        yield f"{at}.W_in", f"{at}.b_in"
        return
    # The gate multiplies, so that b_in is not added to the product with W_in but later.
    yield f"{at}.W_gate", None
    if f"{at}.W_in" in table:
        yield f"{at}.W_in", None
    expert = 0
    while f"{at}.experts.{expert}.W_in" in table:
        yield f"{at}.experts.{expert}.W_in", None
        yield f"{at}.experts.{expert}.W_gate", None
        expert += 1


def _fold(table: WeightTable, norm: str, readers: Sequence[Reader]) -> None:
    w, centred = table.take(f"{norm}.w"), f"{norm}.b" in table
    b = table.take(f"{norm}.b") if centred else torch.zeros_like(w)
    for matrix, bias in readers:
        weight = table.read(matrix)
        shift = torch.einsum("d,...de->...e", b, weight)
        if bias is not None:
            table.add_to_bias(bias, shift)
        elif shift.any():
            raise InputError(
                wanted=f"a bias beside {matrix} to fold that of {norm} into",
                got="none",
                remedy="leave fold_ln out, or use RMS norms, which have no bias",
            )
        scaled = w[:, None] * weight
        # What is centred has nothing along the all-ones direction: there the weight may as well be zero.
        table.write(matrix, scaled - scaled.mean(-2, keepdim=True) if centred else scaled)
