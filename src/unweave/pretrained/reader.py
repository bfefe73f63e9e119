"""Reading a model's config.json so that no value is ignored: what isn't read, or known to be inert, is refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from unweave.core.errors import InputError

REQUIRED: Any = object()
# Values that say "off": a switch that nobody knows and that is off changes nothing.
OFF: tuple[Any, ...] = (None, False, [], {}, "")


class ConfigReader:
    """The values of a config, and a list of those that can't be honoured.

    An adapter asks for every value that matters, by the name that it has in config.json, with the
    default that `transformers` gives it; older files leave out what was not yet there. Each method
    takes several names where files of different ages have different ones; two of them that disagree
    are refused.

    Args:
        values: what config.json holds.
        where: the file's name, for errors.
    """

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values, self.where = dict(values), where
        self.read: set[str] = set()
        self.refused: dict[str, str] = {}
        # What was asked for with which default; the tests compare them with transformers' own.
        self.defaults: dict[str, Any] = {}

    def get(self, *names: str, default: Any = REQUIRED) -> Any:
        """The value, of whatever type; `default` if the file has none under these names."""
        self.read.update(names)
        for name in names:
            self.defaults.setdefault(name, default)
        held = {name: self.values[name] for name in names if name in self.values}
        for name, value in held.items():
            if value != next(iter(held.values())):
                self.refuse(name, f"{next(iter(held))} says {next(iter(held.values()))!r}")
        if held:
            return next(iter(held.values()))
        if default is REQUIRED:
            raise InputError(
                wanted=f"a value for {' or '.join(names)} in {self.where}",
                got="none",
                remedy="take the whole config.json of the model",
            )
        return default

    def count(self, *names: str, default: Any = REQUIRED) -> int:
        """A whole number."""
        return self._of_kind(int, "a whole number", names, default)

    def number(self, *names: str, default: Any = REQUIRED) -> int | float:
        """A number."""
        return self._of_kind((int, float), "a number", names, default)

    def flag(self, *names: str, default: Any = REQUIRED) -> bool:
        """True or False."""
        return self._of_kind(bool, "true or false", names, default)

    def text(self, *names: str, default: Any = REQUIRED) -> str:
        """A string."""
        return self._of_kind(str, "a string", names, default)

    def only(self, name: str, *honoured: Any, default: Any) -> None:
        """Refuse any value but those honoured; the file need not have one."""
        value = self.get(name, default=default)
        if not any(type(value) is type(one) and value == one for one in honoured):
            self.refuse(name, f"only {' or '.join(map(repr, honoured))} is honoured")

    def part(self, name: str, values: Mapping[str, Any]) -> ConfigReader:
        """A reader of a table inside this one; what it refuses, this one refuses."""
        self.read.add(name)
        return _Part(values, self, name)

    def refuse(self, name: str, why: str) -> None:
        """Note that the value of `name` can't be honoured; all of them are told together."""
        self.refused.setdefault(name, why)

    def finish(self, inert: Mapping[str, str]) -> None:
        """Refuse what was neither read nor is in `inert` (name: why it changes nothing) nor is off.

        Raises:
            InputError: that lists every refused value.
        """
        for name, value in self.values.items():
            if name not in self.read and name not in inert and value not in OFF:
                self.refuse(name, "unknown to this adapter")
        if self.refused:
            listed = "; ".join(f"{name}={self._shown(name)} ({why})" for name, why in self.refused.items())
            raise InputError(
                wanted=f"a config whose every value can be honoured in {self.where}",
                got=listed,
                remedy="open the model with transformers and pass it to unweave.wrap(), or, if you know that a "
                "value changes nothing, name it in ignore_config=[...]",
            )

    def _shown(self, name: str) -> str:
        value: Any = self.values
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        text = repr(value)
        return text if len(text) <= 60 else text[:57] + "..."

    def _of_kind(self, kind: Any, told: str, names: tuple[str, ...], default: Any) -> Any:
        value = self.get(*names, default=default)
        # True is a whole number to Python, and to no config.
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InputError(
                wanted=f"{told} for {names[0]} in {self.where}",
                got=repr(value),
                remedy="take the config.json that belongs to the model",
            )
        return value


class _Part(ConfigReader):
    """A table inside another's values."""

    def __init__(self, values: Mapping[str, Any], outer: ConfigReader, name: str) -> None:
        super().__init__(values, outer.where)
        self._outer, self._name = outer, name

    def refuse(self, name: str, why: str) -> None:
        super().refuse(name, why)
        self._outer.refuse(f"{self._name}.{name}", why)

    def finish(self, inert: Mapping[str, str]) -> None:
        """Tell the outer reader, which raises."""
        for name, value in self.values.items():
            if name not in self.read and name not in inert and value not in OFF:
                self.refuse(name, "unknown to this adapter")
