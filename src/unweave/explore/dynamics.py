"""Learning dynamics: a measure over a run's checkpoints, beside its loss."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import plotly.graph_objects as go

from unweave.charts import Card, Cards, Page, Picture, Section, Text, over_steps, write_page
from unweave.core.errors import InputError
from unweave.core.files import folder_atomic, write_json_atomic
from unweave.core.results import Label, Result
from unweave.training.history import HeldOut, StepRecord
from unweave.training.spikes import Spike, find_spikes

RESULT, ABOUT = "result.safetensors", "history.json"


@dataclass(frozen=True, eq=False)
class Dynamics:
    """What a measure says at each of a run's checkpoints.

    Args:
        result: its values, the dimension "step" first: updates that were done.
        history: the run's, one record a step.
        held_out: the run's measurements on held-out sequences.
    """

    result: Result
    history: tuple[StepRecord, ...]
    held_out: tuple[HeldOut, ...] = ()

    @property
    def steps(self) -> tuple[int, ...]:
        """Of the checkpoints, rising."""
        return tuple(int(step) for step in self.result.coords["step"])

    @cached_property
    def spikes(self) -> list[Spike]:
        """The run's loss spikes."""
        return find_spikes([record.loss for record in self.history])

    def sel(self, **labels: Label) -> Dynamics:
        """The part at these labels, such as `kind="induction"`; with `step=`, take `result.sel` instead.

        Raises:
            InputError: for a dimension or label that isn't there.
        """
        if "step" in labels:
            raise InputError(
                wanted="labels of the measure",
                got="a step",
                remedy="dynamics.result.sel(step=...) is that one",
            )
        return Dynamics(self.result.sel(**labels), self.history, self.held_out)

    def to_frame(self) -> Any:
        """A pandas DataFrame: a row a step and cell, a column a dimension, "value", and "loss".

        "loss" is that of the step before the checkpoint, on its batch, in nats; NaN for step 0.
        """
        frame = self.result.to_frame()
        losses = {record.step + 1: record.loss for record in self.history}
        return frame.assign(loss=[losses.get(step) for step in frame["step"]])

    def plot(self, title: str | None = None) -> go.Figure:
        """A curve over steps for numbers, a slider over steps for rows and matrices; the loss below, spikes marked.

        Raises:
            InputError: for more than two dimensions beside "step".
        """
        result, what = self.result, str(self.result.provenance.get("metric", "value"))
        names = [dim for dim in result.dims if dim != "step"]
        axes: dict[str, Any] = {}
        if names:
            axes |= {"x_title": names[-1], "x": _labels(result, names[-1])}
        if len(names) == 2:
            axes |= {"y_title": names[0], "y": _labels(result, names[0])}
        return over_steps(
            self.steps,
            result.values.double().numpy(),
            loss=([record.step for record in self.history], [record.loss for record in self.history]),
            spikes=([spike.step for spike in self.spikes], [spike.loss for spike in self.spikes]),
            title=title or f"{what[:1].upper()}{what[1:]} over training",
            value_title=f"{what} ({result.unit})" if result.unit else what,
            **axes,
        )

    def report(self, path: str | Path, title: str | None = None) -> Path:
        """Write one self-contained HTML page with the figure, and return its path."""
        what, last = str(self.result.provenance.get("metric", "value")), self.history[-1]
        shown = self.plot(title)
        cards = [
            Card("checkpoints", str(len(self.steps)), f"after steps {self.steps[0]} to {self.steps[-1]}"),
            Card("last loss", f"{last.loss:.4g} nats", f"step {last.step}"),
            Card("loss spikes", str(len(self.spikes)), "more than twice the level around them"),
        ]
        slides = "Move the slider to see each checkpoint; the line below says where in the loss it lies."
        caption = (
            slides
            if self.result.values.ndim > 1
            else "Above, at each checkpoint; below, the loss at each step."
        )
        warned = [Text("\n\n".join(self.result.warnings))] if self.result.warnings else []
        picture = Picture(shown, caption, f"{what} at {len(self.steps)} checkpoints, above the run's loss")
        page = Page(
            title or f"{what[:1].upper()}{what[1:]} over training",
            "Learning dynamics",
            "",
            [Section("Over training", "over-training", [Cards(cards), *warned, picture])],
        )
        return write_page(page, Path(path))

    def save(self, folder: str | Path) -> None:
        """Write everything into a folder, which is there whole or not at all."""
        with folder_atomic(Path(folder)) as part:
            self.result.save(part / RESULT)
            rows = {
                "history": [asdict(one) for one in self.history],
                "held_out": [asdict(one) for one in self.held_out],
            }
            write_json_atomic(part / ABOUT, rows)

    @classmethod
    def load(cls, folder: str | Path) -> Dynamics:
        """Open a folder that `save` wrote.

        Raises:
            InputError: if it is missing or cut short.
        """
        folder = Path(folder)
        try:
            rows = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
            history, held_out = (
                tuple(StepRecord(**one) for one in rows["history"]),
                tuple(HeldOut(**one) for one in rows["held_out"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                wanted=f"a whole folder of learning dynamics in {folder}",
                got=str(error),
                remedy="name one that dynamics.save wrote",
            ) from error
        return cls(Result.load(folder / RESULT), history, held_out)


def _labels(result: Result, dim: str) -> list[str] | list[float] | None:
    """Words for an axis; whole numbers from 0 on need none."""
    labels = result.coords[dim]
    if labels == tuple(range(len(labels))):
        return None
    numeric = all(isinstance(label, int) for label in labels)
    return [float(label) for label in labels] if numeric else [str(label) for label in labels]
