"""More features than dimensions, most of them absent: toy models of superposition."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.seeds import derive, generator
from unweave.tasks.task import require_count


@dataclass(frozen=True)
class SparseFeatures:
    """Vectors that a model shall give back, through a narrow place (Elhage et al., 2022, arXiv:2209.10652).

    Each feature is absent (0) or uniform in [0, 1], by itself. The loss is the mean over samples and
    features of `importance · (x - x')²`, with importance `decay^i` for feature i. Features are no
    tokens: `training.train` has no use for this task, its models are plain modules.

    Args:
        probability: of a feature to be present; 1 minus the paper's sparsity.
        decay: the importance of a feature over that of the one before.
    """

    n_features: int = 5
    probability: float = 0.1
    decay: float = 0.9

    def __post_init__(self) -> None:
        require_count(self.n_features, "n_features", 1, "SparseFeatures")
        for name, value in (("probability", self.probability), ("decay", self.decay)):
            if not isinstance(value, float) or not 0 < value <= 1:
                raise InputError(
                    wanted=f"a {name} above 0, at most 1.0",
                    got=repr(value),
                    remedy=f"set {name} in SparseFeatures",
                )

    @property
    def name(self) -> str:
        """As configs write it."""
        return "sparse-features"

    @property
    def importance(self) -> Float[Tensor, " feature"]:
        """How much each feature counts."""
        return self.decay ** torch.arange(self.n_features)

    @property
    def chance_loss(self) -> float:
        """The loss of the best answer that looks at nothing: each feature's mean, p/2.

        Its variance: E[x²] = p/3, so p/3 - p²/4.
        """
        p = self.probability
        return (p / 3 - p**2 / 4) * self.importance.mean().item()

    @property
    def best_loss(self) -> float:
        """0, with as many dimensions as features."""
        return 0.0

    def batch(self, batch_size: int, seed: int) -> Float[Tensor, "batch feature"]:
        """`batch_size` vectors of features."""
        shape = (require_count(batch_size, "batch_size", 1), self.n_features)
        source = generator(seed, self.name)
        present = torch.rand(shape, generator=source) < self.probability
        return torch.rand(shape, generator=source) * present

    def held_out(self, batch_size: int, seed: int = 0) -> Float[Tensor, "batch feature"]:
        """Vectors of a part of the stream that `batch` never gives."""
        return self.batch(batch_size, derive(seed, "held-out"))

    def loss(
        self, output: Float[Tensor, "batch feature"], features: Float[Tensor, "batch feature"]
    ) -> Float[Tensor, ""]:
        """The mean of `importance · (features - output)²`.

        Raises:
            InputError: for an output of another shape.
        """
        if output.shape != features.shape:
            raise InputError(
                wanted=f"outputs of shape {tuple(features.shape)}",
                got=str(tuple(output.shape)),
                remedy="pass the model's answer to these features",
            )
        return (self.importance.to(output) * (features - output) ** 2).mean()
