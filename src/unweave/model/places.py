"""The names of what goes into and comes out of the submodules of any module."""

from __future__ import annotations

import re
from dataclasses import dataclass

_NAME = re.compile(r"(?:(?P<path>.+?)(?:@(?P<call>\d+))?\.)?(?P<end>in|out)(?P<address>(?:\[[^]]*\])*)")


@dataclass(frozen=True)
class Place:
    """Where a tensor passes: `lstm@1.out[0]` is the first part of what the lstm's second call returned.

    Args:
        path: of the submodule; empty for the whole module.
        end: "in" or "out".
        address: of the tensor in what went in or came out; empty if that is a lone tensor.
        call: counts from 0 within a run; None, which only a user's name has, means the only call.
    """

    path: str
    end: str
    address: str = ""
    call: int | None = None

    @classmethod
    def parsed(cls, name: str) -> Place | None:
        """The place that a name means; None if it is not so written."""
        match = _NAME.fullmatch(name)
        if match is None:
            return None
        call = None if match["call"] is None else int(match["call"])
        return cls(match["path"] or "", match["end"], match["address"], call)

    def named(self, numbered: bool) -> str:
        """Its name, with the number of the call or without."""
        path = f"{self.path}@{self.call}" if numbered else self.path
        return f"{path}.{self.end}{self.address}" if self.path else f"{self.end}{self.address}"

    def at(self, address: str) -> Place:
        """Another tensor of the same call."""
        return Place(self.path, self.end, address, self.call)
