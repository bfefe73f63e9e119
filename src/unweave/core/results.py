"""What an experiment measured: a labelled array with per-sample values, baselines and provenance."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unweave.core.errors import InputError
from unweave.core.files import file_atomic
from unweave.core.registry import reach

FORMAT, FORMAT_VERSION = "unweave-result", 1
Label = int | str

# Student's t, 97.5%, for 1 to 30 degrees of freedom.
T = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
    *(2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042),
)


@dataclass(frozen=True)
class Recheck:
    """One cell of an approximation, measured exactly as well.

    Args:
        labels: the cell's; those along which it is the whole are left out.
        approximate, exact: the change of the value from the clean run's.
        why: for what it was chosen.
    """

    labels: Mapping[str, Label]
    approximate: float
    exact: float
    why: str


@dataclass(frozen=True, eq=False)
class Result:
    """Values with the names of their dimensions, and where they come from.

    Args:
        values: one number a cell; the mean over samples where there are samples.
        dims: the names of the dimensions of `values`.
        coords: the labels along each.
        unit: of the values.
        per_sample: the same for each sample, `[*dims, sample]`.
        baselines: what the values are to be compared with, by name: "clean" is the run without any
            patch, "source" the run that patches come from, "random" patched runs in which the
            change was replaced by a random one of the same size. One number a sample, or for
            "random" `[draw, sample]` or `[draw]`.
        provenance: what was run, on what, how: JSON values.
        approximate: whether the values are approximations.
        rechecks: cells that were measured exactly as well.
        warnings: what a reader must know before using the values.
    """

    values: Float[Tensor, "*dims"]
    dims: tuple[str, ...]
    coords: Mapping[str, tuple[Label, ...]]
    unit: str = ""
    per_sample: Float[Tensor, "*dims sample"] | None = None
    baselines: Mapping[str, Tensor] = field(default_factory=dict[str, Tensor])
    provenance: Mapping[str, Any] = field(default_factory=dict[str, Any])
    approximate: bool = False
    rechecks: tuple[Recheck, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shape = tuple(len(self.coords[dim]) if dim in self.coords else -1 for dim in self.dims)
        if tuple(self.values.shape) != shape:
            raise InputError(
                wanted=f"values of the shape of their labels, {shape}",
                got=str(tuple(self.values.shape)),
                remedy="give each dimension a name and as many labels as it has entries",
            )

    def __repr__(self) -> str:
        sizes = ", ".join(f"{dim}: {size}" for dim, size in zip(self.dims, self.values.shape, strict=True))
        kind = "approximate values" if self.approximate else "values"
        warned = "".join(f"\n  warning: {text}" for text in self.warnings)
        return f"Result of {self.provenance.get('metric', 'a measurement')}, {kind} ({sizes}){warned}"

    @property
    def n_samples(self) -> int | None:
        """How many samples there are; None where values are not by sample."""
        return None if self.per_sample is None else self.per_sample.shape[-1]

    @property
    def effect(self) -> Float[Tensor, "*dims"]:
        """The change from the clean run, signed."""
        return self.values - self._baseline("clean").mean().to(self.values)

    @property
    def effect_per_sample(self) -> Float[Tensor, "*dims sample"]:
        """The change from the clean run in each sample, signed."""
        return self._samples() - self._baseline("clean").to(self.values)

    @property
    def interval(self) -> tuple[Tensor, Tensor]:
        """The ends of the 95% interval of each value, over samples: mean ± t s / sqrt(n).

        Samples must be independent. NaN with fewer than two.

        Raises:
            InputError: where values are not by sample.
        """
        return _interval(self._samples())

    @property
    def effect_interval(self) -> tuple[Tensor, Tensor]:
        """The same for `effect`: the differences are paired, and so narrower."""
        return _interval(self.effect_per_sample)

    @property
    def beyond_random(self) -> Bool[Tensor, "*dims"]:
        """Which cells change the value by more than every random change of the same size did.

        Raises:
            InputError: if no random controls were run.
        """
        random, clean = self._baseline("random"), self._baseline("clean")
        by_draw = random.flatten(1).mean(1) if random.ndim > 1 else random
        largest = (by_draw - clean.mean()).abs().max()
        return self.effect.abs() > largest.to(self.values)

    def sel(self, **labels: Label) -> Result:
        """The part at these labels; their dimensions go.

        Raises:
            InputError: for a dimension or label that isn't there.
        """
        index: list[int | slice] = [slice(None)] * len(self.dims)
        for dim, label in labels.items():
            if dim not in self.dims or label not in self.coords[dim]:
                raise InputError(
                    wanted=f"a label among {dim}: {self.coords.get(dim, ())}",
                    got=repr(label),
                    remedy=f"dimensions are {', '.join(self.dims)}",
                )
            index[self.dims.index(dim)] = self.coords[dim].index(label)
        left = tuple(dim for dim in self.dims if dim not in labels)
        return Result(
            self.values[tuple(index)],
            left,
            {dim: self.coords[dim] for dim in left},
            self.unit,
            None if self.per_sample is None else self.per_sample[tuple(index)],
            self.baselines,
            {**self.provenance, "selected": {**self.provenance.get("selected", {}), **labels}},
            self.approximate,
            tuple(
                check
                for check in self.rechecks
                if all(check.labels.get(d, lb) == lb for d, lb in labels.items())
            ),
            self.warnings,
        )

    def top(self, k: int = 10) -> list[tuple[dict[str, Label], float]]:
        """The k cells that change the value most, with their signed effects."""
        effect = self.effect.flatten()
        order = effect.abs().argsort(descending=True)[:k].tolist()
        return [(self.labels(number), effect[number].item()) for number in order]

    def labels(self, number: int) -> dict[str, Label]:
        """The labels of a cell, by its number in row-major order."""
        found: dict[str, Label] = {}
        for dim in reversed(self.dims):
            number, at = divmod(number, len(self.coords[dim]))
            found[dim] = self.coords[dim][at]
        return {dim: found[dim] for dim in self.dims}

    def to_frame(self, per_sample: bool = False) -> Any:
        """A pandas DataFrame: a row a cell (and sample), a column a dimension, then "value" and "effect".

        "effect" is there where there is a clean run to compare with. Where values are by sample, "low"
        and "high" are the ends of the value's interval.

        Raises:
            InputError: if pandas isn't installed.
        """
        try:
            import pandas  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError as error:
            raise InputError(
                wanted="pandas, for to_frame", got="none installed", remedy="pip install 'unweave[frames]'"
            ) from error
        return pandas.DataFrame(self._columns(per_sample))

    def plot(self, **options: Any) -> Any:
        """A plotly figure: lines for one dimension, a heatmap for two, one a panel for three."""
        return reach("plot a result")(self, **options)

    def save(self, path: str | Path) -> None:
        """Write everything as one safetensors file; a file of that name is replaced in one step.

        Raises:
            InputError: if the path is a folder, or a part of it is a file.
        """
        tensors = {"values": self.values, **{f"baseline/{n}": t for n, t in self.baselines.items()}}
        if self.per_sample is not None:
            tensors["per_sample"] = self.per_sample
        head = {
            "format": FORMAT,
            "format_version": FORMAT_VERSION,
            "dims": self.dims,
            "coords": {dim: list(self.coords[dim]) for dim in self.dims},
            "unit": self.unit,
            "provenance": dict(self.provenance),
            "approximate": self.approximate,
            "rechecks": [[dict(c.labels), c.approximate, c.exact, c.why] for c in self.rechecks],
            "warnings": self.warnings,
        }
        kept = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
        with file_atomic(Path(path)) as part:
            save_file(kept, part, metadata={"unweave": json.dumps(head)})

    @classmethod
    def load(cls, path: str | Path) -> Result:
        """Open a file that `save` wrote.

        Raises:
            InputError: if it is missing, cut short, or of a newer format.
        """
        try:
            with safe_open(Path(path), framework="pt") as file:
                head = json.loads((file.metadata() or {}).get("unweave", "{}"))
                tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise InputError(
                wanted=f"a whole result in {path}",
                got=str(error),
                remedy="name a file that result.save wrote",
            ) from error
        if head.get("format") != FORMAT or head.get("format_version") != FORMAT_VERSION:
            raise InputError(
                wanted=f"{FORMAT} of version {FORMAT_VERSION} in {path}",
                got=f"{head.get('format')} of version {head.get('format_version')}",
                remedy="name a file that result.save wrote, and open it with that version of unweave",
            )
        return cls(
            tensors["values"],
            tuple(head["dims"]),
            {dim: tuple(labels) for dim, labels in head["coords"].items()},
            head["unit"],
            tensors.get("per_sample"),
            {n.removeprefix("baseline/"): t for n, t in tensors.items() if n.startswith("baseline/")},
            head["provenance"],
            head["approximate"],
            tuple(Recheck(*check) for check in head["rechecks"]),
            tuple(head["warnings"]),
        )

    def _columns(self, per_sample: bool) -> dict[str, list[Any]]:
        values = self._samples() if per_sample else self.values
        n_each = values.numel() // self.values.numel()
        columns: dict[str, list[Any]] = {dim: [] for dim in self.dims}
        for number in range(self.values.numel()):
            for dim, label in self.labels(number).items():
                columns[dim] += [label] * n_each
        if per_sample:
            columns["sample"] = list(range(n_each)) * self.values.numel()
        columns["value"] = values.flatten().tolist()
        if "clean" in self.baselines:
            effect = self.effect_per_sample if per_sample else self.effect
            columns["effect"] = effect.flatten().tolist()
        if not per_sample and self.per_sample is not None:
            low, high = self.interval
            columns["low"], columns["high"] = low.flatten().tolist(), high.flatten().tolist()
        return columns

    def _baseline(self, name: str) -> Tensor:
        if name not in self.baselines:
            raise InputError(
                wanted=f"the baseline {name!r}",
                got=", ".join(self.baselines) or "none",
                remedy="run the sweep with controls=8" if name == "random" else "sweep again",
            )
        return self.baselines[name]

    def _samples(self) -> Tensor:
        if self.per_sample is None:
            raise InputError(
                wanted="values by sample",
                got="a metric that gives one number for all",
                remedy="return one number a sample from the metric",
            )
        return self.per_sample


def _interval(samples: Float[Tensor, "*dims sample"]) -> tuple[Tensor, Tensor]:
    n = samples.shape[-1]
    mean = samples.double().mean(-1)
    if n < 2:
        return torch.full_like(mean, math.nan), torch.full_like(mean, math.nan)
    half = t_quantile(n - 1) * samples.double().std(-1) / math.sqrt(n)
    return mean - half, mean + half


def t_quantile(freedom: int) -> float:
    """The 97.5% quantile of Student's t with so many degrees of freedom, to three digits."""
    if freedom <= len(T):
        return T[freedom - 1]
    # The first terms of its expansion about the normal quantile (Abramowitz and Stegun, 26.7.5).
    z = 1.959964
    first, second = (z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96
    return z + first / freedom + second / freedom**2


def json_ready(value: Any) -> Any:
    """`value` as JSON holds it: tensors as lists, what has no such form by its repr."""
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, Mapping):
        return {str(k): json_ready(v) for k, v in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [json_ready(part) for part in cast(tuple[Any, ...], value)]
    return value if isinstance(value, str | int | float | bool | None) else repr(value)
