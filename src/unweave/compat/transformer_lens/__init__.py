"""The names of TransformerLens 3.9, over Unweave's own.

    import unweave.compat.transformer_lens as transformer_lens

Every module stands under its 3.9 name. See docs/coming-from-transformer-lens.md.
"""

from __future__ import annotations

# The modules first: several share their name with the class in them, and the class is meant.
from unweave.compat.transformer_lens import ActivationCache as _ActivationCache
from unweave.compat.transformer_lens import BertNextSentencePrediction as _BertNextSentencePrediction
from unweave.compat.transformer_lens import FactoredMatrix as _FactoredMatrix
from unweave.compat.transformer_lens import HookedEncoder as _HookedEncoder
from unweave.compat.transformer_lens import HookedRootModule as _HookedRootModule
from unweave.compat.transformer_lens import HookedTransformer as _HookedTransformer
from unweave.compat.transformer_lens import HookedTransformerConfig as _HookedTransformerConfig
from unweave.compat.transformer_lens import SVDInterpreter as _SVDInterpreter
from unweave.compat.transformer_lens import (
    components,
    evals,
    head_detector,
    hook_points,
    loading_from_pretrained,
    patching,
    supported_models,
    train,
    utilities,
    utils,
)
from unweave.compat.transformer_lens import loading_from_pretrained as loading
from unweave.compat.transformer_lens.cache.key_value_cache import TransformerLensKeyValueCache
from unweave.compat.transformer_lens.cache.key_value_cache_entry import TransformerLensKeyValueCacheEntry

ActivationCache = _ActivationCache.ActivationCache
BertNextSentencePrediction = _BertNextSentencePrediction.BertNextSentencePrediction
FactoredMatrix = _FactoredMatrix.FactoredMatrix
HookedEncoder = _HookedEncoder.HookedEncoder
HookedRootModule = _HookedRootModule.HookedRootModule
HookedTransformer = _HookedTransformer.HookedTransformer
HookedTransformerConfig = _HookedTransformerConfig.HookedTransformerConfig
SVDInterpreter = _SVDInterpreter.SVDInterpreter

__all__ = [
    "ActivationCache",
    "BertNextSentencePrediction",
    "FactoredMatrix",
    "HookedEncoder",
    "HookedRootModule",
    "HookedTransformer",
    "HookedTransformerConfig",
    "SVDInterpreter",
    "TransformerLensKeyValueCache",
    "TransformerLensKeyValueCacheEntry",
    "components",
    "evals",
    "head_detector",
    "hook_points",
    "loading",
    "loading_from_pretrained",
    "patching",
    "supported_models",
    "train",
    "utilities",
    "utils",
]
