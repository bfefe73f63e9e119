"""How large the study is, as it was set beforehand."""

from __future__ import annotations

from dataclasses import dataclass

from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.tasks import PreviousToken
from unweave.training import TrainConfig


@dataclass(frozen=True)
class Preset:
    """One size of the study; model, widths and AdamW's settings are the original's in all of them.

    Args:
        task: the previous token, without positions.
        training: the original's settings, without its schedule.
        seeds: of weights and data together; every cell has the same ones.
        branch_at: the step of `max, original` from which branches go on with other settings.
        branch_steps: how far they go on.
        streams: so many branches of each kind, each on other batches.
        frozen: batches that the finished model is shown, to see what it takes for spikes without training.
        apart: so many spikes of each run with the original's settings, the highest, are taken apart.
    """

    name: str
    task: PreviousToken
    training: TrainConfig
    seeds: int
    branch_at: int
    branch_steps: int
    streams: int
    frozen: int
    apart: int = 3

    def model(self, seed: int) -> HookedTransformerConfig:
        """The original's two layers, one head, no positions."""
        return HookedTransformerConfig(
            n_layers=2,
            d_model=64,
            n_heads=1,
            d_head=64,
            d_mlp=256,
            d_vocab=self.task.d_vocab,
            n_ctx=self.task.n_ctx,
            act_fn="relu",
            normalization_type="LN",
            positional_embedding_type="none",
            seed=seed,
            model_name="no-position-2L",
        )


# A shorter context and fewer tokens, which are learned in fewer steps; under `max` the rate ends at 4.8e-3, in the
# original's run at 4e-3. Chosen on one training that is no part of the study (seed 100, `max, original`, lr 3e-4,
# 1500 steps), for a loss whose spikes stand out from the noise of the batches.
SHORT = PreviousToken(d_vocab=30, n_ctx=12)

PRESETS = {
    "quick": Preset(
        "quick",
        SHORT,
        TrainConfig(steps=400, batch_size=64, lr=1.2e-3, checkpoint_every=50),
        seeds=5,
        branch_at=300,
        branch_steps=50,
        streams=2,
        frozen=100,
    ),
    "reduced": Preset(
        "reduced",
        SHORT,
        TrainConfig(steps=600, batch_size=128, lr=8e-4, checkpoint_every=50),
        seeds=5,
        branch_at=450,
        branch_steps=75,
        streams=4,
        frozen=200,
    ),
    # The original's run, in its own size: about two days of one core.
    "paper": Preset(
        "paper",
        PreviousToken(d_vocab=300, n_ctx=50),
        TrainConfig(steps=4000, batch_size=256, lr=1e-4, checkpoint_every=100),
        seeds=5,
        branch_at=3000,
        branch_steps=500,
        streams=2,
        frozen=1000,
    ),
}


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        InputError: for a name that is not known.
    """
    if name not in PRESETS:
        raise InputError(
            wanted="the name of a preset", got=repr(name), remedy=f"known ones: {', '.join(PRESETS)}"
        )
    return PRESETS[name]
