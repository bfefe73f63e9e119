"""Chains whose rule must be read off the sequence itself."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.seeds import derive
from unweave.tasks.batch import Batch
from unweave.tasks.task import Task, require_count


@dataclass(frozen=True)
class MarkovChains(Task):
    """Each sequence is a Markov chain with a transition matrix of its own (Edelman et al., 2024, arXiv:2402.11004).

    Every row of the matrix is drawn from a symmetric Dirichlet distribution; the first state is
    uniform. Targets are the next states. There is no BOS: states are tokens 0 to `d_vocab - 1`.

    Args:
        d_vocab: the number of states.
        concentration: of the Dirichlet distribution; 1 is uniform over all matrices.
    """

    d_vocab: int = 3
    n_ctx: int = 64
    concentration: float = 1.0

    def __post_init__(self) -> None:
        self._require(d_vocab=2, n_ctx=2)
        if not isinstance(self.concentration, float) or not 0 < self.concentration < float("inf"):
            raise InputError(
                wanted="a concentration above 0",
                got=repr(self.concentration),
                remedy="set it in MarkovChains, as 1.0",
            )

    @property
    def scored(self) -> slice:
        """All positions but the last."""
        return slice(None, -1)

    @property
    def best_loss(self) -> None:
        """Not known in closed form: `bigram_loss` of a batch is what the best model reaches on it."""
        return

    def word(self, token: int) -> str:
        """How a token is written for people."""
        return chr(ord("A") + token) if self.d_vocab <= 26 else str(token)

    def batch(self, batch_size: int, seed: int) -> Batch:
        """`batch_size` chains `[batch_size, n_ctx]`, and targets `[batch_size, n_ctx - 1]`."""
        n, size = require_count(batch_size, "batch_size", 1), self.d_vocab
        # numpy draws gamma variables from a generator of its own; torch only from the global one.
        from numpy.random import default_rng

        source = default_rng(derive(seed, self.name))
        rows = torch.from_numpy(source.gamma(self.concentration, size=(n, size, size))).clamp_min(1e-300)
        ladder = (rows / rows.sum(-1, keepdim=True)).cumsum(-1)
        draws = torch.from_numpy(source.random((self.n_ctx, n)))
        states = [(draws[0] * size).long()]
        for draw in draws[1:]:
            steps = ladder[torch.arange(n), states[-1]]
            states.append((draw[:, None] > steps).sum(-1).clamp_max(size - 1))
        tokens = torch.stack(states, 1)
        return Batch(tokens, tokens[:, 1:].clone())

    def bigram_loss(self, batch: Batch) -> Float[Tensor, "batch scored"]:
        """The loss, in nats, of the best guess there is: from how often each state has followed this one.

        That guess is the mean of the posterior, `(count + concentration) / (total + d_vocab concentration)`;
        no model does better in the mean, and one that does so here was lucky or saw the future.
        """
        follows = self._one_hot(batch.targets)
        same = (batch.tokens[:, :-1, None] == batch.tokens[:, None, :-1]).tril(-1).double()
        return self._posterior(same @ follows, batch.targets)

    def unigram_loss(self, batch: Batch) -> Float[Tensor, "batch scored"]:
        """The loss, in nats, of a guess from how often each state has occurred, in whatever order."""
        seen = self._one_hot(batch.tokens[:, :-1]).cumsum(1)
        return self._posterior(seen, batch.targets)

    def _posterior(
        self, counts: Float[Tensor, "batch scored d_vocab"], targets: Int[Tensor, "batch scored"]
    ) -> Float[Tensor, "batch scored"]:
        guess = counts + self.concentration
        return -(guess / guess.sum(-1, keepdim=True)).log().gather(-1, targets[..., None]).squeeze(-1)

    def _one_hot(self, tokens: Int[Tensor, "batch pos"]) -> Float[Tensor, "batch pos d_vocab"]:
        return torch.nn.functional.one_hot(tokens, self.d_vocab).double()
