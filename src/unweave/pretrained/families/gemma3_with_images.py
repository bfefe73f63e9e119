"""The text part of Gemma 3's models that take images too: all from 4b on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.families import gemma3
from unweave.pretrained.family import Family
from unweave.pretrained.inert import INERT, MUST_BE_OFF, because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.takes import Take

# As files have it, and as a model in memory.
FILES, MEMORY = "language_model.model.", "model.language_model."
HEADS = ("language_model.lm_head.weight", "lm_head.weight")


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.Gemma3Config`: the table `text_config`."""
    values = c.get("text_config")
    if not isinstance(values, Mapping):
        raise InputError(
            wanted=f"a table for text_config in {c.where}",
            got=repr(values),
            remedy="take the config.json that belongs to the model",
        )
    text = c.part("text_config", values)
    fields = gemma3.config(text)
    c.only("tie_word_embeddings", fields["tie_word_embeddings"], default=True)
    for name, off in MUST_BE_OFF.items():
        text.only(name, off, None, default=off)
    text.finish({**INERT, **gemma3.FAMILY.inert})
    return fields


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.Gemma3ForConditionalGeneration`."""
    return [_inside(row) for row in gemma3.weights(cfg)]


def _inside(row: Take) -> Take:
    of_file, of_memory = (
        HEADS if row.theirs == "lm_head.weight" else (FILES + row.theirs, MEMORY + row.theirs)
    )
    return dataclasses.replace(row, theirs=of_file, or_else=dataclasses.replace(row, theirs=of_memory))


FAMILY = Family(
    name="gemma3_with_images",
    architectures=("Gemma3ForConditionalGeneration",),
    model_types=("gemma3",),
    config=config,
    weights=weights,
    inert=because(
        "of images, which this model doesn't take",
        *("vision_config", "mm_tokens_per_image", "image_token_index", "image_token_id"),
        *("boi_token_index", "boi_token_id", "eoi_token_index", "eoi_token_id"),
    ),
    ignored={r"(model\.)?(vision_tower|multi_modal_projector)\..*": "what reads images"},
    tied={head: f"{where}embed_tokens.weight" for head, where in zip(HEADS, (FILES, MEMORY), strict=True)},
    supports="the text part of models that take images: text in, as gemma3",
    examples=("google/gemma-3-4b-pt", "google/gemma-3-27b-it"),
)
