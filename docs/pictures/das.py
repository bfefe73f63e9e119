"""What DAS finds in three planted models, beside its baselines: `python docs/pictures/das.py`."""

from __future__ import annotations

import plotly.graph_objects as go
from screenshot import screenshot
from torch import Tensor

import unweave
from unweave import Site, das

COLOURS = {
    "trained": "#0072B2",
    "untrained twin": "#56B4E9",
    "random rotation": "#E69F00",
    "whole site": "#009E73",
    "no intervention": "#999999",
}


def alignment(name: str) -> das.Alignment:
    """One of two variables of the AND, or the answer of another model."""
    planted = unweave.planted.load(name)
    if name == "and":

        def seen(tokens: Tensor, token: int) -> Tensor:
            return (tokens == token).any(1).long()

        pairs = das.draw_pairs(
            planted.inputs(4), lambda t: seen(t, 1), lambda tokens, value: value & seen(tokens, 2)
        )
        site, rank = Site("resid_mid", 0, pos=-1), 1
    else:
        pairs = das.draw_pairs(
            planted.inputs(4), lambda t: planted.algorithm(t)[:, -1], lambda tokens, value: value
        )
        site, rank = Site("resid_post", planted.model.cfg.n_layers - 1, pos=-1), 3
    return das.distributed_alignment_search(planted.model, site, *pairs, rank=rank, search_seeds=(0, 1))


told = {"and": "and: “1 was seen”", "induction": "induction: the answer", "histogram": "histogram: the count"}
found = {name: alignment(name) for name in told}
figure = go.Figure()
for run, colour in COLOURS.items():
    results = [each.result.sel(run=run) for each in found.values()]
    values = [result.values.item() for result in results]
    error = {"array": [r.interval[1].item() - r.values.item() for r in results], "thickness": 1, "width": 3}
    figure.add_bar(x=list(told.values()), y=values, name=run, marker_color=colour, error_y=error)
figure.update_layout(
    title="Where a variable is held: interchange accuracy on held-out pairs",
    barmode="group",
    yaxis={"title": "part of pairs with the expected output", "range": [0, 1.05], "gridcolor": "#e5e5e5"},
    font={"family": "sans-serif", "size": 13},
)
screenshot(figure, "das", width=980, height=460)
