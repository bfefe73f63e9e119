"""Sparse autoencoders and transcoders: opened, spliced into a model, patched feature by feature, measured, trained."""

from unweave.analysis.features.comparison import mean_max_cosine, similarity
from unweave.analysis.features.config import DictionaryConfig
from unweave.analysis.features.dictionary import Dictionary
from unweave.analysis.features.effects import ablate, attribute, patch
from unweave.analysis.features.evaluation import Evaluation, evaluate
from unweave.analysis.features.examples import Examples, max_activating
from unweave.analysis.features.saved import load, save
from unweave.analysis.features.splicing import Spliced, splice
from unweave.analysis.features.training import Trained, train

__all__ = [
    "Dictionary",
    "DictionaryConfig",
    "Evaluation",
    "Examples",
    "Spliced",
    "Trained",
    "ablate",
    "attribute",
    "evaluate",
    "load",
    "max_activating",
    "mean_max_cosine",
    "patch",
    "save",
    "similarity",
    "splice",
    "train",
]
