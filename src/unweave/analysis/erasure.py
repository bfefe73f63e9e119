"""Concept erasure: LEACE, the least change of activations after which no linear probe reads a concept."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Shaped
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from unweave.analysis.activations import activations
from unweave.analysis.probing import compared, constant_name, facts_of, unit_of
from unweave.analysis.readable import Items, items_of
from unweave.core.errors import InputError
from unweave.core.files import file_atomic
from unweave.core.results import Result
from unweave.engine.inputs import Inputs, as_inputs, require_model
from unweave.engine.site import Intervention, Site
from unweave.model.transformer import HookedTransformer

FORMAT = "unweave-eraser"
# Directions in which activations vary less than this part of the most are taken not to vary.
RANK_TOLERANCE = 1e-10


@dataclass(frozen=True, eq=False)
class Eraser:
    """`x - (x - mean) @ removed.T`, in the dtype of `x`.

    Args:
        removed: an oblique projection onto what is taken away, as wide as the concept has dimensions.
        provenance: where it comes from.
    """

    mean: Float[Tensor, " d"]
    removed: Float[Tensor, "d d"]
    provenance: dict[str, Any] = field(default_factory=dict[str, Any])

    def __call__(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        """`x` without the concept."""
        mean, removed = self.mean.to(x.device), self.removed.to(x.device)
        return (x.double() - (x.double() - mean) @ removed.T).to(x.dtype)

    @property
    def rank(self) -> int:
        """How many dimensions are taken away."""
        return round(self.removed.trace().item())

    def at(self, site: Site) -> Intervention:
        """The erasure as an intervention at `site`."""
        return site.apply(self)

    def save(self, path: str | Path) -> None:
        """Write it as one safetensors file."""
        head = {"unweave": json.dumps({"format": FORMAT, "provenance": self.provenance})}
        with file_atomic(Path(path)) as part:
            save_file({"mean": self.mean, "removed": self.removed.contiguous()}, part, metadata=head)

    @classmethod
    def load(cls, path: str | Path) -> Eraser:
        """Open a file that `save` wrote.

        Raises:
            InputError: if it is missing or something else.
        """
        try:
            with safe_open(Path(path), framework="pt") as file:
                head = json.loads((file.metadata() or {}).get("unweave", "{}"))
                if head.get("format") == FORMAT:
                    return cls(file.get_tensor("mean"), file.get_tensor("removed"), head["provenance"])
                got = "another file"
        except (OSError, SafetensorError) as error:
            got = str(error)
        raise InputError(wanted=f"an eraser in {path}", got=got, remedy="name a file that eraser.save wrote")


def leace(x: Float[Tensor, "n d"], concept: Shaped[Tensor, "..."]) -> Eraser:
    """The affine map that takes a concept out of `x` and changes it least, in mean square.

    After it `x` and the concept have no covariance, on the data that it was made from: and this is so
    exactly if no linear probe with a convex loss does better than a constant. Among all affine maps
    of which this holds, none changes `x` less, in whichever inner product. In closed form: `x - W⁺ P W
    (x - mean)`, where W whitens x, and P projects on what W Cov(x, z) spans. (Belrose et al., 2023,
    arXiv:2306.03819.) What isn't linear stays, and so may what other data hold.

    Args:
        concept: a class an item, `[n]` whole numbers; or numbers, `[n]` or `[n, k]`.

    Raises:
        InputError: for another shape, or a concept that is constant.
    """
    z = _coded(concept, len(x))
    x, mean = x.detach().double(), x.detach().double().mean(0)
    centred = x - mean
    values, basis = torch.linalg.eigh(centred.T @ centred / len(x))
    kept = values > RANK_TOLERANCE * values.max().clamp_min(1e-300)
    root, basis = values[kept].sqrt(), basis[:, kept]
    # Whitened coordinates, along the principal axes: one for each direction in which x varies.
    crossed = (basis.T @ (centred.T @ (z - z.mean(0)) / len(x))) / root[:, None]
    left, size, _ = torch.linalg.svd(crossed, full_matrices=False)
    # Whitened, an entry is at most the concept's own standard deviation: noise in it is far below.
    real = size > 1e-9 * z.std(0, correction=0).norm()
    spanned = left[:, real]
    removed = (basis * root) @ spanned @ spanned.T @ (basis / root).T
    return Eraser(mean, removed)


@dataclass(frozen=True, eq=False)
class Erasure:
    """An eraser, and how well a probe reads the concept without and with it.

    Args:
        result: dimensions "activations" ("as they are", "erased") and "score", those of `probe`.
    """

    eraser: Eraser
    site: Site
    result: Result

    @property
    def intervention(self) -> Intervention:
        """To pass to `unweave.intervene` or a sweep."""
        return self.eraser.at(self.site)


@torch.no_grad()
def erase(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    labels: Shaped[Tensor, "..."],
    site: Site,
    *,
    types: Tensor | None = None,
    held_out: float = 0.3,
    penalty: float = 1e-3,
    draws: int = 3,
    seed: int = 0,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
) -> Erasure:
    """Erase a concept at a site: LEACE on some sequences, judged by new probes on others.

    `unweave.intervene(model, tokens, erase(...).intervention)` then shows what the model does without
    it. Only what a linear reader at this site could use is gone: it can be there in a form that isn't
    linear, and a later layer can compute it anew from tokens that other positions hold.

    Args:
        labels, types, held_out, penalty, draws: as in `unweave.probes.probe`; classes or numbers.
        site: in one layer, without a direction.

    Raises:
        InputError: as `probe`; for a site in several layers or with several heads.
    """
    model = require_model(model)
    inputs = as_inputs(tokens, attention_mask=attention_mask, token_type_ids=token_type_ids)
    hooks = site.hooks(model)
    if len(hooks) != 1 or site.direction is not None or site.neuron is not None:
        raise InputError(
            wanted="a whole site in one layer, to erase from",
            got=f"{len(hooks)} hooks" if len(hooks) != 1 else "a direction, or some neurons of one",
            remedy="write Site('resid_post', layer), say",
        )
    items = items_of(inputs, site, labels, types, held_out, seed)
    gathered = activations(model, inputs, site)[hooks[0]]
    x = gathered.flatten(0, 1)[items.place].double()
    made = leace(x[items.fitted], items.label[items.fitted])
    facts = facts_of(model, inputs, items, penalty, seed)
    change = (made(x) - x).pow(2).sum(1).mean() / (x - x.mean(0)).pow(2).sum(1).mean()
    facts |= {
        "operation": "LEACE",
        "site": hooks[0],
        "rank": made.rank,
        "mean squared change, part of the variance": change.item(),
    }
    rows = [torch.stack([*compared(items, each, penalty, draws, seed)[0].values()]) for each in (x, made(x))]
    per_sample = torch.stack(rows)
    result = Result(
        per_sample.mean(-1),
        ("activations", "score"),
        {
            "activations": ("as they are", "erased"),
            "score": ("held-out", constant_name(items), "shuffled", "control", "selectivity"),
        },
        unit_of(items),
        per_sample,
        provenance={**facts, "method": "closed form"},
        warnings=tuple(_said(items, x, made, per_sample)),
    )
    eraser = Eraser(
        made.mean, made.removed, {name: facts[name] for name in ("site", "weights", "data", "rank")}
    )
    return Erasure(eraser, site, result)


def _said(items: Items, x: Tensor, made: Eraser, scores: Tensor) -> list[str]:
    said: list[str] = []
    n_fitted, width = int(items.fitted.sum()), x.shape[1]
    if n_fitted < 10 * width:
        said.append(
            f"made from {n_fitted} items in {width} dimensions: on other data some of the concept can remain"
        )
    before, after = (scores[at, 0] - scores[at, 1] for at in (0, 1))
    low = Result(after.mean(), (), {}, per_sample=after).interval[0].item()
    if low > 0.0:
        said.append(
            f"a probe of the erased activations still beats a constant on held-out sequences, by {after.mean():.2f}"
        )
    if not before.mean() > 0.0:
        said.append("no probe read the concept here before it was erased: there was little to erase")
    return said


def _coded(concept: Tensor, n: int) -> Float[Tensor, "n k"]:
    """Classes as one column each; numbers as they are."""
    given = concept.detach().cpu()
    if given.ndim not in (1, 2) or len(given) != n or (given.ndim == 2 and not given.is_floating_point()):
        raise InputError(
            wanted=f"{n} classes, or numbers [{n}] or [{n}, k], one row an item",
            got=f"shape {tuple(given.shape)}, {given.dtype}",
            remedy="give each item of x its own",
        )
    if given.is_floating_point():
        coded = given.double().reshape(n, -1)
    else:
        coded = torch.nn.functional.one_hot(given.unique(return_inverse=True)[1]).double()
    if not bool((coded.std(0, correction=0) > 0).any()):
        raise InputError(
            wanted="a concept that varies", got="one that is the same everywhere", remedy="pass other items"
        )
    return coded
