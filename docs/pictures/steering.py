"""Steering of a small induction model, dose by dose, and what it breaks: `python docs/pictures/steering.py`."""

from __future__ import annotations

import plotly.graph_objects as go
import torch
from induction_model import repeated, trained
from plotly.subplots import make_subplots
from screenshot import screenshot

from unweave import LogitDifference, Site, steer

RIGHT, WRONG = 7, 12
BLUE, GREY, ORANGE = "#0072B2", "#999999", "#D55E00"
DOSES = (-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0)

model = trained()
draw = torch.Generator().manual_seed(2)
# Pairs that differ in the token that comes next, and in nothing else.
positive = repeated(64, draw)[:, :24]
negative = positive.clone()
positive[:, 8], negative[:, 8] = RIGHT, WRONG
site = Site("resid_mid", layer=1)
direction = steer.mean_difference(model, positive, negative, site.at(pos=-1))
others = repeated(64, draw)
found = steer.dose_response(
    model,
    others[:, :24],
    site,
    direction,
    LogitDifference(RIGHT, WRONG),
    doses=DOSES,
    neutral=others,
    neutral_pos=slice(16, -1),  # the second block, which the first one tells
    draws=6,
)
assert found.damage is not None
figure = make_subplots(
    cols=2,
    subplot_titles=(
        "Logit of token 7 minus that of token 12",
        "Loss of the next token, in a block that came before",
    ),
    horizontal_spacing=0.12,
)
low, high = found.result.interval
loss = found.damage.sel(measure="loss")
for number, name in enumerate(found.result.coords["direction"]):
    steering = name == "steering"
    line = {"color": BLUE if steering else GREY, "width": 2.5 if steering else 1}
    told = "the direction" if steering else "random, of the same norm"
    for column, table, ends in ((1, found.result, (low, high)), (2, loss, loss.interval)):
        error = {
            "type": "data",
            "symmetric": False,
            "array": (ends[1] - table.values)[number].tolist(),
            "arrayminus": (table.values - ends[0])[number].tolist(),
            "thickness": 1,
            "visible": steering,
        }
        trace = go.Scatter(
            x=DOSES,
            y=table.values[number].tolist(),
            line=line,
            name=told,
            error_y=error,
            showlegend=column == 1 and number < 2,
            legendgroup=told,
        )
        figure.add_trace(trace, row=1, col=column)
for column, title in ((1, "logit difference"), (2, "loss (nats)")):
    figure.update_xaxes(title="dose (times the mean difference)", gridcolor="#e5e5e5", row=1, col=column)
    figure.update_yaxes(title=title, gridcolor="#e5e5e5", zerolinecolor="#bbbbbb", row=1, col=column)
figure.update_layout(
    title="Steering an induction model, in the stream of layer 1 after attention",
    legend={"orientation": "h", "y": -0.2},
    font={"family": "sans-serif", "size": 13},
)
screenshot(figure, "steering", width=980, height=460)
