"""Composition and copying in a trained model: `python docs/pictures/qk_ov.py`."""

from __future__ import annotations

from induction_model import trained
from plotly.subplots import make_subplots
from screenshot import screenshot

from unweave import analysis
from unweave.charts import palette

model = trained(attn_only=True)
copied = analysis.copying_scores(model)
figure = make_subplots(
    1, 4, column_widths=[0.24, 0.24, 0.24, 0.28], horizontal_spacing=0.05,
    subplot_titles=("Q-composition", "K-composition", "V-composition", "copying score"),
)  # fmt: skip
heads = [str(head) for head in copied.coords["head"]]
for column, mode in enumerate("QKV", 1):
    found = analysis.composition(model, mode)
    above = found.values[:4, 4:] - found.baselines["random"].mean()
    figure.add_heatmap(
        z=above.numpy(), x=heads[4:], y=heads[:4], coloraxis="coloraxis", row=1, col=column,
        text=above.numpy().round(2), texttemplate="%{text}",
    )  # fmt: skip
    figure.update_yaxes(autorange="reversed", row=1, col=column)
    figure.update_xaxes(title="later head", row=1, col=column)
figure.update_yaxes(title="earlier head", row=1, col=1)
figure.add_bar(
    x=heads, y=copied.sel(score="eigenvalues").values.numpy(), marker_color=palette.category(0), row=1, col=4
)
figure.update_yaxes(range=[-1, 1], row=1, col=4)
figure.update_layout(
    coloraxis={"colorscale": [list(part) for part in palette.DIVERGING], "cmid": 0, "showscale": False},
    font={"size": 12}, margin={"t": 50, "b": 60},
)  # fmt: skip
screenshot(figure, "qk-ov", width=1000, height=330)
