"""What a sweep, a training run or an experiment told, as evidence of the step that it ran in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unweave.core.errors import InputError
from unweave.journal.records import Evidence


def evidence(kind: str, facts: Mapping[str, Any], step: str) -> dict[str, Any]:
    """The body of an entry. Where the facts are not those of evidence, all of them are told beside it.

    Args:
        kind: of the event.
        facts: JSON values.
        step: the id of the step's entry.
    """
    known = {name: value for name, value in facts.items() if value is not None}
    try:
        return Evidence.from_body({"source": kind, **known, "step": step}).to_body()
    except InputError:
        return Evidence(str(known.get("text") or f"a {kind}"), step=step, source=kind, facts=known).to_body()
