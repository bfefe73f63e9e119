"""Unweave: open a transformer up, form hypotheses about how it works, and test them causally.

    import unweave

    model = unweave.HookedTransformer(unweave.HookedTransformerConfig(...))
    logits, cache = model.run_with_cache(tokens)
    cache["pattern", 1]  # layer 1's attention pattern: [batch, head, query, key]

Public names are loaded when they are first reached, so that importing this package costs next to
nothing and loads no torch.

A new public name is a line in three places here: `_HOMES`, `__all__`, and the imports for type checkers.
A module from further inside gets a door besides, so that `import unweave.patching` works as well:
`unweave/patching.py`, five lines that put the module in the place of their own, and its name in the top layer
of the floors in `pyproject.toml`. Doors are for users: nothing in the house imports through one.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from unweave import (
        analysis,
        charts,
        circuits,
        das,
        edges,
        engine,
        experiments,
        explore,
        features,
        journal,
        lens,
        patching,
        paths,
        planted,
        probes,
        scrub,
        steer,
        store,
        tasks,
        training,
    )
    from unweave.core.factored_matrix import FactoredMatrix
    from unweave.core.hook_point import HookPoint
    from unweave.core.hooked_module import HookedRootModule
    from unweave.core.results import Result
    from unweave.engine.inputs import Inputs
    from unweave.engine.intervene import intervene
    from unweave.engine.metrics import KL, LogitDifference, Loss, Probability, Rank
    from unweave.engine.site import Site
    from unweave.engine.sweep import sweep
    from unweave.journal.store import Journal
    from unweave.model.cache import ActivationCache
    from unweave.model.config import HookedTransformerConfig
    from unweave.model.encoder import HookedEncoder
    from unweave.model.saved import load
    from unweave.model.text.prompts import test_prompt
    from unweave.model.transformer import HookedTransformer
    from unweave.model.wrapped import wrap
    from unweave.recorder.script import record

__version__ = "0.1.0"

__all__ = [
    "KL",
    "ActivationCache",
    "FactoredMatrix",
    "HookPoint",
    "HookedEncoder",
    "HookedRootModule",
    "HookedTransformer",
    "HookedTransformerConfig",
    "Inputs",
    "Journal",
    "LogitDifference",
    "Loss",
    "Probability",
    "Rank",
    "Result",
    "Site",
    "__version__",
    "analysis",
    "charts",
    "circuits",
    "das",
    "edges",
    "engine",
    "experiments",
    "explore",
    "features",
    "intervene",
    "journal",
    "lens",
    "load",
    "patching",
    "paths",
    "planted",
    "probes",
    "record",
    "scrub",
    "steer",
    "store",
    "sweep",
    "tasks",
    "test_prompt",
    "training",
    "wrap",
]

# Where each public name lives: a module, or a name in one ("module:name").
_HOMES = {
    "ActivationCache": "unweave.model.cache:ActivationCache",
    "FactoredMatrix": "unweave.core.factored_matrix:FactoredMatrix",
    "HookPoint": "unweave.core.hook_point:HookPoint",
    "HookedEncoder": "unweave.model.encoder:HookedEncoder",
    "HookedRootModule": "unweave.core.hooked_module:HookedRootModule",
    "HookedTransformer": "unweave.model.transformer:HookedTransformer",
    "HookedTransformerConfig": "unweave.model.config:HookedTransformerConfig",
    "Inputs": "unweave.engine.inputs:Inputs",
    "Journal": "unweave.journal.store:Journal",
    "KL": "unweave.engine.metrics:KL",
    "LogitDifference": "unweave.engine.metrics:LogitDifference",
    "Loss": "unweave.engine.metrics:Loss",
    "Probability": "unweave.engine.metrics:Probability",
    "Rank": "unweave.engine.metrics:Rank",
    "Result": "unweave.core.results:Result",
    "Site": "unweave.engine.site:Site",
    "analysis": "unweave.analysis",
    "charts": "unweave.charts",
    "circuits": "unweave.circuits",
    "das": "unweave.das",
    "edges": "unweave.edges",
    "engine": "unweave.engine",
    "experiments": "unweave.experiments",
    "explore": "unweave.explore",
    "features": "unweave.features",
    "intervene": "unweave.engine.intervene:intervene",
    "journal": "unweave.journal",
    "lens": "unweave.lens",
    "load": "unweave.model.saved:load",
    "patching": "unweave.patching",
    "paths": "unweave.paths",
    "planted": "unweave.planted",
    "probes": "unweave.probes",
    "record": "unweave.recorder.script:record",
    "scrub": "unweave.scrub",
    "steer": "unweave.steer",
    "store": "unweave.store",
    "sweep": "unweave.engine.sweep:sweep",
    "tasks": "unweave.tasks",
    "test_prompt": "unweave.model.text.prompts:test_prompt",
    "training": "unweave.training",
    "wrap": "unweave.model.wrapped:wrap",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        # With name and object given, Python adds "Did you mean …?" to the message.
        raise AttributeError(f"unweave has no {name!r}", name=name, obj=import_module(__name__))
    module, _, attribute = _HOMES[name].partition(":")
    value = import_module(module)
    if attribute:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext unweave` calls: the recorder's magics."""
    import_module("unweave.recorder.extension").load(shell)


def unload_ipython_extension(shell: Any) -> None:
    """What `%unload_ext unweave` calls."""
    import_module("unweave.recorder.extension").unload(shell)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
