"""The tensors inside what modules take and return: tuples, lists, mappings, dataclasses, and nests of these."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Any, cast

from torch import Tensor

from unweave.core.errors import HookError

Change = Callable[[str, Tensor], Tensor]


def leaves(value: Any, at: str = "") -> Iterator[tuple[str, Tensor]]:
    """Each tensor in `value` with its address: `""` for a lone tensor, `"[1][0]"`, `"[logits]"`.

    Objects of other kinds (a key-value cache, say) are not looked into.
    """
    if isinstance(value, Tensor):
        yield at, value
    for key, part in _parts(value):
        yield from leaves(part, f"{at}[{key}]")


def changed(value: Any, change: Change, at: str = "") -> Any:
    """`value` with `change(address, tensor)` in each tensor's place; the very object if none is another.

    Raises:
        HookError: if a container cannot be built again with another content.
    """
    if isinstance(value, Tensor):
        return change(at, value)
    replaced: dict[Any, Any] = {}
    for key, part in _parts(value):
        new = changed(part, change, f"{at}[{key}]")
        if new is not part:
            replaced[key] = new
    return _with(value, replaced) if replaced else value


def _parts(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return list(cast(Mapping[Any, Any], value).items())
    if isinstance(value, tuple | list):
        parts = cast(tuple[Any, ...], value)
        return list(zip(getattr(parts, "_fields", range(len(parts))), parts, strict=True))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return []


def _with(value: Any, replaced: dict[Any, Any]) -> Any:
    """A copy of the container `value` with these parts in place of its own."""
    if isinstance(value, MutableMapping):
        # Not rebuilt from its items: a ModelOutput has a constructor of its own.
        new = copy.copy(cast(MutableMapping[Any, Any], value))
        for key, part in replaced.items():
            new[key] = part
        return new
    if isinstance(value, tuple | list):
        kind = type(cast(tuple[Any, ...], value))
        parts = [replaced.get(key, part) for key, part in _parts(value)]
        return kind(*parts) if hasattr(kind, "_fields") else kind(parts)
    if isinstance(value, Mapping):
        raise HookError(
            wanted="a container whose content can be replaced",
            got=f"the read-only {type(cast(Any, value)).__name__}",
            remedy="hook a place before or after it, or return a dict",
        )
    new = copy.copy(value)
    for name, part in replaced.items():
        # A frozen dataclass is set here too: the copy is nobody's yet.
        object.__setattr__(new, name, part)
    return new
