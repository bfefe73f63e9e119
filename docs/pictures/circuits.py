"""Edges of the induction model, and the circuit and curve of the sorting model: `python docs/pictures/circuits.py`."""

from __future__ import annotations

import torch
from screenshot import screenshot
from torch import Tensor

import unweave
from unweave import LogitDifference, charts, circuits, edges

planted = unweave.planted.load("induction", decoys=1)
contrast = planted.contrast
assert contrast is not None
metric = LogitDifference(right=2, wrong=0, pos=contrast.position)
result = edges.patch(planted.model, contrast.clean, contrast.corrupted, metric)
ends = [str(edge).split("->") for edge in result.coords["edge"]]
senders, receivers = (list(dict.fromkeys(end[at] for end in ends)) for at in (0, 1))
table = torch.full((len(senders), len(receivers)), torch.nan)
for (sender, receiver), effect in zip(ends, result.effect.tolist(), strict=True):
    table[senders.index(sender), receivers.index(receiver)] = effect
figure = charts.heatmap(
    table.numpy(),
    x=receivers,
    y=senders,
    title="Edge patching of the induction model with decoys",
    x_title="receiver",
    y_title="sender",
    colour_title="change of the logit difference",
    diverging=True,
)
screenshot(figure, "edges", width=980, height=460)

sorting = unweave.planted.load("sort-by-frequency")
every = sorting.inputs()
tokens = every[torch.randperm(len(every), generator=torch.Generator().manual_seed(0))[:48]]
others = tokens[torch.randperm(len(tokens), generator=torch.Generator().manual_seed(1))]
with torch.no_grad():
    clean = sorting.model(tokens)


def right(logits: Tensor) -> Tensor:
    """The share of positions at which the model still says what it said."""
    return (logits.argmax(-1) == clean.argmax(-1)).double().mean(-1)


def change(logits: Tensor) -> Tensor:
    """The largest change of any logit."""
    return (logits - clean).abs().flatten(1).amax(1)


found = circuits.acdc(sorting.model, tokens, others, change, threshold=1e-3)
assert found.edges == sorting.token_edges
title = f"What ACDC finds in the sorting model: {len(found)} of {len(found.shape.edges)} edges"
screenshot(found.plot(title=title), "circuit", width=900, height=720)

scores = edges.patch(sorting.model, tokens, others, change)
fractions = [*(n / 94 + 1e-9 for n in range(1, 94)), 1.0]
curve = circuits.curve(sorting.model, tokens, others, right, scores, fractions=fractions, random=5)
percent = [100 * float(label) for label in curve.coords["fraction"]]
faithful = curve.sel(measure="faithfulness").values
names = {"scores": "best edges by exact patching"} | {f"random {n}": f"random {n + 1}" for n in range(5)}
series = {
    names[str(choice)]: (percent, row.tolist())
    for choice, row in zip(curve.coords["choice"], faithful, strict=True)
}
figure = charts.lines(
    series,
    title="Faithfulness of circuits of the sorting model over their size",
    x_title="edges asked for (% of all)",
    y_title="faithfulness (1: the whole model)",
)
screenshot(figure, "circuit-curve", width=900, height=460)
