"""What is measured: two models and their batches. Imports nothing, since every worker reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A model, and the batches `(sequences, positions)` that it is given.

    `positional` says whether it has a learned table of positions.
    """

    n_layers: int
    d_model: int
    n_heads: int
    d_mlp: int
    d_vocab: int
    n_ctx: int
    act_fn: str
    positional: bool
    training: tuple[int, int]
    small: tuple[int, int]
    large: tuple[int, int]
    repeats: int

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads


SHAPES = {
    "no-position": Shape(
        n_layers=2,
        d_model=64,
        n_heads=1,
        d_mlp=256,
        d_vocab=300,
        n_ctx=50,
        act_fn="relu",
        positional=False,
        training=(256, 50),
        small=(4, 50),
        large=(256, 50),
        repeats=15,
    ),
    # Random weights. The large batch has short sequences: its logits alone are 0.8 GB.
    "GPT-2 small": Shape(
        n_layers=12,
        d_model=768,
        n_heads=12,
        d_mlp=3072,
        d_vocab=50257,
        n_ctx=1024,
        act_fn="gelu",
        positional=True,
        training=(4, 64),
        small=(4, 64),
        large=(256, 16),
        repeats=3,
    ),
}

# The learning rate of a step whose result nobody uses.
LEARNING_RATE = 1e-3
