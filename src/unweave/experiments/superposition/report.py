"""The report: one page, made of results.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unweave.charts import Page, Picture, Section, Table, write_page
from unweave.experiments import claim_blocks
from unweave.experiments.superposition import pictures

Json = Mapping[str, Any]


def write_report(path: Path, results: Json) -> Path:
    """Write the page of a run and return its path."""
    return write_page(page(results), path)


def page(results: Json) -> Page:
    """The page, from top to bottom."""
    return Page(
        title="Superposition",
        subtitle="More features than dimensions: when does a narrow model keep them all?",
        summary=_summary(results),
        sections=(
            claim_blocks.at_a_glance(results["claims"]),
            _five(results),
            _many(results),
            claim_blocks.in_full(results["claims"]),
            _about(results),
        ),
        footer=claim_blocks.footer(results),
    )


def _summary(results: Json) -> str:
    made, five, seeds = results["config"]["five"], results["five"], len(results["seeds"])
    return (
        f"Models `x' = ReLU(Wᵀ W x + b)` with {made['n_features']} features in {made['n_hidden']} dimensions, trained on "
        f"{seeds} seeds for each density. Where features are rarest, {five['pentagons'][-1]} of {seeds} keep all five as a "
        f"pentagon; where they are always present, {five['pentagons'][0]}. Of {len(results['claims'])} claims, "
        f"{claim_blocks.counted(results['claims'])}.\n\n"
        "These are **replications** of the figures of [Elhage et al. (2022)](https://arxiv.org/abs/2209.10652), written knowing "
        "them; the paper shows pictures, the thresholds are ours and were set before the first run."
    )


def _five(results: Json) -> Section:
    five = results["five"]
    rows = [
        (
            f"{d:.3g}",
            kept["value"],
            loss["value"],
            two,
            loss["value"] / two,
            f"{pentagons} of {len(results['seeds'])}",
        )
        for d, kept, loss, two, pentagons in zip(
            five["density"], five["kept"], five["loss"], five["two_only"], five["pentagons"], strict=True
        )
    ]
    return Section(
        "Five features in two dimensions",
        "five",
        (
            Picture(
                pictures.directions(five),
                "Each point is a feature's row of W; its distance from the centre is how strongly it is kept.",
                "The directions of five features in the plane at three densities",
            ),
            Picture(
                pictures.grams(five),
                "On the diagonal, how much of a feature comes back; beside it, how much it disturbs the others. Density falls "
                "from panel to panel.",
                "W times its transpose for each density, on one seed",
            ),
            Picture(
                pictures.features_kept(five),
                "Mean over seeds with its 95% interval. Without the ReLU two are kept at any density.",
                "Number of features represented by rarity, with and without a ReLU",
            ),
            Table(
                ("density", "features kept", "loss", "loss of keeping two", "ratio", "pentagons"),
                rows,
                "Held-out loss, the mean over samples and features of importance · (x - x')², beside the exact loss of a model "
                "that keeps the first two features and answers the others by their mean.",
                ("text", "number", "number", "number", "number", "text"),
            ),
        ),
    )


def _many(results: Json) -> Section:
    made = results["config"]["many"]
    return Section(
        "Many features of equal importance",
        "many",
        (
            Picture(
                pictures.dimensions_per_feature(results["many"]),
                f"{made['n_features']} features in {made['n_hidden']} dimensions. At 1 each kept feature has a dimension; at 1/2 "
                "two share one, as an antipodal pair.",
                "Dimensions per feature by rarity for each seed, and for the linear model",
            ),
            Picture(
                pictures.dimensionality(results["many"]),
                "One point a feature with a norm above 0.5.",
                "Each represented feature's share of a dimension, by rarity",
            ),
        ),
    )


def _about(results: Json) -> Section:
    five, many = results["config"]["five"], results["config"]["many"]
    densities = {"densities": "{} from {:.3g} to {:.3g}"}
    rows = [(name, *(_setting(made[name], densities.get(name)) for made in (five, many))) for name in five]
    return Section(
        "How this was made",
        "about",
        (
            Table(("setting", "five features", "many features"), rows, f"Preset {results['preset']}."),
            Table(
                ("part", "seconds"),
                [(name, float(seconds)) for name, seconds in results["times"].items()],
                "Time taken.",
                ("text", "number"),
            ),
        ),
    )


def _setting(value: Any, form: str | None) -> str:
    return str(value) if form is None else form.format(len(value), max(value), min(value))
