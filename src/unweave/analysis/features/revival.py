"""Features that don't fire any more, and their second beginning."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from unweave.analysis.features.dictionary import Dictionary
from unweave.core import seeds

# The norm of a new encoder column, as a part of the living ones' (Bricken et al., 2023).
TIMID = 0.2


class Revival:
    """Counts how long each feature hasn't fired.

    Attributes:
        silent: steps since each last did.
    """

    def __init__(self, d_sae: int, dead_after: int, seed: int) -> None:
        self.silent = torch.zeros(d_sae, dtype=torch.long)
        self.dead_after, self.seed, self.times = dead_after, seed, 0

    @property
    def dead(self) -> Bool[Tensor, " d_sae"]:
        """Those that count as dead."""
        return self.silent >= self.dead_after

    def see(self, features: Float[Tensor, "token d_sae"]) -> None:
        """Take a step's features."""
        self.silent = torch.where((features.detach() != 0).any(0).cpu(), 0, self.silent + 1)

    @torch.no_grad()
    def resample(
        self, dictionary: Dictionary, optimiser: torch.optim.Optimizer, x: Float[Tensor, "token d"]
    ) -> None:
        """Let dead features begin again at inputs drawn by their squared loss (Bricken et al., 2023)."""
        dead = self.dead.nonzero()[:, 0]
        self.times += 1
        if not len(dead):
            return
        loss = (x - dictionary(x)).pow(2).sum(-1)
        draw = seeds.generator(self.seed, "resample", self.times)
        chosen = torch.multinomial(loss.pow(2) + 1e-12, len(dead), replacement=True, generator=draw)
        rows = x[chosen] - dictionary.b_dec
        rows = rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-8)
        living = dictionary.W_enc[:, ~self.dead].norm(dim=0)
        size = TIMID * (living.mean() if len(living) else torch.ones(()))
        dictionary.W_dec[dead] = rows
        dictionary.W_enc[:, dead] = size * rows.T
        dictionary.b_enc[dead] = 0.0
        for weight, index in (
            (dictionary.W_dec, (dead,)),
            (dictionary.W_enc, (slice(None), dead)),
            (dictionary.b_enc, (dead,)),
        ):
            for moment in ("exp_avg", "exp_avg_sq"):
                optimiser.state[weight][moment][index] = 0.0
        self.silent[dead] = 0
