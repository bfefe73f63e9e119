"""The text part of a Gemma 3 that takes images: the text model that test_gemma3.py compares, found in its place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.pretrained.family import assert_close, padding, random_model, transformers
from tests.pretrained.test_gemma3 import MIXED, SIZES, bases
from unweave import HookedTransformer
from unweave.core.errors import InputError
from unweave.pretrained.families import gemma3, gemma3_with_images

VISION = {
    "hidden_size": 16,
    "image_size": 28,
    "intermediate_size": 24,
    "model_type": "siglip_vision_model",
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
    "patch_size": 14,
}
GEMMA_3_4B = {
    "architectures": ["Gemma3ForConditionalGeneration"],
    "boi_token_index": 255999,
    "eoi_token_index": 256000,
    "eos_token_id": [1, 106],
    "image_token_index": 262144,
    "initializer_range": 0.02,
    "mm_tokens_per_image": 256,
    "model_type": "gemma3",
    "text_config": {
        "hidden_size": 2560,
        "intermediate_size": 10240,
        "model_type": "gemma3_text",
        "num_hidden_layers": 34,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 1024,
    },
    "torch_dtype": "bfloat16",
    "transformers_version": "4.50.0.dev0",
    "vision_config": {
        "hidden_size": 1152,
        "image_size": 896,
        "intermediate_size": 4304,
        "model_type": "siglip_vision_model",
        "num_attention_heads": 16,
        "num_hidden_layers": 27,
        "patch_size": 14,
        "vision_use_head": False,
    },
}


@pytest.mark.parametrize("tied", [True, False])
def test_it_is_the_text_model(tmp_path: Path, tied: bool):
    text = {
        **SIZES,
        "layer_types": MIXED,
        "rope_parameters": bases(1000.0, 10.0),
        "tie_word_embeddings": tied,
    }
    config = transformers.Gemma3Config(
        text_config=text, vision_config=VISION, mm_tokens_per_image=4, tie_word_embeddings=tied
    )
    theirs = random_model(transformers.Gemma3ForConditionalGeneration, config)
    theirs.save_pretrained(tmp_path)
    from_files = HookedTransformer.from_pretrained(tmp_path, device="cpu")
    in_memory = HookedTransformer.from_pretrained(hf_model=theirs, device="cpu")
    tokens = torch.randint(3, 50, (3, 11), generator=torch.manual_seed(0))
    for mask in (None, padding(tokens, "left"), padding(tokens, "right")):
        seen = torch.ones_like(tokens).bool() if mask is None else mask.bool()
        positions = None if mask is None else (mask.cumsum(1) - 1).clamp_min(0)
        with torch.no_grad():
            wanted = theirs(tokens, attention_mask=mask, position_ids=positions).logits
            for ours in (from_files, in_memory):
                assert_close(ours(tokens, attention_mask=mask)[seen], wanted[seen])


def test_a_real_config_is_read():
    inside: Any = GEMMA_3_4B["text_config"]
    text = {**inside, "architectures": ["Gemma3ForCausalLM"]}
    assert gemma3_with_images.FAMILY.read_config(GEMMA_3_4B) == gemma3.FAMILY.read_config(text)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"text_config": {"a_new_switch": 3}}, "text_config.a_new_switch=3 (unknown to this adapter)"),
        (
            {"text_config": {"attn_logit_softcapping": 5.0}},
            "text_config.attn_logit_softcapping=5.0 (only None",
        ),
        ({"tie_word_embeddings": False}, "tie_word_embeddings=False (only True is honoured)"),
        ({"a_new_switch": 3}, "a_new_switch=3 (unknown to this adapter)"),
        ({"text_config": 3}, "a table for text_config in config.json"),
    ],
)
def test_what_is_refused(changed: dict[str, Any], told: str):
    with pytest.raises(InputError) as error:
        gemma3_with_images.FAMILY.read_config({**GEMMA_3_4B, **changed})
    assert told in str(error.value)
