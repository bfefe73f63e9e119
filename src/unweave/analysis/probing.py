"""Linear probes at sites of a model, beside what they must be compared with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from unweave.analysis.activations import activations
from unweave.analysis.readable import Items, items_of
from unweave.analysis.requirements import require_whole
from unweave.core.results import Result
from unweave.engine.inputs import Inputs, as_inputs, require_model
from unweave.engine.provenance import data_hash, weights_hash
from unweave.engine.site import Site
from unweave.model.transformer import HookedTransformer

# A control task that gets so much of the probe's gain over a constant answer makes the gain suspect.
MEMORY = 0.5
# A score on what was fitted that is so much above the held-out one.
OVERFITTED = 0.1


@torch.no_grad()
def probe(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    labels: Shaped[Tensor, "..."],
    over: Site | str = "resid_post",
    *,
    types: Tensor | None = None,
    held_out: float = 0.3,
    penalty: float = 1e-3,
    draws: int = 3,
    seed: int = 0,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
) -> Result:
    """How well a linear probe reads labels at a site, in each layer that the site names, on held-out sequences.

    Whole numbers are classes (logistic regression, the share of right answers); floating-point
    numbers are quantities (ridge regression, R squared). A probe shows that something can be read, not
    that the model reads it: erase it (`unweave.analysis.erase`) and see what changes.

    Args:
        labels: one a sample `[sample]`, one a position `[sample, pos]`, or one a position that the
            site chooses. -1, or NaN, leaves an item out, as padding is.
        types: what the control task's labels hang on, in the same shapes; None is the token there.
        held_out: the share of sequences to judge on; copies of a sequence are one.
        penalty: see `fit_logistic` and `fit_ridge`; not searched for.
        draws: how many control tasks, and shuffled labels, are averaged.

    Returns:
        Dimensions "site" and "score": "held-out"; "majority" or "mean", the best constant answer;
        "shuffled", a probe fitted to labels in random order; "control", a probe fitted to a random
        label for each token type; and "selectivity", held-out less control (Hewitt and Liang, 2019,
        arXiv:1909.03368). `per_sample` is by held-out
        sequence. `warnings` name the sites where a
        score means less than it seems to.

    Raises:
        InputError: for labels of another shape, too few sequences, or a single class.
    """
    model = require_model(model)
    require_whole("draws", draws, 1)
    inputs = as_inputs(tokens, attention_mask=attention_mask, token_type_ids=token_type_ids)
    site = Site(over) if isinstance(over, str) else over
    items = items_of(inputs, site, labels, types, held_out, seed)
    gathered = activations(model, inputs, site)
    rows: list[dict[str, Tensor]] = []
    fitted: dict[str, float] = {}
    for name, x in gathered.items():
        row, fitted[name] = compared(items, x.flatten(0, 1)[items.place], penalty, draws, seed)
        rows.append(row)
    per_sample = torch.stack([torch.stack(list(row.values())) for row in rows])
    scores = tuple(rows[0])
    return Result(
        per_sample.mean(-1),
        ("site", "score"),
        {"site": tuple(gathered), "score": scores},
        unit_of(items),
        per_sample,
        provenance={
            **facts_of(model, inputs, items, penalty, seed),
            "method": "logistic regression" if items.n_classes else "ridge regression",
            "score on what was fitted": fitted,
        },
        warnings=(*about_items(items, max(x.shape[-1] for x in gathered.values())), *_doubts(rows, fitted)),
    )


def compared(
    items: Items, x: Tensor, penalty: float, draws: int, seed: int
) -> tuple[dict[str, Tensor], float]:
    """Each held-out sequence's scores, by name, and the score on what was fitted."""
    held, fitted, _ = items.scores(x, penalty)
    drawn = [seed * draws + draw for draw in range(draws)]
    control = torch.stack([items.control(n).scores(x, penalty)[0] for n in drawn]).mean(0)
    shuffled = torch.stack([items.shuffled(n).scores(x, penalty)[0] for n in drawn]).mean(0)
    return {
        "held-out": held,
        constant_name(items): items.constant(),
        "shuffled": shuffled,
        "control": control,
        "selectivity": held - control,
    }, fitted


def constant_name(items: Items) -> str:
    """What the best constant answer is."""
    return "majority" if items.n_classes else "mean"


def unit_of(items: Items) -> str:
    """Of the scores."""
    return "share of right answers" if items.n_classes else "R squared"


def facts_of(
    model: HookedTransformer, inputs: Inputs, items: Items, penalty: float, seed: int
) -> dict[str, Any]:
    """What a result says of where it comes from."""
    return {
        "metric": "accuracy" if items.n_classes else "R squared",
        "values": "scores",
        "operation": "linear probe",
        "weights": weights_hash(model),
        "data": data_hash(inputs),
        "dtype": str(model.W_E.dtype).removeprefix("torch."),
        "samples": inputs.shape[0],
        "items fitted": int(items.fitted.sum()),
        "items held out": int((~items.fitted).sum()),
        "classes": items.n_classes,
        "token types": int(items.type.max()) + 1,
        "held-out items of a type that was fitted": items.types_seen(),
        "penalty": penalty,
        "seed": seed,
    }


def about_items(items: Items, width: int) -> Iterable[str]:
    """What must be known of the items, whatever the scores are."""
    n_types, fitted = int(items.type.max()) + 1, int(items.fitted.sum())
    if n_types < 3:
        yield (
            f"only {n_types} token type{'s' if n_types > 1 else ''} among the items: the control task is trivial, and "
            "selectivity says nothing; pass types="
        )
    elif items.types_seen() < 0.5:
        yield (
            f"only {items.types_seen():.0%} of the held-out items are of a token type that was fitted: no probe could "
            "remember their control labels, and selectivity flatters"
        )
    if fitted <= width:
        yield (
            f"{fitted} items to fit in {width} dimensions: a linear probe fits any labels; pass more sequences"
        )


def _doubts(rows: list[dict[str, Tensor]], fitted: Mapping[str, float]) -> Iterable[str]:
    for (name, on_fitted), row in zip(fitted.items(), rows, strict=True):
        score = {key: value.mean().item() for key, value in row.items()}
        yield from doubts(name, score, on_fitted, (row["held-out"], list(row.values())[1]))


def doubts(
    name: str, score: Mapping[str, float], fitted: float, pair: tuple[Tensor, Tensor]
) -> Iterable[str]:
    """Why the score of one probe means less than it seems to."""
    constant = "majority" if "majority" in score else "mean"
    gain, memory = score["held-out"] - score[constant], score["control"] - score[constant]
    told = f"{name}: held-out {score['held-out']:.2f}"
    difference = Result((pair[0] - pair[1]).mean(), (), {}, per_sample=pair[0] - pair[1])
    low = difference.interval[0].item()
    if not low > 0.0:
        yield f"{told} is not told apart from the {constant}'s {score[constant]:.2f}"
    elif memory >= MEMORY * gain:
        yield (
            f"{told}, but a control task of random labels reaches {score['control']:.2f}: the probe may remember token "
            f"types; selectivity is {score['selectivity']:.2f}"
        )
    if fitted - score["held-out"] > OVERFITTED:
        yield f"{told}, {fitted:.2f} on what it was fitted to: it has overfitted"
