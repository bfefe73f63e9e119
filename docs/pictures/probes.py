"""Probes of a trained model, by layer and by number of neurons: `python docs/pictures/probes.py`."""

from __future__ import annotations

import torch
from induction_model import repeated, trained
from plotly.subplots import make_subplots
from screenshot import screenshot

from unweave import Site, probes
from unweave.charts import palette

model = trained()
tokens = repeated(150, torch.Generator().manual_seed(3))
odd = tokens.roll(1, 1) % 2
at = slice(2, None)
layers = probes.probe(
    model, tokens, odd, Site(("resid_pre", "resid_mid", "resid_post"), pos=at), penalty=1e-3
)
sparse = probes.sparse_probe(model, tokens, odd, Site("post", 0, pos=at), (1, 2, 4, 8, 16, 32, 64))

figure = make_subplots(
    1,
    2,
    subplot_titles=("Residual stream, all 64 dimensions", "Layer 0's 128 neurons, the best k"),
    shared_yaxes=True,
)
names = [name.removeprefix("blocks.").replace(".hook_", " ") for name in layers.coords["site"]]
order = sorted(range(len(names)), key=lambda n: (names[n][0], ("pre", "mid", "ost").index(names[n][-3:])))
for column, (result, x) in enumerate(
    ((layers, [names[n] for n in order]), (sparse, [*sparse.coords["k"]])), 1
):
    for index, score in enumerate(("held-out", "control", "shuffled", "majority")):
        values = result.sel(score=score).values.tolist()
        figure.add_scatter(
            x=x,
            y=[values[n] for n in order] if column == 1 else values,
            name=score,
            showlegend=column == 1,
            line={"color": palette.category(index), "dash": palette.dash(index), "width": 2},
            marker={"symbol": palette.symbol(index), "size": 8},
            mode="lines+markers",
            row=1,
            col=column,
        )
figure.update_xaxes(type="log", dtick="L2", title="neurons", row=1, col=2, tickvals=[1, 2, 4, 8, 16, 32, 64])
figure.update_xaxes(title="site", row=1, col=1)
figure.update_yaxes(title="share of right answers", range=[0.4, 1.02], row=1, col=1)
figure.update_yaxes(range=[0.4, 1.02], gridcolor="#ddd")
figure.update_layout(
    title="Is the previous token odd?", legend={"orientation": "h", "y": -0.25}, font={"size": 14}
)
screenshot(figure, "probes")
