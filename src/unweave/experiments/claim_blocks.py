"""What every experiment's page says of its claims, made of results.json alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unweave.charts import ClaimCard, Section, Table

Json = Mapping[str, Any]


def counted(claims: Sequence[Json]) -> str:
    """How many claims got each verdict, as words."""
    verdicts = [claim["verdict"] for claim in claims]
    return ", ".join(f"{verdicts.count(v)} {v}" for v in ("supported", "refuted", "inconclusive"))


def at_a_glance(claims: Sequence[Json]) -> Section:
    """One row a claim: what it says, the verdict, its first three numbers and what was predicted."""
    rows = [
        (str(n), c["statement"], c["verdict"], _in_short(c), c["prediction"]) for n, c in enumerate(claims, 1)
    ]
    return Section(
        "Claims at a glance",
        "glance",
        (
            Table(
                ("", "claim", "verdict", "measured", "predicted"),
                rows,
                "Rivals, thresholds, controls and every number are [further down](#claims).",
                ("text", "text", "verdict", "text", "text"),
            ),
        ),
    )


def in_full(claims: Sequence[Json]) -> Section:
    """One card a claim."""
    return Section("The claims in full", "claims", [_card(n, c) for n, c in enumerate(claims, 1)])


def footer(results: Json) -> str:
    """Preset, seed, threads and versions, and where the numbers lie."""
    versions = ", ".join(f"{name} {version}" for name, version in results["versions"].items())
    return (
        f"Preset `{results['preset']}`, seed {results['seed']}, {results['threads']} threads, {versions}. Every number is in "
        "`results.json` beside this page; `notebook.ipynb` runs the same analysis step by step."
    )


def _card(number: int, claim: Json) -> ClaimCard:
    return ClaimCard(
        id=f"C{number}",
        title=claim["title"],
        statement=claim["statement"],
        rivals=claim["rivals"],
        prediction=claim["prediction"],
        threshold=claim["threshold"],
        measured=_rows(claim["measured"]),
        controls=_rows(claim["control"]),
        verdict=claim["verdict"],
        reason=claim["reason"],
        control_design=claim["control_design"],
        amended=claim["amended"],
    )


def _in_short(claim: Json) -> str:
    return "; ".join(
        f"{row['name']} {_number(row['value'])} {_interval(row['interval'])}".rstrip()
        for row in claim["measured"][:3]
    )


def _rows(rows: Sequence[Json]) -> list[tuple[str, str, str, str]]:
    return [(row["name"], _number(row["value"]), _interval(row["interval"]), row["unit"]) for row in rows]


def _number(value: float | None) -> str:
    return "not defined" if value is None else f"{value:.4g}"


def _interval(interval: Sequence[float | None] | None) -> str:
    return "" if interval is None else f"[{_number(interval[0])}, {_number(interval[1])}]"
