"""The tasks by name, as configs write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unweave.core.errors import InputError, nearest
from unweave.tasks.brackets import Brackets
from unweave.tasks.histogram import Histogram
from unweave.tasks.indirect_object import IndirectObject
from unweave.tasks.induction import Induction
from unweave.tasks.k_back import KBack
from unweave.tasks.markov_chains import MarkovChains
from unweave.tasks.modular_arithmetic import ModularArithmetic
from unweave.tasks.previous_token import PreviousToken
from unweave.tasks.task import Task
from unweave.tasks.transduction import Copy, Reverse, Sort

TASKS: dict[str, type[Task]] = {
    "previous-token": PreviousToken,
    "k-back": KBack,
    "induction": Induction,
    "copy": Copy,
    "reverse": Reverse,
    "sort": Sort,
    "modular-arithmetic": ModularArithmetic,
    "brackets": Brackets,
    "histogram": Histogram,
    "markov-chains": MarkovChains,
    "indirect-object": IndirectObject,
}


def names() -> tuple[str, ...]:
    """The names of the tasks of tokens."""
    return tuple(TASKS)


def task_from(values: Mapping[str, Any]) -> Task:
    """The task that `{"name": ..., ...}` says, as `task.to_dict()` writes it.

    Raises:
        InputError: for an unknown name or field, or a value that doesn't fit.
    """
    name = values.get("name")
    if name not in TASKS:
        raise InputError(
            wanted=f"the name of a task, one of {', '.join(TASKS)}",
            got=repr(name),
            remedy=f"nearest: {nearest(str(name), TASKS)}",
        )
    kind = TASKS[name]
    known = kind().to_dict()
    fields = {key: value for key, value in values.items() if key != "name"}
    for key in fields:
        if key not in known:
            raise InputError(
                wanted=f"a field of {name}: {', '.join(list(known)[1:]) or 'it has none'}",
                got=repr(key),
                remedy=f"nearest: {nearest(key, list(known)[1:])}" if len(known) > 1 else "leave it out",
            )
    return kind(**fields)
