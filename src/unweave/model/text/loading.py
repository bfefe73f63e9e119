"""The door upwards to the room that knows files and the hub."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any


def load_by_name(name: str | Path) -> Any:
    """The tokenizer of that name or folder; see `unweave.pretrained.tokenizers.load_tokenizer`."""
    # By name: this room stands below that one, and imports nothing from above.
    return import_module("unweave.pretrained.tokenizers").load_tokenizer(name)
