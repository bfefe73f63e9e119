"""What the claims are tested on: the model, its controls, and separate batches of sequences."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.analysis.ablation import positional_means
from unweave.analysis.intervals import estimate
from unweave.analysis.outcomes import Hooks, Outcome, outcome
from unweave.core.claims import Estimate
from unweave.core.errors import InputError
from unweave.core.seeds import derive
from unweave.model.cache import ActivationCache
from unweave.model.transformer import HookedTransformer
from unweave.tasks import Batch, PreviousToken


@dataclass(frozen=True)
class Study:
    """One model under test.

    Args:
        model: two layers, one head.
        one_layer: the same, trained the same way, with one layer.
        seed: of every batch and of every random control.
        sequences: how many sequences each batch has.
    """

    model: HookedTransformer
    one_layer: HookedTransformer
    seed: int = 0
    sequences: int = 1000

    def __post_init__(self) -> None:
        require_shape(self.model, "model", 2)
        require_shape(self.one_layer, "one-layer control", 1)
        for size in ("d_vocab", "n_ctx"):
            ours, control = (getattr(model.cfg, size) for model in (self.model, self.one_layer))
            if ours != control:
                raise InputError(
                    wanted=f"a one-layer control with the model's {size}, {ours}",
                    got=str(control),
                    remedy="name another control, or leave it out to have one trained",
                )

    @cached_property
    def task(self) -> PreviousToken:
        return PreviousToken(d_vocab=self.model.cfg.d_vocab, n_ctx=self.model.cfg.n_ctx)

    @cached_property
    def batch(self) -> Batch:
        """Held-out sequences, on which everything is measured."""
        return self.task.batch(self.sequences, derive(self.seed, "held-out"))

    @cached_property
    def other(self) -> Batch:
        """A separate batch, from which means are taken."""
        return self.task.batch(self.sequences, derive(self.seed, "means"))

    @cached_property
    def untrained(self) -> HookedTransformer:
        """A model of the same config with fresh weights from a seed of its own."""
        return HookedTransformer(replace(self.model.cfg, seed=derive(self.seed, "untrained")))

    @cached_property
    def clean(self) -> Outcome:
        return self.outcome()

    @cached_property
    def cache(self) -> ActivationCache:
        """Every ordinary activation of the clean run on `batch`."""
        return self.cached(self.model)

    @cached_property
    def untrained_cache(self) -> ActivationCache:
        """Every ordinary activation of `model` on `batch`."""
        return self.cached(self.untrained)

    @torch.no_grad()
    def cached(self, model: HookedTransformer) -> ActivationCache:
        """Every ordinary activation of `model` on `batch`."""
        return model.run_with_cache(self.batch.tokens, return_type=None)[1]

    @cached_property
    def means(self) -> dict[str, Float[Tensor, "..."]]:
        """Per-position means of every activation over `other`."""
        return positional_means(self.model, self.other.tokens)

    def outcome(self, hooks: Hooks = (), batch: Batch | None = None) -> Outcome:
        """The model's outcome with hooks on, or on another batch."""
        return outcome(self.model, self.task, batch or self.batch, hooks)

    def rise(self, result: Outcome, first: int = 1) -> Estimate:
        """How much higher than clean the loss is from position `first` on, paired by sequence."""
        start = first - range(self.task.n_ctx)[self.task.scored][0]
        return estimate((result.loss - self.clean.loss)[:, start:].mean(1), "nats")

    def seed_for(self, *names: str | int) -> int:
        """A seed for a further batch."""
        return derive(self.seed, *names)

    def draw(self, *names: str | int) -> torch.Generator:
        """A generator for a random control."""
        return torch.Generator().manual_seed(derive(self.seed, *names))


def require_shape(model: HookedTransformer, what: str, n_layers: int) -> None:
    """Refuse a model that the claims are not about.

    Raises:
        InputError: naming the field that differs.
    """
    cfg = model.cfg
    for name, wanted, good in (
        ("n_layers", str(n_layers), cfg.n_layers == n_layers),
        ("n_heads", "1", cfg.n_heads == 1),
        ("attn_only", "False", not cfg.attn_only),
        ("d_vocab_out", f"d_vocab, {cfg.d_vocab}", cfg.d_vocab_out == cfg.d_vocab),
        ("d_vocab", "at least 20", cfg.d_vocab >= 20),
        ("n_ctx", "at least 20", cfg.n_ctx >= 20),
    ):
        if not good:
            raise InputError(
                wanted=f"a {what} with {name} {wanted}",
                got=str(getattr(cfg, name)),
                remedy="the claims of no-position are about that shape: train one with `unweave run no-position`",
            )


def averaged(outcomes: Iterable[Outcome]) -> Outcome:
    """The mean outcome of repeated random draws, sequence by sequence."""
    drawn = list(outcomes)
    return Outcome(*(torch.stack([getattr(o, f) for o in drawn]).mean(0) for f in ("logits", "loss", "hits")))
