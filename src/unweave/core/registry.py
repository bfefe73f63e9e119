"""What a room reaches in a room above it, for its user's sake: by name, never by an import."""

from __future__ import annotations

from importlib import import_module
from typing import Any

# Each door leads to a name in a module ("module:name"), which is loaded when someone passes through.
DOORS = {
    "from_pretrained": "unweave.pretrained.opening:from_pretrained",
    "encoder_from_pretrained": "unweave.pretrained.encoders:encoder_from_pretrained",
    "plot a result": "unweave.charts.results:plot_result",
    "plot a circuit": "unweave.charts.circuits:plot_circuit",
    "load_tokenizer": "unweave.pretrained.tokenizers:load_tokenizer",
}


def reach(door: str) -> Any:
    """What stands behind the door of this name."""
    module, _, attribute = DOORS[door].partition(":")
    return getattr(import_module(module), attribute)
