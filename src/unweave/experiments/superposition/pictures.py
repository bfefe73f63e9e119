"""The pictures of the report, each from the JSON values of results.json."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from unweave.charts import lines, scatter, small_multiples

Json = Mapping[str, Any]

RARITY = "rarity, -ln density (nats; 0 = always present)"


def grams(five: Json) -> go.Figure:
    """How much each feature's output reads of every feature, at each density, on one seed."""
    return small_multiples(
        [(f"density {d:.2g}", np.array(gram)) for d, gram in zip(five["density"], five["gram"], strict=True)],
        title="What is read of each feature: W Wᵀ, from always present to rare (first seed)",
        x_title="feature that is present",
        y_title="feature that is read",
        colour_title="weight",
        diverging=True,
    )


def directions(five: Json) -> go.Figure:
    """The features' directions in the plane at three densities, on one seed."""
    at = sorted({0, len(five["density"]) // 2, len(five["density"]) - 1})
    points = np.concatenate([np.array(five["directions"][i]) for i in at])
    n = len(five["directions"][0])
    figure = scatter(
        points[:, 0],
        points[:, 1],
        colour=[f"density {five['density'][i]:.2g}" for i in at for _ in range(n)],
        text=[f"feature {feature}" for _ in at for feature in range(n)],
        title="Directions of the five features in the two dimensions (first seed)",
        x_title="first dimension",
        y_title="second dimension",
        trace_name="feature",
    )
    return figure.update_yaxes(scaleanchor="x")


def features_kept(five: Json) -> go.Figure:
    """How many features are represented, by rarity."""
    rarity = _rarity(five["density"])
    return lines(
        {
            "with a ReLU": (rarity, [row["value"] for row in five["kept"]]),
            "linear": ([rarity[0], rarity[-1]], [row["value"] for row in five["kept_linear"]]),
        },
        bands={
            "with a ReLU": (
                [row["interval"][0] for row in five["kept"]],
                [row["interval"][1] for row in five["kept"]],
            )
        }
        if five["kept"][0]["interval"]
        else None,
        title="Features represented in two dimensions",
        x_title=RARITY,
        y_title="features of five (norm above 0.5), mean over seeds",
    )


def dimensions_per_feature(many: Json) -> go.Figure:
    """The plateaus: one curve a seed, and the linear model's."""
    rarity = _rarity(many["density"])
    curves = {f"seed {seed}": (rarity, curve) for seed, curve in many["dimensions_per_feature"].items()}
    return lines(
        {
            **curves,
            "linear (control)": (_rarity(many["linear_density"]), many["linear_dimensions_per_feature"]),
        },
        title="Dimensions per feature, m / |W|²",
        x_title=RARITY,
        y_title="dimensions a feature (1 = its own, 1/2 = a pair shares one)",
    )


def dimensionality(many: Json) -> go.Figure:
    """The share of a dimension that each represented feature has, on one seed."""
    rows = [
        (d, share)
        for d, shares in zip(many["density"], many["dimensionality"], strict=True)
        for share in shares
    ]
    x, y = np.array(rows).T
    return scatter(
        _rarity(x),
        y,
        title="The share of a dimension that each represented feature has (first seed)",
        x_title=RARITY,
        y_title="dimensions of the feature",
        trace_name="feature",
    )


def _rarity(density: Any) -> NDArray[np.float64]:
    """What the plateaus are measured along: equal steps are equal factors of the density."""
    return 0.0 - np.log(np.asarray(density, dtype=float))
