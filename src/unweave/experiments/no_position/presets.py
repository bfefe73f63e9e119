"""Model and training, as they are set beforehand."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.tasks import PreviousToken
from unweave.training import Constant, Larger, LinearWarmup, Ramp, TrainConfig

TASK = PreviousToken(d_vocab=300, n_ctx=50)


# `max(step / 100, 1)`: the slip that a reader of the original found, where `min` was meant.
GROWING_WITHOUT_END = Larger(Ramp(100), Constant())


@dataclass(frozen=True)
class Preset:
    """One way of running the experiment.

    `sequences` is the size of every batch that the claims are measured on, `ablation_sequences`
    of those for evaluation and mean ablation.
    """

    name: str
    training: TrainConfig
    sequences: int
    ablation_sequences: int

    def train_config(self, seed: int) -> TrainConfig:
        """The training of one seed."""
        return dataclasses.replace(self.training, seed=seed)


PRESETS = {
    "quick": Preset(
        "quick",
        TrainConfig(steps=1000, batch_size=256, lr=1e-3, schedule=LinearWarmup(100)),
        sequences=512,
        ablation_sequences=512,
    ),
    "notebook": Preset(
        "notebook",
        TrainConfig(steps=4000, batch_size=256, lr=1e-4, schedule=LinearWarmup(100)),
        sequences=1024,
        ablation_sequences=4000,
    ),
    # What the original's stored run seems to be: see docs/no-position.md.
    "uncorrected": Preset(
        "uncorrected",
        TrainConfig(steps=4000, batch_size=256, lr=1e-4, schedule=GROWING_WITHOUT_END),
        sequences=1024,
        ablation_sequences=4000,
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


def model_config(n_layers: int, seed: int) -> HookedTransformerConfig:
    """The original's model, or its one-layer control."""
    return HookedTransformerConfig(
        n_layers=n_layers,
        d_model=64,
        n_heads=1,
        d_head=64,
        d_mlp=256,
        d_vocab=TASK.d_vocab,
        n_ctx=TASK.n_ctx,
        act_fn="relu",
        normalization_type="LN",
        positional_embedding_type="none",
        seed=seed,
        model_name=f"no-position-{n_layers}L",
    )
