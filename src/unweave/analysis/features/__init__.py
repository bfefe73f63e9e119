"""Sparse autoencoders and transcoders: opened, spliced into a model, patched feature by feature, measured, trained."""

from unweave.analysis.features.config import DictionaryConfig
from unweave.analysis.features.dictionary import Dictionary
from unweave.analysis.features.effects import ablate, attribute, patch
from unweave.analysis.features.saved import load, save
from unweave.analysis.features.splice import Spliced, splice

__all__ = [
    "Dictionary",
    "DictionaryConfig",
    "Spliced",
    "ablate",
    "attribute",
    "load",
    "patch",
    "save",
    "splice",
]
