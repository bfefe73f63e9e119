"""What a sweep found, for those who listen: in a sentence, a number, and what that is to be compared with."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from unweave.core.results import Result

NAMED = 5  # cells with the largest effects that are named
_ABLATIONS = ("zero", "mean", "resample")


def told(result: Result) -> dict[str, Any]:
    """JSON values, as `unweave.core.events` has them."""
    facts, effect = result.provenance, result.effect
    order = effect.flatten().abs().nan_to_num().argsort(descending=True)[:NAMED]
    largest = [_cell(result, effect, int(place)) for place in order]
    over = " × ".join(_counted(len(result.coords[dim]), dim) for dim in result.dims) or "one patch"
    controls = {"clean": _mean(result.baselines["clean"])}
    if "random" in result.baselines:
        controls["random"] = _mean(result.baselines["random"])
    operation = str(facts.get("operation", ""))
    return {
        "text": f"sweep over {over}: {facts.get('metric')} changes most at {largest[0]['at'] if largest else 'nothing'}",
        "metric": str(facts.get("metric", "")),
        "value": largest[0]["value"] if largest else None,
        "unit": result.unit,
        "n": facts.get("samples"),
        "control": controls,
        "control_kind": "random changes of the same size"
        if "random" in controls
        else "the run without patches",
        "ablation": next((word for word in _ABLATIONS if operation.startswith(word)), None),
        "seeds": [facts["seed"]] if "seed" in facts else [],
        "facts": {
            "largest": largest,
            "approximate": result.approximate,
            "warnings": [*result.warnings],
            "provenance": {name: value for name, value in facts.items() if name != "plan"},
        },
    }


def _cell(result: Result, effect: Tensor, place: int) -> dict[str, Any]:
    return {
        "at": ", ".join(f"{dim} {label}" for dim, label in result.labels(place).items()),
        "value": float(result.values.flatten()[place]),
        "effect": float(effect.flatten()[place]),
    }


def _counted(number: int, dim: str) -> str:
    """How many there are, in words: 1 layer, 6 positions, 3 patches."""
    word = {"pos": "position", "key": "key position"}.get(dim, dim)
    return (
        f"{number} {word}" if number == 1 else f"{number} {word}{'es' if word.endswith(('ch', 's')) else 's'}"
    )


def _mean(values: Tensor) -> float:
    return float(values.mean())
