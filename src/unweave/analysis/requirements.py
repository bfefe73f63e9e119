"""What several techniques ask of their arguments."""

from __future__ import annotations

from unweave.core.errors import InputError


def require_whole(name: str, value: object, least: int) -> None:
    """Raise InputError unless `value` is a whole number of at least `least`."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise InputError(
            wanted=f"a whole number of at least {least} for {name}", got=repr(value), remedy="pass another"
        )
