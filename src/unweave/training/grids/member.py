"""One run of a grid: a whole config, and the hash it is recognised by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from unweave.training.run_file import RunConfig


@dataclass(frozen=True)
class Member:
    """One run of a grid.

    Args:
        config: what is trained on what, and how.
        labels: where it stands on each axis.
        seed: of its weights and data; None where the grid varies none.
    """

    config: RunConfig
    labels: Mapping[str, Any]
    seed: int | None

    @cached_property
    def name(self) -> str:
        """Twelve hex digits of the hash of every field of the config, and the run's folder.

        The device is left out: where a run is put is no part of what it is.
        """
        values = self.config.to_dict()
        del values["model"]["device"]
        text = json.dumps(_plain(values), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def told(self) -> str:
        """Its place in the grid, for people."""
        seed = {} if self.seed is None else {"seed": self.seed}
        return ", ".join(f"{path.split('.')[-1]} {short(v)}" for path, v in {**self.labels, **seed}.items())


def short(value: Any) -> str:
    """An axis' value in a table: a schedule or task by its name and numbers, without brackets."""
    if isinstance(value, Mapping):
        return " ".join(str(part) for part in value.values())
    if isinstance(value, list | tuple):
        return "/".join(short(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    # 1 and 1.0 are one config.
    if isinstance(value, Mapping):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
