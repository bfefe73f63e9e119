"""The pictures of the report, each from the JSON values that `tools` and the run leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from unweave.charts import bars, heatmap, lines, scatter

Json = Mapping[str, Any]


def loss_curve(losses: Sequence[float], one_layer: Sequence[float], spikes: Sequence[Json]) -> go.Figure:
    """Loss of both trainings by step, with the spikes of the first."""
    return lines(
        {
            "two layers": (np.arange(len(losses)), losses),
            "one layer (control)": (np.arange(len(one_layer)), one_layer),
        },
        title="Training loss",
        x_title="step",
        y_title="loss of the batch (nats)",
        log_y=True,
        marks=([s["step"] for s in spikes], [s["loss"] for s in spikes], "loss spike") if spikes else None,
    )


def attention_pattern(patterns: Json, layer: str) -> go.Figure:
    """Queries by keys, the mean over sequences."""
    return heatmap(
        patterns[layer],
        title=f"Mean attention pattern, {layer}",
        x_title="key position",
        y_title="query position",
        colour_title="attention",
        mask_upper=True,
        limits=(0.0, 1.0),
    )


def bos_attention(bos: Json) -> go.Figure:
    """Trained and untrained, each with its fitted curve."""
    series: dict[str, tuple[Any, Any]] = {}
    for whose, fit in bos.items():
        positions = np.arange(len(fit["share"]))
        series[whose] = (positions, fit["share"])
        series[f"{whose}: 1/(1+{fit['c']:.3f} i)"] = (positions, fit["fitted"])
    return lines(
        series,
        title="Layer 0's attention to BOS",
        x_title="query position i",
        y_title="attention (mean over sequences)",
        log_y=True,
    )


def mlp_0_activations(mlp: Json) -> go.Figure:
    """Neurons by positions."""
    return heatmap(
        mlp["activation"],
        title="MLP 0's activations by position",
        x_title="position",
        y_title="neuron, sorted by the position of its peak",
        colour_title="mean activation",
    )


def mlp_0_components(mlp: Json) -> go.Figure:
    """Positions in the plane of the first two components."""
    first, second = np.array(mlp["trained"]["projection"]).T
    share = mlp["trained"]["share"]
    return scatter(
        first,
        second,
        colour=np.arange(1, len(first) + 1),
        colour_title="position",
        title="Principal components of MLP 0's positional means",
        x_title=f"component 1 ({share[0]:.0%} of variance)",
        y_title=f"component 2 ({share[1]:.0%} of variance)",
        trace_name="position",
    )


def mlp_0_components_by_position(mlp: Json) -> go.Figure:
    """Each component along the positions, trained and untrained."""
    series: dict[str, tuple[Any, Any]] = {}
    for whose in ("trained", "untrained"):
        table = np.array(mlp[whose]["projection"])
        table = table / np.abs(table).max()
        for k in range(2):
            series[f"{whose}, component {k + 1}"] = (np.arange(1, len(table) + 1), table[:, k])
    return lines(
        series,
        title="The same components along positions",
        x_title="position",
        y_title="projection (1 = each model's largest)",
    )


def attention_by_offset(layer: Json) -> go.Figure:
    """One bar an offset, with its interval."""
    rows = layer["attention_by_offset"]
    return bars(
        [str(d) for d in range(len(rows))],
        [row["value"] for row in rows],
        title="Layer 1's attention by offset",
        x_title="offset (0 = the token itself, 1 = the previous one)",
        y_title="mean attention",
        horizontal=False,
        errors=([row["interval"][0] for row in rows], [row["interval"][1] for row in rows]),
    )


def row_centred_scores(layer: Json) -> go.Figure:
    """Queries by keys, the mask left out."""
    table = np.array(layer["row_centred_scores"])
    positions = np.arange(1, len(table) + 1)
    return heatmap(
        table,
        title="Layer 1's scores, row-centred, without the mask",
        x_title="key position",
        y_title="query position",
        colour_title="score",
        diverging=True,
        x=positions,
        y=positions,
    )


def logit_attribution(attribution: Json, question: str) -> go.Figure:
    """One bar a component, with its interval."""
    rows = attribution[question]
    return bars(
        list(rows),
        [row["value"] for row in rows.values()],
        title=f"Direct logit attribution: {question}",
        x_title="logits, mean over sequences",
        y_title="component",
        errors=(
            [row["interval"][0] for row in rows.values()],
            [row["interval"][1] for row in rows.values()],
        ),
    )


def mean_ablation(losses: Json) -> go.Figure:
    """One bar a hook, from the unablated loss."""
    hooks = {name: loss for name, loss in losses.items() if name != "baseline"}
    return bars(
        list(hooks),
        list(hooks.values()),
        title="Loss when one activation is replaced by its per-position mean",
        x_title="loss (nats)",
        y_title="hook",
        log_x=True,
        baseline=(losses["baseline"], "nothing replaced"),
    )


def copied_offsets(copied: Json, names: Sequence[str]) -> go.Figure:
    """One bar an offset for each of the named runs."""
    first = copied[names[0]]
    return bars(
        list(first),
        {name: list(copied[name].values()) for name in names},
        title="Which token is predicted",
        x_title="offset of the predicted token (1 = the previous one)",
        y_title="share of predictions",
        horizontal=False,
    )
