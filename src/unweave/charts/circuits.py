"""A circuit as a picture: components in layers, edges between them; reached by name through `.plot()`."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go

from unweave.charts import palette
from unweave.charts.figures.checks import require
from unweave.charts.figures.style import Fit, compose
from unweave.core.circuit import Circuit
from unweave.core.edges import Edge, Node

# By what an edge feeds: its colour and dash, told apart without colour too.
INPUTS: dict[str | None, tuple[str, int]] = {
    "q": ("queries", 0),
    "k": ("keys", 1),
    "v": ("values", 2),
    None: ("MLPs and logits", 3),
}


def plot_circuit(circuit: Circuit, *, title: str | None = None) -> go.Figure:
    """Components from the embeddings at the bottom to the logits at the top, heads side by side in their layer.

    Edges into queries, keys, values, and into MLPs and the logits differ in colour and dash. Only components
    that have an edge are drawn.

    Raises:
        InputError: for a circuit without edges.
    """
    require(
        len(circuit) > 0,
        wanted="a circuit with edges",
        got="one without",
        remedy="lower the threshold, or take more edges",
    )
    place = _places(circuit)
    traces: list[Any] = []
    for which, (name, number) in INPUTS.items():
        own = [edge for edge in circuit if edge.input == which]
        if own:
            traces.append(_lines(own, place, name, number))
    xs, ys = zip(*place.values(), strict=True)
    traces.append(
        go.Scatter(
            x=xs,
            y=ys,
            mode="markers+text",
            text=[str(node) for node in place],
            textposition=["middle right" if node.kind == "mlp" else "middle left" for node in place],
            textfont={"size": 13},
            marker={"size": 13, "color": palette.NEUTRAL, "line": {"width": 1, "color": palette.NEUTRAL}},
            showlegend=False,
            hoverinfo="text",
        )
    )
    names = [name for which, (name, _) in INPUTS.items() if any(edge.input == which for edge in circuit)]
    rows = sorted({y for _, y in place.values()})
    words = f"A circuit of {len(circuit)} edges" if title is None else title
    return compose(
        traces,
        title=words,
        x_title="heads of a layer, side by side; MLPs at the right",
        y_title="depth",
        legend=[f"into {name}" for name in names],
        fit=Fit(height=90 * len(rows) + 60),
        layout={
            "xaxis": {
                "showticklabels": False,
                "showgrid": False,
                "range": [-1.0, max(xs) + 1.0],
                "ticks": "",
            },
            "yaxis": {"tickvals": rows, "ticktext": [_row(place, row) for row in rows], "showgrid": True},
        },
    )


def _places(circuit: Circuit) -> dict[Node, tuple[float, float]]:
    """Each component's place: rows by depth, as many as there are; heads by their numbers."""
    depths = sorted({node.depth for node in circuit.nodes})
    width = max(1, circuit.shape.n_heads - 1)
    found: dict[Node, tuple[float, float]] = {}
    for node in circuit.nodes:
        x = {"embed": 0.0, "pos_embed": float(width), "mlp": width + 0.5, "logits": width / 2}.get(node.kind)
        found[node] = (float(node.head or 0) if x is None else x), float(depths.index(node.depth))
    return found


def _row(place: dict[Node, tuple[float, float]], row: float) -> str:
    node = next(node for node, (_, y) in place.items() if y == row)
    if node.kind == "head":
        return f"heads of layer {node.layer}"
    return {"mlp": f"MLP of layer {node.layer}", "logits": "logits"}.get(node.kind, "embeddings")


def _lines(edges: list[Edge], place: dict[Node, tuple[float, float]], name: str, number: int) -> Any:
    """One trace for all edges of a kind: each a line, bent a little so that edges over others show."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    bend = 0.12 * (number - 1.5)
    for edge in edges:
        (x0, y0), (x1, y1) = place[edge.sender], place[edge.receiver]
        for step in range(13):
            t = step / 12
            xs.append(x0 + (x1 - x0) * t + bend * 4 * t * (1 - t))
            ys.append(y0 + (y1 - y0) * t)
        xs.append(None)
        ys.append(None)
    return go.Scatter(
        x=xs,
        y=ys,
        mode="lines",
        name=f"into {name}",
        line={"color": palette.category(number), "width": 2, "dash": palette.dash(number)},
        hoverinfo="skip",
    )
