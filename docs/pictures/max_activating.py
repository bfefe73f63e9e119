"""Activations of four neurons: the top, random examples, quantiles: `python docs/pictures/max_activating.py`."""

from __future__ import annotations

import torch
from induction_model import repeated, trained
from screenshot import screenshot

from unweave import Site, analysis, charts

draw = torch.Generator().manual_seed(7)
batches = [repeated(64, draw) for _ in range(10)]
found = analysis.max_activating(trained(), batches, Site("post", 1), units=[3, 17, 40, 90], k=5).result
figure = charts.heatmap(
    found.values.numpy(),
    x=[str(label) for label in found.coords["example"]],
    y=[f"neuron {unit}" for unit in found.coords["unit"]],
    title="Four neurons of layer 1, over 640 sequences",
    x_title="example",
    y_title="unit",
    colour_title="activation",
)
figure.update_traces(text=found.values.numpy().round(2), texttemplate="%{text:.2f}")
screenshot(figure, "max-activating", height=400)
