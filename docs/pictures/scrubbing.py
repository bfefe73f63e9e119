"""True and wrong hypotheses about planted models: `PYTHONPATH=. python docs/pictures/scrubbing.py`."""

from __future__ import annotations

import plotly.graph_objects as go
from screenshot import screenshot

import unweave
from tests.analysis.hypotheses import truths, untruths
from unweave import Loss, scrub

BLUE, ORANGE = "#0072B2", "#E69F00"

names: list[str] = []
found: list[scrub.Scrubbing] = []
for model in ("previous-token", "induction", "sort-by-frequency"):
    planted = unweave.planted.load(model)
    tokens = planted.inputs(4)
    metric = Loss(planted.algorithm(tokens), pos=slice(None))
    for what, hypothesis in {"the true hypothesis": truths(planted), **untruths(planted)}.items():
        names.append(f"<b>{model}</b>: {what}" if what.startswith("the true") else what + " ")
        found.append(scrub.causal_scrubbing(planted.model, tokens, hypothesis, metric))
shares = [each.recovered for each in found]
bar = go.Bar(
    x=shares,
    y=list(range(len(names))),
    orientation="h",
    marker_color=[BLUE if each.accepted else ORANGE for each in found],
    error_x={
        "array": [each.recovered_interval[1] - each.recovered for each in found],
        "color": "#444444",
        "thickness": 1.2,
        "width": 3,
    },
)
numbers = go.Scatter(
    x=[each.recovered_interval[1] + 0.01 for each in found],
    y=list(range(len(names))),
    mode="text",
    text=[f"{share:.2f}" for share in shares],
    textposition="middle right",
)
figure = go.Figure([bar, numbers])
figure.update_layout(
    showlegend=False,
    title="Causal scrubbing: what is recovered by each hypothesis (blue: accepted)",
    xaxis={
        "title": "recovered part of the model's performance (loss)",
        "range": [-0.05, 1.12],
        "gridcolor": "#dddddd",
    },
    yaxis={"tickvals": list(range(len(names))), "ticktext": names, "autorange": "reversed"},
    margin={"l": 330, "r": 30, "t": 60, "b": 60},
    font={"family": "sans-serif", "size": 13},
)
screenshot(figure, "scrubbing", width=980, height=560)
