"""Modules of TransformerLens 3.9 that are not here as a whole, and why.

The page "Coming from TransformerLens" has each of them too; a test compares the two with what is here.
"""

from __future__ import annotations

_BRIDGE = "the bridge and what belongs to it: open the model by HookedTransformer.from_pretrained"
_T5 = "there are no encoder-decoders"
_AUDIO = "there are no models of sound"

MISSING: dict[str, str] = {
    "HookedAudioEncoder": _AUDIO,
    "HookedEncoderDecoder": _T5,
    "benchmarks": _BRIDGE,
    "components.mlps.gated_mlp_4bit": "there are no quantized weights",
    "components.mlps.gpt_oss_moe": "there is no adapter for GPT-OSS",
    "components.t5_attention": _T5,
    "components.t5_block": _T5,
    "config.transformer_bridge_config": _BRIDGE,
    "conversion_utils": _BRIDGE,
    "factories": "internal to how 3.9 builds its parts: unweave.model.activations has the functions by name",
    "lit": "there is no connection to LIT: unweave's charts show attention and tokens in the notebook",
    "model_bridge": _BRIDGE,
    "pretrained": "internal to how 3.9 loads: unweave.pretrained.families has an adapter for each family",
    "remote_module_loading": "empty in 3.9",
    "tools": "the analyses are unweave.analysis; the registry of models belongs to the bridge",
    "utilities.aliases": _BRIDGE,
    "utilities.architectures": _BRIDGE,
    "utilities.bridge_components": _BRIDGE,
    "utilities.heterogeneous_config": _BRIDGE,
    "utilities.quantization": "there are no quantized weights",
    "utilities.tracr": "models of known circuits are compiled by unweave.planted",
    "weight_processing": "unweave.model.weights.process_weights, and the methods of HookedTransformer",
}
