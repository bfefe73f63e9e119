"""What is swept. Imports nothing heavy, since every worker reads it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.speed.shapes import SHAPES, Shape


@dataclass(frozen=True)
class Case:
    """A sweep: the model's shape, how many sequences of which length, where, and what is measured.

    Args:
        site: "resid_pre" (layers and positions) or "z" (layers and heads, all positions).
        metric: "logit difference" (at the last position) or "loss" (of every next token).
        aim: how many times faster than the peer's loop it should be.
    """

    shape: Shape
    samples: int
    positions: int
    site: str
    metric: str
    aim: float | None = None

    @property
    def passes(self) -> int:
        """How many full runs the loop makes."""
        return self.shape.n_layers * (self.positions if self.site == "resid_pre" else self.shape.n_heads)

    @property
    def title(self) -> str:
        where = "layers x positions" if self.site == "resid_pre" else "layers x heads"
        return f"{self.site}, {where} ({self.passes}), {self.metric}"


GPT2, NO_POSITION = SHAPES["GPT-2 small"], SHAPES["no-position"]

CASES = {
    "resid": Case(GPT2, 4, 16, "resid_pre", "logit difference", 6),
    "heads": Case(GPT2, 4, 16, "z", "logit difference", 3),
    "resid-loss": Case(GPT2, 4, 16, "resid_pre", "loss"),
    "heads-loss": Case(GPT2, 4, 16, "z", "loss"),
    "no-position": Case(NO_POSITION, 4, 50, "resid_pre", "logit difference", 10),
    "no-position-loss": Case(NO_POSITION, 4, 50, "resid_pre", "loss"),
}
