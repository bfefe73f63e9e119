"""The pictures of the report, each from results.json's values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from unweave.charts import bars, lines, scatter

Json = Mapping[str, Any]
PER_1000 = "spikes per 1000 steps after learning"


def loss_curves(losses: Json) -> go.Figure:
    """The first seed's runs with the original's settings, the spikes of all three marked."""
    marks = [mark for run in losses.values() for mark in run["spikes"]]
    return lines(
        {name: (np.arange(len(run["loss"])), run["loss"]) for name, run in losses.items()},
        title="Training loss, first seed",
        x_title="step",
        y_title="loss of the batch (nats)",
        log_y=True,
        marks=([m[0] for m in marks], [m[1] for m in marks], "loss spike after learning") if marks else None,
    )


def rates(cells: Json, frozen: Json) -> go.Figure:
    """One group of bars a setting of AdamW, one bar a schedule."""
    settings = list(dict.fromkeys(cell["setting"] for cell in cells.values()))
    schedules = list(dict.fromkeys(cell["schedule"] for cell in cells.values()))
    by_name = {(cell["schedule"], cell["setting"]): cell["spikes per 1000 steps"] for cell in cells.values()}
    rows = {s: [by_name.get((s, setting)) for setting in settings] for s in schedules}
    rows = {s: column for s, column in rows.items() if any(math.isfinite(_number(row)) for row in column)}
    luck = frozen["max, original"]["finished"]["value"]
    return bars(
        settings,
        {schedule: [_number(row) for row in column] for schedule, column in rows.items()},
        errors={schedule: _interval(column) for schedule, column in rows.items()},
        title="Loss spikes by schedule and AdamW setting",
        x_title=PER_1000,
        y_title="setting",
        baseline=None if luck is None else (luck, "finished model, not trained"),
    )


def shares(effects: Sequence[Json]) -> go.Figure:
    """The share of the spikes of `max, original` that each single change removes."""
    rows = [
        row for row in effects if row["from"] == "max, original" and row["share removed"]["value"] is not None
    ]
    low, high = _interval([row["share removed"] for row in rows], rate=False)
    return bars(
        [row["change"] for row in rows],
        [100 * row["share removed"]["value"] for row in rows],
        errors=([100 * end for end in low], [100 * end for end in high]),
        title="Share of the spikes of max that one change removes",
        x_title="spikes removed (%, below 0: there are more)",
        y_title="change",
        baseline=(0.0, "no change"),
    )


def by_learning_rate(table: Json) -> go.Figure:
    """Spikes against the learning rate of the moment."""
    shown = {name: rows for name, rows in table.items() if rows}
    return lines(
        {name: ([row["lr"] for row in rows], [row["value"] for row in rows]) for name, rows in shown.items()},
        title="Spikes by the learning rate of the moment",
        x_title="learning rate in the middle of a sixth of the run",
        y_title="spikes per 1000 steps",
    )


def branches(table: Json) -> go.Figure:
    """One bar a kind of branch."""
    rows = table["rates"]
    return bars(
        list(rows),
        [_number(row) for row in rows.values()],
        errors=_interval(list(rows.values())),
        title=f"Going on from step {table['since']} of max, original",
        x_title="spikes per 1000 steps from there on",
        y_title="how it goes on",
    )


def apart(rows: Sequence[Json]) -> go.Figure:
    """One point a spike: how high it is, and how much of that other batches have as well."""
    return scatter(
        [row["loss"] / row["level"] for row in rows],
        [100 * row["share of the state"] for row in rows],
        colour=[row["cell"] for row in rows],
        text=[f"seed {row['seed']}, step {row['step']}" for row in rows],
        title="Spikes taken apart: the state, or the batch?",
        x_title="height of the spike (times the level before)",
        y_title="share of the rise that other batches have too (%)",
        trace_name="spike",
    )


def _number(row: Json | None) -> float:
    return math.nan if row is None or row["value"] is None else row["value"]


def _interval(rows: Sequence[Json | None], rate: bool = True) -> tuple[list[float], list[float]]:
    """Ends of the intervals, the value itself where there is none; a rate's are shown from 0 on."""
    low, high = list[float](), list[float]()
    for row in rows:
        at = _number(row)
        ends = (row or {}).get("interval")
        first, last = ends if ends and None not in ends else (at, at)
        low.append(max(first, 0.0) if rate else first)
        high.append(last)
    return low, high
