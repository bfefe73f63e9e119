"""How large a grid is, said before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from unweave.model.transformer import HookedTransformer
from unweave.training.grids.member import Member
from unweave.training.run_file import RunConfig

NUMBER = 4  # bytes of a parameter, and of each of AdamW's two moments


@dataclass(frozen=True)
class Size:
    """What a grid, or a part of it, takes.

    Args:
        runs, steps, tokens: in all.
        parameters: of the smallest and the largest model.
        flops: floating point operations: 6 a token and parameter (Kaplan et al., 2020, arXiv:2001.08361),
            which leaves out what attention takes with the context's square.
        disk: bytes of checkpoints and models.
    """

    runs: int
    steps: int
    tokens: int
    parameters: tuple[int, int]
    flops: float
    disk: int

    @classmethod
    def of(cls, members: Sequence[Member]) -> Size:
        """Of these runs."""
        counts = [parameters(member.config) for member in members]
        steps = [member.config.training.steps for member in members]
        return cls(
            len(members),
            sum(steps),
            sum(tokens(member.config) for member in members),
            (min(counts, default=0), max(counts, default=0)),
            sum(work(member.config) for member in members),
            sum(_disk(member.config, n) for member, n in zip(members, counts, strict=True)),
        )

    def __str__(self) -> str:
        """As a sentence's part."""
        low, high = self.parameters
        each = f"{low:,}" if low == high else f"{low:,} to {high:,}"
        return (
            f"{self.runs} {'run' if self.runs == 1 else 'runs'} of {each} parameters, {self.steps:,} steps and "
            f"{self.tokens:,} tokens in all, about {self.flops:.1e} operations and {_bytes(self.disk)} on disk"
        )


def parameters(config: RunConfig) -> int:
    """How many numbers the run's model holds; none is drawn for it."""
    return HookedTransformer.without_weights(config.model).n_params_total


def tokens(config: RunConfig) -> int:
    """Tokens that the run trains on."""
    return config.training.steps * config.training.batch_size * config.task.n_ctx


def work(config: RunConfig) -> float:
    """Floating point operations of the run, about."""
    return 6.0 * tokens(config) * parameters(config)


def _disk(config: RunConfig, count: int) -> int:
    return NUMBER * count * (3 * len(config.training.checkpoint_steps()) + 1)


def _bytes(count: int) -> str:
    size, units = float(count), ["B", "kB", "MB", "GB", "TB"]
    while size >= 1000 and len(units) > 1:
        size, units = size / 1000, units[1:]
    return f"{size:.3g} {units[0]}"
