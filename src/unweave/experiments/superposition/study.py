"""What the claims are tested on: both families of toy models, and their linear twins."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from unweave.core.files import file_atomic
from unweave.experiments.superposition.presets import Preset
from unweave.experiments.superposition.toy_models import ToyModels, ToyTraining, train_toys, untrained

FAMILIES = ("five", "five_linear", "five_untrained", "many", "many_linear")
PRESENT = 0.5  # the norm above which a feature is taken for represented


@dataclass(frozen=True)
class Study:
    """Trained toy models; in each family the densities fall from 1.

    Args:
        five: five features in two dimensions, importance falling.
        five_linear: the same without the ReLU, at the first and last density only.
        five_untrained: the models of `five` before their first step.
        many: many features of equal importance.
        many_linear: the same without the ReLU, at three densities.
    """

    preset: Preset
    five: ToyModels
    five_linear: ToyModels
    five_untrained: ToyModels
    many: ToyModels
    many_linear: ToyModels

    def save(self, path: Path) -> None:
        """Write every model into one file."""
        tensors = {
            f"{family}.{field.name}": getattr(getattr(self, family), field.name).contiguous()
            for family in FAMILIES
            for field in fields(ToyModels)
        }
        with file_atomic(path) as part:
            save_file(tensors, part)

    @classmethod
    def load(cls, path: Path, preset: Preset) -> Study:
        """The models that `save` wrote."""
        tensors = load_file(path)
        return cls(
            preset,
            **{
                family: ToyModels(
                    **{field.name: tensors[f"{family}.{field.name}"] for field in fields(ToyModels)}
                )
                for family in FAMILIES
            },
        )

    @property
    def two_only(self) -> Float[Tensor, " density"]:
        """The loss of a model of five features that keeps the first two, and answers the others by their mean.

        Exact: a feature of density p has the variance p/3 - p²/4.
        """
        how = self.preset.five
        p = torch.tensor(how.densities)
        return (p / 3 - p**2 / 4) * how.importance[how.n_hidden :].sum() / how.n_features

    @property
    def pentagons(self) -> Bool[Tensor, "seed density"]:
        """Where all five features are represented, and neighbours are 72° apart, within 15°."""
        gaps = neighbouring_angles(self.five.W)
        return (self.five.norms > PRESENT).all(-1) & ((gaps - 72).abs() < 15).all(-1)


def neighbouring_angles(W: Float[Tensor, "*model feature 2"]) -> Float[Tensor, "*model feature"]:
    """The angles between neighbouring directions, going round once, in degrees; they sum to 360."""
    angles = torch.atan2(W[..., 1], W[..., 0]).sort(-1).values
    following = torch.cat([angles[..., 1:], angles[..., :1] + 2 * math.pi], -1)
    return (following - angles).rad2deg()


def train_study(preset: Preset, first: int, seeds: int, progress: bool = False) -> Study:
    """Train everything that the claims need, on seeds from `first` on."""
    five = range(first, first + seeds)
    many = range(first, first + max(1, round(seeds * preset.many_seeds / preset.seeds)))
    ends = replace(preset.five, densities=(preset.five.densities[0], preset.five.densities[-1]))
    wide = preset.many.densities
    some = replace(preset.many, densities=(wide[0], wide[len(wide) // 2], wide[-1]))
    runs: Mapping[str, tuple[ToyTraining, range, bool]] = {
        "five": (preset.five, five, True),
        "five_linear": (ends, five, False),
        "many": (preset.many, many, True),
        "many_linear": (some, many, False),
    }
    trained: dict[str, ToyModels] = {"five_untrained": untrained(preset.five, five)}
    # Time goes by models, features and samples, not by steps alone.
    work = {
        name: len(how.densities) * len(s) * how.batch_size * how.n_features
        for name, (how, s, _) in runs.items()
    }
    total = sum(work[name] * how.steps for name, (how, _, _) in runs.items())
    with tqdm(total=total, desc="training", unit="value", unit_scale=True, disable=not progress) as bar:
        for name, (how, whose, relu) in runs.items():
            bar.set_postfix_str(name.replace("_", ", "))
            trained[name] = train_toys(how, whose, relu=relu, after_step=partial(bar.update, work[name]))
    return Study(preset, **trained)
