"""Probes that read k neurons: how few are enough, and which."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from unweave.analysis.activations import activations
from unweave.analysis.probing import about_items, compared, constant_name, doubts, facts_of, unit_of
from unweave.analysis.readable import Items, items_of
from unweave.analysis.requirements import require_whole
from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.engine.inputs import Inputs, as_inputs, require_model
from unweave.engine.site import Site
from unweave.model.config_checks import require_choice
from unweave.model.transformer import HookedTransformer


@torch.no_grad()
def sparse_probe(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    labels: Shaped[Tensor, "..."],
    site: Site,
    ks: Sequence[int] = (1, 2, 4, 8, 16),
    *,
    select: str = "adaptive",
    types: Tensor | None = None,
    held_out: float = 0.3,
    penalty: float = 1e-3,
    draws: int = 3,
    seed: int = 0,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
) -> Result:
    """How well the best k neurons of a site read labels, for each k, on held-out sequences.

    Neurons (or dimensions of a stream, whose basis then matters) are chosen on the sequences that are
    fitted, never on those that are judged. Unlike a probe of all dimensions this says where something
    lies; a feature in superposition needs many neurons although one direction holds it. (Gurnee et
    al., 2023, arXiv:2305.01610. Of their ways to choose, here are two; none finds the best k surely.)

    Args:
        labels, types, held_out, penalty, draws: as in `probe`.
        site: in one layer.
        select: "difference" takes the neurons whose means differ most between the classes (the
            variance of class means over that within classes; for numbers, the correlation);
            "adaptive" halves their number again and again, each time keeping those with the largest
            weights of a probe of those left, in units of their standard deviations.

    Returns:
        Dimensions "k" and "score": those of `probe`, and "random neurons", as many drawn at random.
        `provenance["neurons"]` has those chosen, by k.

    Raises:
        InputError: as `probe`; for several layers, or a k out of range.
    """
    model = require_model(model)
    require_choice("select", select, tuple(SELECTORS))
    require_whole("draws", draws, 1)
    inputs = as_inputs(tokens, attention_mask=attention_mask, token_type_ids=token_type_ids)
    hooks = site.hooks(model)
    if len(hooks) != 1:
        raise InputError(wanted="a site in one layer", got=", ".join(hooks), remedy="name its layer")
    items = items_of(inputs, site, labels, types, held_out, seed)
    x = activations(model, inputs, site)[hooks[0]].flatten(0, 1)[items.place].double()
    outside = [k for k in ks if not 1 <= k <= x.shape[1]]
    if outside or not ks:
        raise InputError(
            wanted=f"numbers of neurons from 1 to {x.shape[1]}", got=str(outside), remedy="give other ks"
        )
    draw = seeds.generator(seed, "random neurons")
    rows: list[Tensor] = []
    chosen: dict[str, list[int]] = {}
    warnings = [*about_items(items, max(ks))]
    for k in sorted(set(ks)):
        picked = SELECTORS[select](items, x, k, penalty)
        scores, fitted = compared(items, x[:, picked], penalty, draws, seed)
        drawn = [torch.randperm(x.shape[1], generator=draw)[:k] for _ in range(draws)]
        random = torch.stack([items.scores(x[:, at], penalty)[0] for at in drawn]).mean(0)
        rows.append(torch.stack([*scores.values(), random]))
        chosen[str(k)] = picked.sort().values.tolist()
        means = {name: value.mean().item() for name, value in scores.items()}
        pair = scores["held-out"], scores[constant_name(items)]
        warnings += doubts(f"k={k}", means, fitted, pair)
    per_sample = torch.stack(rows)
    names = ("held-out", constant_name(items), "shuffled", "control", "selectivity", "random neurons")
    return Result(
        per_sample.mean(-1),
        ("k", "score"),
        {"k": tuple(sorted(set(ks))), "score": names},
        unit_of(items),
        per_sample,
        provenance={
            **facts_of(model, inputs, items, penalty, seed),
            "operation": "k-sparse probe",
            "site": hooks[0],
            "method": f"neurons chosen on the fitted sequences: {select}",
            "neurons": chosen,
        },
        warnings=tuple(warnings),
    )


def by_difference(items: Items, x: Float[Tensor, "n d"], k: int, penalty: float) -> Int[Tensor, " k"]:
    """The k inputs that tell the labels apart best, each alone, among the items to fit."""
    known, label = x[items.fitted], items.label[items.fitted]
    if not items.n_classes:
        centred, number = known - known.mean(0), (label - label.mean()).double()
        score = (centred.T @ number).abs() / centred.norm(dim=0).clamp_min(1e-300)
        return score.topk(k).indices
    member = torch.nn.functional.one_hot(label, items.n_classes).double()
    size = member.sum(0)
    means = (member.T @ known) / size.clamp_min(1)[:, None]
    between = (size[:, None] * (means - known.mean(0)).pow(2)).sum(0)
    within = (known - means[label]).pow(2).sum(0)
    # An input that is constant in each class and differs between them is perfect; one constant throughout is none.
    score = torch.where(between > 1e-20, between / (within + 1e-12 * between), 0.0)
    return score.topk(k).indices


def adaptively(items: Items, x: Float[Tensor, "n d"], k: int, penalty: float) -> Int[Tensor, " k"]:
    """The k inputs left when the half with the smallest weights is dropped again and again."""
    left, spread = torch.arange(x.shape[1]), x[items.fitted].std(0, correction=0)
    while len(left) > k:
        weight = items.scores(x[:, left], penalty)[2]
        # What all classes share makes no difference between them.
        weight = weight - weight.mean(1, keepdim=True) if items.n_classes else weight
        size = weight.norm(dim=1) * spread[left]
        left = left[size.topk(max(k, len(left) // 2)).indices]
    return left


SELECTORS: dict[str, Callable[[Items, Tensor, int, float], Tensor]] = {
    "difference": by_difference,
    "adaptive": adaptively,
}
