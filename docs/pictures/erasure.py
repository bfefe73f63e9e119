"""What probes read, and how much is changed, without and with erasure: `python docs/pictures/erasure.py`."""

from __future__ import annotations

import torch
from induction_model import repeated, trained
from plotly.subplots import make_subplots
from screenshot import screenshot

from unweave import Site, analysis
from unweave.analysis.activations import activations
from unweave.analysis.linear import fit_logistic
from unweave.charts import palette
from unweave.engine.inputs import Inputs

model = trained()
tokens = repeated(300, torch.Generator().manual_seed(4))
site = Site("resid_post", 0, pos=slice(1, None))
[gathered] = activations(model, Inputs(tokens), site).values()
x, label = gathered[:, :].double(), (tokens % 4)[:, 1:]
fit, test = (part.flatten(0, 1) for part in (x[:200], x[200:]))
of_fit, of_test = label[:200].flatten(), label[200:].flatten()

means = torch.stack([fit[of_fit == c].mean(0) for c in range(4)])
straight = torch.linalg.svd(means - means.mean(0)).Vh[:3].T
weights = fit_logistic(fit, of_fit, 4).weight
nulled = torch.linalg.svd(weights - weights.mean(1, keepdim=True)).U[:, :3]
eraser = analysis.leace(fit, of_fit)
ways = {
    "as it is": lambda x: x,
    "a probe's weights<br>projected out": lambda x: x - (x - fit.mean(0)) @ nulled @ nulled.T,
    "class means projected<br>out at right angles": lambda x: x - (x - fit.mean(0)) @ straight @ straight.T,
    "LEACE": eraser,
}
read, changed = [], []
for way in ways.values():
    probe = fit_logistic(way(fit), of_fit, 4)
    read.append((probe(way(test)).argmax(-1) == of_test).double().mean().item())
    changed.append(((way(fit) - fit).pow(2).sum(1).mean() / (fit - fit.mean(0)).pow(2).sum(1).mean()).item())
figure = make_subplots(
    1,
    2,
    subplot_titles=("A new probe, held-out sequences (dashed: majority)", "Mean squared change"),
    shared_yaxes=True,
)
for column, (values, colour) in enumerate(((read, 0), (changed, 1)), 1):
    figure.add_bar(
        y=[*ways],
        x=values,
        orientation="h",
        marker_color=palette.category(colour),
        text=[f"{value:.3f}" for value in values],
        textposition="outside",
        row=1,
        col=column,
    )
figure.add_vline(
    of_test.bincount().max().item() / len(of_test),
    line_dash="dash",
    line_color="#555",
    row=1,
    col=1,
)
figure.update_yaxes(autorange="reversed")
figure.update_xaxes(title="share of right answers", range=[0, 1.15], row=1, col=1)
figure.update_xaxes(title="part of the stream's variance", range=[0, max(changed) * 1.25], row=1, col=2)
figure.update_layout(
    title="The token modulo 4, erased from the stream after layer 0",
    showlegend=False,
    font={"size": 14},
    margin={"l": 190},
)
screenshot(figure, "erasure", height=420)
