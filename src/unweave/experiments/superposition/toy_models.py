"""Many toy models trained side by side: `x' = f(Wᵀ W x + b)` for every density and seed at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.seeds import generator


@dataclass(frozen=True)
class ToyTraining:
    """How a family of toy models is trained: AdamW, as in the paper's notebook.

    Attributes:
        n_features: n.
        n_hidden: m, the dimensions that the features must share.
        decay: the importance of a feature over that of the one before.
        densities: the probability of a feature to be present, one a model.
        steps: of AdamW at `lr`, torch's other settings.
        batch_size: samples a step, fresh ones.
        held_out: batches that the loss is measured on; a rare feature needs many before it is known.
    """

    n_features: int
    n_hidden: int
    decay: float
    densities: tuple[float, ...]
    steps: int
    batch_size: int
    lr: float = 1e-3
    held_out: int = 100

    @property
    def importance(self) -> Float[Tensor, " feature"]:
        return self.decay ** torch.arange(self.n_features)


@dataclass(frozen=True)
class ToyModels:
    """Trained toy models, one for each seed and density.

    Attributes:
        W: the directions of the features, each a row.
        b: the biases.
        loss: held-out, the mean over samples and features of importance · (x - x')².
    """

    W: Float[Tensor, "seed density feature hidden"]
    b: Float[Tensor, "seed density feature"]
    loss: Float[Tensor, "seed density"]

    @property
    def norms(self) -> Float[Tensor, "seed density feature"]:
        """How strongly each feature is represented; 1 is in full."""
        return self.W.norm(dim=-1)

    @property
    def dimensionality(self) -> Float[Tensor, "seed density feature"]:
        """The share of a dimension that each feature has: |W_i|² / Σ_j (Ŵ_i·W_j)², 0 for an absent one."""
        squares = (self.W**2).sum(-1)
        overlaps = ((self.W @ self.W.mT) ** 2).sum(-1)
        return torch.where(overlaps > 1e-12, squares**2 / overlaps.clamp_min(1e-12), 0.0)

    @property
    def dimensions_per_feature(self) -> Float[Tensor, "seed density"]:
        """D* = m / |W|², over the features that the model represents."""
        return self.W.shape[-1] / (self.W**2).sum((-1, -2)).clamp_min(1e-12)


def train_toys(
    how: ToyTraining,
    seeds: Sequence[int],
    *,
    relu: bool = True,
    after_step: Callable[[], object] = lambda: None,
) -> ToyModels:
    """Train one model for each seed and density; the same seeds see the same samples, ReLU or not.

    A seed's models do not depend on the other seeds beside it.
    """
    shape = (len(how.densities), how.n_features, how.n_hidden)
    W = torch.stack(
        [_xavier(shape, generator(seed, "superposition", "weights")) for seed in seeds]
    ).requires_grad_()
    b = torch.zeros(W.shape[:-1], requires_grad=True)
    optimizer = torch.optim.AdamW([W, b], lr=how.lr)
    draws = [generator(seed, "superposition", "data") for seed in seeds]
    for _ in range(how.steps):
        loss = _loss(W, b, _samples(how, draws), how.importance, relu)
        optimizer.zero_grad()
        # The sum: the models do not share a parameter, so each gets the gradient of its own loss.
        loss.sum().backward()
        optimizer.step()
        after_step()
    fresh = [generator(seed, "superposition", "held-out") for seed in seeds]
    with torch.no_grad():
        losses = [_loss(W, b, _samples(how, fresh), how.importance, relu) for _ in range(how.held_out)]
    return ToyModels(W.detach(), b.detach(), torch.stack(losses).mean(0))


def untrained(how: ToyTraining, seeds: Sequence[int]) -> ToyModels:
    """The same models before their first step."""
    return train_toys(replace(how, steps=0), seeds)


def _xavier(shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    """Xavier's normal initialisation of each matrix, with a variance of 2 / (n + m)."""
    return torch.randn(shape, generator=source) * (2 / (shape[-1] + shape[-2])) ** 0.5


def _samples(
    how: ToyTraining, draws: Sequence[torch.Generator]
) -> Float[Tensor, "seed density feature batch"]:
    """Features absent (0), or uniform in [0, 1] with the density of their model.

    All densities of a seed share their draws: what is present at one is present at all above it.
    """
    density = torch.tensor(how.densities)[:, None, None]
    shape = (1, how.n_features, how.batch_size)
    uniform = torch.stack([torch.rand(shape, generator=draw) for draw in draws])
    # Given that it is below the density, the draw over the density is uniform in [0, 1] itself.
    return torch.where(uniform < density, uniform / density, 0.0)


def _loss(
    W: Tensor, b: Tensor, x: Float[Tensor, "seed density feature batch"], importance: Tensor, relu: bool
) -> Float[Tensor, "seed density"]:
    answer = W @ (W.mT @ x) + b[..., None]
    answer = answer.relu() if relu else answer
    return (importance[:, None] * (x - answer) ** 2).mean((-1, -2))
