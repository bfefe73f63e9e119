"""How good a dictionary is: how sparse, how faithful, and what the model loses by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from unweave.analysis.features.dictionary import Dictionary
from unweave.analysis.features.splicing import Spliced, splice
from unweave.core.results import Result
from unweave.engine.inputs import Inputs, as_inputs
from unweave.engine.metrics import Function, Loss, Metric
from unweave.engine.provenance import data_hash, weights_hash
from unweave.engine.site import Site
from unweave.engine.sweep import sweep
from unweave.model.transformer import HookedTransformer

# Below this, what is said of features that seldom fire rests on too few tokens.
FEW = 10_000
# A reconstruction shorter than this part of what it reconstructs has shrunk.
SHRUNK = 0.9
# A feature that fires on more tokens than this is hardly sparse.
DENSE = 0.5


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured of a dictionary.

    Args:
        tokens: how many vectors; padding is left out.
        l0: how many features are active at once, on average.
        density: the part of the tokens at which each feature is active, a dimension "feature".
        variance_explained: 1 - sum |x - x̂|² / sum |x - mean|², over all tokens; a transcoder's of its output.
        cosine: between output and target, the mean.
        norm_ratio: the mean norm of the output by that of the target: below 1 it has shrunk.
        metric: the metric, a dimension "run": "clean", "reconstruction" (the error left out), and
            "zero" and "mean", which put zero or the mean over tokens at the site.
        warnings: what must be known before comparing.
    """

    tokens: int
    l0: float
    density: Result
    variance_explained: float
    cosine: float
    norm_ratio: float
    metric: Result
    warnings: tuple[str, ...] = ()

    @property
    def dead(self) -> list[int]:
        """The features that were active at no token."""
        return (self.density.values == 0).nonzero()[:, 0].tolist()

    def recovered(self, reference: str = "mean") -> float:
        """`(ablated - reconstruction) / (ablated - clean)`: 1 loses nothing, 0 is as bad as the ablation.

        Args:
            reference: "mean" or "zero". Zero is far from anything the model sees: it flatters.
        """
        values = dict(zip(self.metric.coords["run"], self.metric.values.tolist(), strict=True))
        return (values[reference] - values["reconstruction"]) / (values[reference] - values["clean"])

    def __repr__(self) -> str:
        warned = "".join(f"\n  warning: {text}" for text in self.warnings)
        return (
            f"Evaluation on {self.tokens} tokens: L0 {self.l0:.1f}, variance explained "
            f"{self.variance_explained:.3f}, recovered {self.recovered():.3f} (of mean ablation), "
            f"{self.recovered('zero'):.3f} (of zero), {len(self.dead)} of {len(self.density.values)} dead{warned}"
        )


def evaluate(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    dictionary: Dictionary,
    *,
    metric: Metric | Function | None = None,
    at: str | None = None,
    out: str | None = None,
    batch_size: int = 32,
    attention_mask: Tensor | None = None,
) -> Evaluation:
    """Measure a dictionary on tokens that it wasn't trained on.

    Args:
        metric: what the model is for; None is the loss of the next token. The mean over samples
            of each sample's mean.
        at, out: as in `splice`.
        batch_size: samples whose features are held at once.

    Raises:
        HookError, InputError: as `splice` and `sweep` do.
    """
    inputs = as_inputs(tokens, attention_mask=attention_mask)
    with splice(model, dictionary, at=at, out=out) as spliced:
        sums = _Sums()
        for first in range(0, inputs.shape[0], batch_size):
            sums.add(model, inputs.of(slice(first, first + batch_size)), spliced)
        runs = {
            "reconstruction": Site(spliced.error).zero(),
            "zero": Site(spliced.output).zero(),
            "mean": Site(spliced.output).mean(per="all"),
        }
        measured = sweep(
            model, inputs, runs, metric=Loss() if metric is None else metric, controls=0, allow_equal=True
        )
    density = Result(
        sums.fired / sums.tokens,
        ("feature",),
        {"feature": tuple(range(len(sums.fired)))},
        "part of tokens",
        provenance={"metric": "density", "weights": weights_hash(model), "data": data_hash(inputs)},
    )
    found = Evaluation(
        sums.tokens,
        sums.fired.sum().item() / sums.tokens,
        density,
        1 - sums.error / sums.variance,
        sums.cosine / sums.tokens,
        sums.norms["output"] / sums.norms["target"],
        _with_clean(measured),
    )
    return replace(found, warnings=_warnings(found))


@dataclass
class _Sums:
    """Sums over tokens."""

    tokens: int = 0
    error: float = 0.0
    cosine: float = 0.0
    squares: float = 0.0
    fired: Tensor = field(default_factory=lambda: torch.zeros(0))
    total: Tensor = field(default_factory=lambda: torch.zeros(0))
    norms: dict[str, float] = field(default_factory=lambda: {"output": 0.0, "target": 0.0})

    @property
    def variance(self) -> float:
        """The sum of squared distances from the mean."""
        return self.squares - (self.total**2).sum().item() / self.tokens

    @torch.no_grad()
    def add(self, model: HookedTransformer, inputs: Inputs, spliced: Spliced) -> None:
        """Take a batch."""
        names = [spliced.features, spliced.recons, spliced.error]
        with model.recording(names) as kept:
            model(inputs.tokens, None, **inputs.others)
        mask = inputs.attention_mask
        here = torch.ones_like(inputs.tokens, dtype=torch.bool) if mask is None else mask.bool()
        features, output, error = _rows(kept, names, here)
        target = output + error
        if not self.tokens:
            self.fired, self.total = torch.zeros(features.shape[1]), torch.zeros_like(target[0])
        self.tokens += len(features)
        self.fired += (features != 0).sum(0).cpu()
        self.total += target.sum(0)
        self.squares += (target**2).sum().item()
        self.error += (error**2).sum().item()
        self.cosine += torch.cosine_similarity(output, target, dim=-1).sum().item()
        for name, vectors in (("output", output), ("target", target)):
            self.norms[name] += vectors.norm(dim=-1).sum().item()


def _rows(kept: Mapping[str, Tensor], names: list[str], here: Tensor) -> list[Tensor]:
    return [kept[name][here.to(kept[name].device)].double() for name in names]


def _with_clean(measured: Result) -> Result:
    """The sweep's values with the clean run's before them."""
    clean = measured.baselines["clean"].to(measured.values)
    per_sample = measured.per_sample
    return replace(
        measured,
        values=torch.cat([clean.mean()[None], measured.values]),
        dims=("run",),
        coords={"run": ("clean", *measured.coords["patch"])},
        per_sample=None if per_sample is None else torch.cat([clean[None], per_sample]),
    )


def _warnings(found: Evaluation) -> tuple[str, ...]:
    texts: list[str] = []
    if found.dead:
        text = f"{len(found.dead)} features were active at no token"
        texts.append(text + (f", of which there were only {found.tokens}" if found.tokens < FEW else ""))
    dense = int((found.density.values > DENSE).sum())
    if dense:
        texts.append(f"{dense} features are active at more than half of the tokens: they are hardly sparse")
    if found.norm_ratio < SHRUNK:
        texts.append(
            f"outputs are {100 * (1 - found.norm_ratio):.0f}% shorter than what they stand for: an L1 penalty shrinks them"
        )
    values = dict(zip(found.metric.coords["run"], found.metric.values.tolist(), strict=True))
    if abs(values["mean"] - values["clean"]) < 0.01 * max(abs(values["clean"]), 1e-6):
        texts.append("ablating the site hardly changes the metric: what is recovered of that means little")
    return tuple(texts)
