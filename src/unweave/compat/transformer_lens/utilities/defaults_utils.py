"""Defaults of a model, and other ones for a while."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Any

from unweave.compat.transformer_lens.utilities.attribute_utils import get_nested_attr, set_nested_attr
from unweave.core.errors import InputError

# What a caller passes to mean the model's default.
USE_DEFAULT_VALUE = None

# What may be overridden: the values it may have, and where they stand. The padding side stands in
# two places: the model's own default is looked at first, and some read the tokenizer's.
OVERRIDABLE = {
    "prepend_bos": ((True, False), ("cfg.default_prepend_bos",)),
    "padding_side": (("left", "right"), ("tokenizer.padding_side", "default_padding_side")),
}


def override_or_use_default_value(default_flag: Any, override: Any = None) -> Any:
    """`override`, or the default if that is None."""
    return default_flag if override is None else override


class LocallyOverridenDefaults:
    """Within the block a model has other defaults; None overrides nothing.

    Args:
        model: with a `cfg`, and a `tokenizer`, which may be None: then its padding side stays.
        overrides: `prepend_bos` and `padding_side`.

    Raises:
        InputError: for another name, and, at the start of the block, for a value that can't be.
    """

    def __init__(self, model: Any, **overrides: Any) -> None:
        unknown = sorted(overrides.keys() - OVERRIDABLE.keys())
        if unknown:
            raise InputError(
                wanted=f"defaults to override: {' and '.join(OVERRIDABLE)}",
                got=repr(unknown[0]),
                remedy="leave it out",
            )
        self.model, self.overrides = model, overrides
        self._before: list[Callable[[], None]] = []

    def __enter__(self) -> LocallyOverridenDefaults:
        for name, value in self.overrides.items():
            values, places = OVERRIDABLE[name]
            if value not in (USE_DEFAULT_VALUE, *values):
                self._restore()
                raise InputError(
                    wanted=f"{name} to be one of {', '.join(map(repr, values))}, or None",
                    got=repr(value),
                    remedy="leave it out for the model's default",
                )
            without = name == "padding_side" and getattr(self.model, "tokenizer", None) is None
            for place in places if value is not USE_DEFAULT_VALUE and not without else ():
                self._override(place, value)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _override(self, place: str, value: Any) -> None:
        try:
            before = get_nested_attr(self.model, place)
        except AttributeError:
            return  # a model of another kind, or a tokenizer that pads nowhere
        set_nested_attr(self.model, place, value)
        self._before.append(lambda: set_nested_attr(self.model, place, before))

    def _restore(self) -> None:
        while self._before:
            self._before.pop()()
