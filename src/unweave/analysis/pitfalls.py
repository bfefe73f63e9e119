"""What a reader of ablations must know, whatever was ablated: said by the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from jaxtyping import Bool, Float
from torch import Tensor

from unweave.engine.metrics import Function, Metric, Probability

# Zero is far where it lies over so many standard deviations from the mean.
FAR = 2.0


def zero_is_far(sent: Float[Tensor, "*parts sample pos d"]) -> Bool[Tensor, "*parts"]:
    """Whether zero is nothing that a part ever sends on these samples.

    By position: what is sent at one position is compared with what is sent there in other samples; the
    squared distance of zero from the mean against that of the samples, over positions together.
    """
    mean = sent.mean(-3)
    spread = (sent - mean.unsqueeze(-3)).pow(2).sum(-1).mean(-2)
    return mean.pow(2).sum((-1, -2)) > FAR**2 * spread.sum(-1)


def about_zero(names: Sequence[str]) -> Iterator[str]:
    """The warning of ablations to zero, of the parts that are never near it."""
    if names:
        yield (
            f"zero is nothing that {some(names)} ever {'sends' if len(names) == 1 else 'send'} on these samples (it "
            "lies over two standard deviations from the mean): effects may be those of an input that the model "
            "never sees; compare with Mean or with another run"
        )


def about_probability(metric: Metric | Function, parts: str) -> Iterator[str]:
    """The warning of a metric that hides what makes an unlikely answer less likely still."""
    if isinstance(metric, Probability):
        yield (
            f"a probability saturates at 0 and 1: {parts} that lower a small one, or raise a large one, hardly show; "
            "compare with LogitDifference"
        )


def some(names: Sequence[str]) -> str:
    """The names, or three of them and how many more there are."""
    if len(names) <= 3:
        return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))
    return f"{', '.join(names[:3])} and {len(names) - 3} more"
