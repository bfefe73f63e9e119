"""What the door lacks of a list of TransformerLens' public names."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import torch

from unweave.compat.transformer_lens.config.hooked_transformer_config import KEPT, HookedTransformerConfig

HOME = "unweave.compat.transformer_lens"


def lacking(surface: dict[str, dict[str, Any]]) -> tuple[set[str], set[str]]:
    """Names that are not here, and names that are: `module`, `module.name`, `module.Class.member`, `…(argument)`."""
    missing: set[str] = set()
    present: set[str] = set()
    for module, names in surface.items():
        try:
            ours = import_module(f"{HOME}.{module}".rstrip("."))
        except ModuleNotFoundError:
            missing.add(module)
            continue
        present.add(module)
        for name, value in names.items():
            whole = f"{module}.{name}".lstrip(".")
            if not hasattr(ours, name):
                missing.add(whole)
                continue
            present.add(whole)
            for part, there in parts(getattr(ours, name), value):
                (present if there else missing).add(f"{whole}{part}")
    return missing, present


def parts(ours: Any, theirs: Any) -> Iterator[tuple[str, bool]]:
    """The members and arguments of a name, and whether each is here."""
    if isinstance(theirs, list):
        taken = arguments_of(ours)
        yield from ((f"({argument})", taken is None or argument in taken) for argument in theirs)
    elif isinstance(theirs, dict):
        fields = (
            {field.name for field in dataclasses.fields(ours)} if dataclasses.is_dataclass(ours) else set()
        )
        fields |= set(inspect.signature(ours).parameters) if inspect.isclass(ours) else set()
        fields |= set(KEPT) if inspect.isclass(ours) and issubclass(ours, HookedTransformerConfig) else set()
        for member, args in theirs.items():
            if member == "__init__":
                yield from parts(ours, args)
                continue
            # What __init__ sets is seen in the source alone.
            there = hasattr(ours, member) or member in fields or in_init(ours, member)
            yield f".{member}", there
            if (
                there
                and args is not None
                and not isinstance(inspect.getattr_static(ours, member, None), property)
            ):
                yield from ((f".{member}{part}", here) for part, here in parts(getattr(ours, member), args))


def in_init(ours: Any, member: str) -> bool:
    """Whether a class assigns this attribute when it is built."""
    if not inspect.isclass(ours):
        return False
    code = [inspect.getsource(base) for base in ours.__mro__ if base.__module__.startswith("unweave")]
    return any(f"self.{member}" in text for text in code)


def arguments_of(function: Any) -> set[str] | None:
    """Names of the arguments that a function takes; None: any."""
    if isinstance(function, torch.nn.Module) or not callable(function):
        return None
    try:
        parameters = inspect.signature(function).parameters
    except ValueError:
        return None
    if any(one.kind == one.VAR_KEYWORD for one in parameters.values()):
        return None
    return set(parameters)
