"""A session as a notebook that runs from top to bottom, with each prediction above its result."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from unweave.journal.outputs import Output
from unweave.journal.sessions import Session, Step
from unweave.recorder.exports.obstacles import UNFINISHED, Obstacle, obstacles
from unweave.recorder.exports.passages import Cell, nested_away, passages
from unweave.recorder.exports.wording import escaped, markdown, why

# What a recording needs and a notebook does not.
_LEFT_TO_PINS = ("python", "ipython", "ipykernel")

SETUP = """\
# Pinned: the versions that this was recorded with. Nothing is installed here: this only says what differs.
import random
from importlib import metadata

PINS = {pins}


def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"


differing = [f"{{name}}=={{pin}}" for name, pin in PINS.items() if version(name) != pin]
if differing:
    print("recorded with other versions; to have the same: pip install", *differing)

# Seeds: the generators begin at a known place. Where the recording began is not known unless a cell seeds them.
random.seed({seed})
try:
    import numpy
except ImportError:
    pass
else:
    numpy.random.seed({seed} % 2**32)
try:
    import torch
except ImportError:
    pass
else:
    torch.manual_seed({seed})"""


def notebook(session: Session, *, outputs: bool = True, head: str = "") -> dict[str, Any]:
    """The session as the JSON of a notebook (nbformat 4.5).

    Cells stand in the order in which they ran. Private cells are left out, interrupted ones are given as text, those that
    failed are marked `raises-exception`, so that a run goes on past them; what prevents or changes a run is listed at the
    top and in the metadata. Cells that other cells ran are not repeated.

    Args:
        outputs: with what was put out; the pictures of a long session may be large.
        head: the end of the journal's chain, which is noted in the metadata.
    """
    found = obstacles(session)
    cells = [_markdown(_title(session)), _markdown(_prevents(found)), _code(setup(session))]
    for passage in nested_away(passages(session)):
        if isinstance(passage, Cell):
            cells += _cells(passage, outputs)
        else:
            cells.append(_markdown(markdown(passage)))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:04d}"
    return {
        "cells": cells,
        "metadata": {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "unweave": {
                "session": session.id,
                "started": session.started,
                "journal_head": head,
                "obstacles": [vars(one) for one in found],
            },
        },
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def setup(session: Session) -> str:
    """The first cell: pins and seeds."""
    return SETUP.format(pins=_pins(session), seed=_seed(session.steps()))


def _pins(session: Session) -> str:
    versions: Mapping[str, str] = session.facts.get("versions", {})
    kept = {name: version for name, version in versions.items() if name not in _LEFT_TO_PINS}
    lines = "".join(f"    {name!r}: {version!r},\n" for name, version in kept.items())
    return "{\n" + lines + "}" if kept else "{}"


def _seed(steps: Iterable[Step]) -> int:
    """The seed that torch had first, else 0."""
    seeds = (step.facts.get("seeds", {}).get("torch_seed") for step in steps)
    first = next((seed for seed in seeds if isinstance(seed, int)), 0)
    return first if 0 <= first < 2**63 else 0


def _title(session: Session) -> str:
    python = session.facts.get("versions", {}).get("python")
    ran = f", with Python {python}" if python else ""
    return (
        f"# {escaped(session.title or 'A recorded session')}\n\n"
        f"Session `{session.id}`, {session.step_count} cells, recorded from {session.started}{ran} by unweave. Predictions stand "
        "above their results, as they were made before them."
    )


def _prevents(found: tuple[Obstacle, ...]) -> str:
    if not found:
        return "Nothing is known that would keep this notebook from running from top to bottom."
    lines = [
        f"- cell {one.step}: {escaped(one.text)}{' **(stops here)**' if one.stops else ''}" for one in found
    ]
    return "What may keep this notebook from running as it did:\n\n" + "\n".join(lines)


def _cells(cell: Cell, outputs: bool) -> list[dict[str, Any]]:
    step = cell.step
    above = [why(text, assistant) for text, assistant in cell.reasons]
    cells = [_markdown("\n\n".join(above))] if above else []
    if step.status in UNFINISHED:
        fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", cell.code)), default=0))
        text = f"Cell {step.n} did not come to its end when recorded, and isn't run here:\n\n{fence}python\n{cell.code}\n{fence}"
        return [*cells, _markdown(text)]
    made = _code(cell.code, step.execution_count if outputs else None)
    tags = {"tags": ["raises-exception"]} if step.status == "error" else {}
    made["metadata"] = {"unweave": {"step": step.n, "seconds": step.seconds}, **tags}
    if outputs:
        made["outputs"] = [_output(output, step) for output in step.shown()]
    return [*cells, made]


def _output(output: Output, step: Step) -> dict[str, Any]:
    if output.error is not None:
        name, value, lines = output.error
        return {"output_type": "error", "ename": name, "evalue": value, "traceback": [*lines]}
    bundle = output.bundle()
    if output.sort == "stream":
        return {
            "output_type": "stream",
            "name": output.name or "stdout",
            "text": str(bundle.get("text/plain", "")),
        }
    if output.sort == "result":
        count = output.execution_count if output.execution_count is not None else step.execution_count
        return {
            "output_type": "execute_result",
            "data": bundle,
            "metadata": dict(output.metadata),
            "execution_count": count,
        }
    return {"output_type": "display_data", "data": bundle, "metadata": dict(output.metadata)}


def _markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(text: str, count: int | None = None) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": text, "outputs": [], "execution_count": count}
