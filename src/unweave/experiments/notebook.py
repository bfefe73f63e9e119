"""An experiment's analysis as a notebook that runs from top to bottom beside its run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from unweave.core.claims import Claim
from unweave.core.files import write_json_atomic

Step = tuple[str, str]
"""Markdown, which may be empty, and the code under it."""

SHOW = """\
def show(tested):
    print(tested["verdict"].upper(), "-", tested["reason"])
    for row in tested["measured"] + tested["control"]:
        print(f"  {row['name']}: {row['value']} {row['interval'] or ''} {row['unit']}")"""


def write(path: Path, title: str, setup: str, steps: Sequence[Step], claims: Sequence[Claim]) -> Path:
    """Write a notebook: title, set-up, steps, then every claim with its prediction above its test.

    Args:
        title: markdown of the first cell.
        setup: code that leaves `study`, which the claims are tested on, and `claims`, the module or
            package with their list `CLAIMS`.
    """
    cells = [_markdown(title), _code(setup)]
    for text, code in steps:
        cells += ([_markdown(text)] if text else []) + [_code(code)]
    cells += [_markdown("## The claims\n\nEach is told before it is measured."), _code(SHOW)]
    for number, claim in enumerate(claims):
        cells += [_markdown(_told(claim)), _code(f"show(claims.CLAIMS[{number}].tested(study))")]
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:02d}"
    write_json_atomic(path, {"cells": cells, "metadata": _METADATA, "nbformat": 4, "nbformat_minor": 5})
    return path


def _told(claim: Claim) -> str:
    rivals = "\n".join(f"- {rival}" for rival in claim.rivals)
    parts = {
        "Predicted": claim.prediction,
        "Threshold": claim.threshold,
        "Control": claim.control,
        "Amended": claim.amended,
    }
    said = "\n\n".join(f"**{name}**: {text}" for name, text in parts.items() if text)
    return f"### {claim.title}\n\n{claim.statement}\n\n**Rivals**\n\n{rivals}\n\n{said}"


_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def _markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(text: str) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": text, "outputs": [], "execution_count": None}
