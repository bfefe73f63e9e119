"""Kinds of heads of a trained model: `python docs/pictures/head_kinds.py`."""

from __future__ import annotations

from induction_model import trained
from screenshot import screenshot

from unweave import analysis, charts

found = analysis.head_kinds(trained(attn_only=True), block=16)
named = ", ".join(f"{kind} {' '.join(heads)}" for kind, heads in found.provenance["named"].items() if heads)
figure = charts.heatmap(
    found.sel(measure="score").values.numpy(),
    x=list(map(str, found.coords["head"])),
    y=list(map(str, found.coords["kind"])),
    title="Attention of each head, as heads of a kind have it. Named: " + named,
    x_title="head",
    y_title="kind",
    colour_title="mean attention",
    limits=(0.0, 1.0),
)
figure.update_traces(text=found.sel(measure="score").values.numpy().round(2), texttemplate="%{text:.2f}")
screenshot(figure, "head-kinds", height=460)
