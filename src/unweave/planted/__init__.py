"""Models whose algorithm is known, because it was written into the weights: the ground truth of techniques.

    planted = unweave.planted.load("induction")
    planted.model, planted.algorithm(tokens), planted.edges

That circuits compiled from programs serve as ground truth is the idea of Tracr (Lindner et al.,
2023, arXiv:2301.05062), taken further by InterpBench (Gupta et al., 2024, arXiv:2407.14494), after
the language RASP (Weiss, Goldberg and Yahav, 2021, arXiv:2106.06981).
"""

from unweave.planted.algorithm import Algorithm
from unweave.planted.compiler import compile  # noqa: A004  (its public name)
from unweave.planted.expectations import Contrast, Expectation
from unweave.planted.interpret import evaluate
from unweave.planted.language import (
    Op,
    Selector,
    aggregate,
    elementwise,
    everything,
    indices,
    linear,
    present,
    relabel,
    select,
    selector_width,
    tokens,
    vote,
)
from unweave.planted.planted_model import PlantedModel
from unweave.planted.shelf import load, names

__all__ = [
    "Algorithm",
    "Contrast",
    "Expectation",
    "Op",
    "PlantedModel",
    "Selector",
    "aggregate",
    "compile",
    "elementwise",
    "evaluate",
    "everything",
    "indices",
    "linear",
    "load",
    "names",
    "present",
    "relabel",
    "select",
    "selector_width",
    "tokens",
    "vote",
]
