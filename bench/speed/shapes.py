"""What is measured: two models and their batches. Imports nothing, since every worker reads it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Shape:
    """A model, and the batches `(sequences, positions)` that it is given.

    Args:
        positional: whether it has a learned table of positions.
        training: the batch of a training step.
        small, large: those of a forward run.
        rounds: how often each library is timed.
        steps: which step of a run of `unweave.training.train` is timed, after those that warm it up.
    """

    n_layers: int
    d_model: int
    n_heads: int
    d_vocab: int
    n_ctx: int
    act_fn: str
    positional: bool
    training: tuple[int, int]
    small: tuple[int, int]
    large: tuple[int, int]
    rounds: int
    steps: int
    prompt: tuple[int, int] = (1, 8)
    new_tokens: int = 64

    @property
    def d_mlp(self) -> int:
        return 4 * self.d_model

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads


SHAPES = {
    # The experiment's model. Without positions n_ctx is a limit only: 256, since TransformerLens
    # 3.9.0 can't generate up to n_ctx.
    "no-position": Shape(
        2,
        64,
        1,
        300,
        256,
        "relu",
        False,
        training=(256, 50),
        small=(4, 50),
        large=(256, 50),
        rounds=31,
        steps=5,
    ),
    # Random weights. The large batch has short sequences: its logits alone are 0.8 GB.
    "GPT-2 small": Shape(
        12,
        768,
        12,
        50257,
        1024,
        "gelu",
        True,
        training=(4, 64),
        small=(4, 64),
        large=(256, 16),
        rounds=5,
        steps=4,
    ),
}

# The learning rate of a step whose result nobody uses.
LEARNING_RATE = 1e-3
