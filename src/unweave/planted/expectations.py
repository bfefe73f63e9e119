"""What techniques should find in a planted model, in words and as something to be checked."""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from unweave.core.edges import Node

_DOING = {
    "noise": "noising {} (the clean run with the corrupted run's value)",
    "denoise": "denoising {} (the corrupted run with the clean run's value)",
    "zero": "ablating {} to zero",
    "mean": "ablating {} to its mean over all sequences",
}


@dataclass(frozen=True)
class Contrast:
    """Two sequences `[1, pos]` of one length with different outputs at `position`."""

    clean: Int[Tensor, "1 pos"]
    corrupted: Int[Tensor, "1 pos"]
    position: int


@dataclass(frozen=True)
class Expectation:
    """What an intervention does on the contrast, at its position.

    Args:
        operation: "noise", "denoise", "zero" or "mean", of what the nodes write at all positions.
        nodes: the heads and MLPs, all at once.
        changes: whether the output differs from that of the run without it. Where denoising
            changes the output, it is the clean one.
    """

    operation: str
    nodes: tuple[Node, ...]
    changes: bool

    def __post_init__(self) -> None:
        assert self.operation in _DOING, self.operation

    def __str__(self) -> str:
        what = _DOING[self.operation].format(" and ".join(map(str, self.nodes)))
        if not self.changes:
            return f"{what} leaves the output as it is"
        return f"{what} {'restores' if self.operation == 'denoise' else 'destroys'} it"
