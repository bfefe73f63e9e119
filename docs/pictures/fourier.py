"""A network that learned to add modulo 23, by frequency: `python docs/pictures/fourier.py`."""

from __future__ import annotations

import torch
from plotly.subplots import make_subplots
from screenshot import screenshot

import unweave
from unweave import analysis
from unweave.charts import palette

P = 23
pairs = torch.cartesian_prod(torch.arange(P), torch.arange(P))
tokens = torch.cat([pairs, torch.full((P * P, 1), P)], 1)
model = unweave.HookedTransformer(
    unweave.HookedTransformerConfig(
        n_layers=1, d_model=48, n_heads=4, d_head=12, d_mlp=128, n_ctx=3, d_vocab=P + 1, act_fn="relu",
        normalization_type=None, seed=0,
    )
)  # fmt: skip
optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1.0)
for _ in range(1500):
    loss = torch.nn.functional.cross_entropy(model(tokens)[:, -1, :P], pairs.sum(1) % P)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
with torch.no_grad():
    logits, cache = model.run_with_cache(tokens)
neurons = analysis.fourier_pairs(cache["post", 0][:, -1].unflatten(0, (P, P)))
shares = {
    "embedding": analysis.fourier_norms(model.W_E[:P]).values,
    "neurons, mean share": neurons.values.sum(1).nanmean(-1),
    "logits along cos k(a+b-c)": analysis.fourier_logits(logits[:, -1, :P].unflatten(0, (P, P))).values,
}
figure = make_subplots(1, 3, subplot_titles=[*shares], shared_yaxes=True)
for column, values in enumerate(shares.values(), 1):
    figure.add_bar(
        x=[*range(1, P // 2 + 1)], y=values.numpy(), marker_color=palette.category(0), row=1, col=column
    )
    figure.update_xaxes(title="frequency k", dtick=1, row=1, col=column)
figure.update_yaxes(title="share of the variance", row=1, col=1)
figure.update_layout(showlegend=False, font={"size": 13}, margin={"t": 50}, title=None)
figure.add_annotation(
    text=f"loss {loss.item():.2g} nats", x=1, y=1, xref="paper", yref="paper", showarrow=False
)
screenshot(figure, "fourier", width=1000, height=360)
