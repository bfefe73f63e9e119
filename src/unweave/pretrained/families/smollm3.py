"""SmolLM3 (Hugging Face, 2025, https://huggingface.co/blog/smollm3): LLaMA's layout, some layers not rotated."""

from __future__ import annotations

from typing import Any

from unweave.core.errors import InputError
from unweave.pretrained.families.llama import INV_FREQ, TIED, biases, sizes, weights
from unweave.pretrained.family import Family, windows
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.rope import rotary_fields


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.SmolLM3Config`."""
    fields = sizes(
        c,
        vocab_size=128256,
        hidden_size=2048,
        num_hidden_layers=36,
        num_attention_heads=16,
        num_key_value_heads=4,
        intermediate_size=11008,
        max_position_embeddings=32768,
        tie_word_embeddings=True,
    )
    rotated = rotated_layers(c, fields["n_layers"])
    window, windowed = c.get("sliding_window", default=None), c.flag("use_sliding_window", default=False)
    if windowed and window is None:
        c.refuse("use_sliding_window", "sliding_window is not given")
    window = window if windowed else None
    # Where the file doesn't say which layers see a window, those do that aren't rotated.
    kinds = ["full_attention" if turned or window is None else "sliding_attention" for turned in rotated]
    return {
        **fields,
        **rotary_fields(c, fields["d_head"], theta=2_000_000.0),
        **({} if all(rotated) else {"rotary_layers": rotated}),
        **windows(c.get("layer_types", default=None) or kinds, window),
        **biases(c),
    }


def rotated_layers(c: ConfigReader, n_layers: int) -> tuple[bool, ...]:
    """Which layers rotate: `no_rope_layers` has 1 for those that do, or every fourth doesn't.

    Raises:
        InputError: for another list.
    """
    interval = c.count("no_rope_layer_interval", default=4)
    listed = c.get("no_rope_layers", default=None)
    if listed is None:
        return tuple((layer + 1) % interval != 0 for layer in range(n_layers))
    if len(listed) != n_layers or not set(listed) <= {0, 1}:
        raise InputError(
            wanted=f"no_rope_layers in {c.where}, 0 or 1 for each of {n_layers} layers",
            got=repr(listed),
            remedy="take the config.json that belongs to the model",
        )
    return tuple(bool(turned) for turned in listed)


FAMILY = Family(
    name="smollm3",
    architectures=("SmolLM3ForCausalLM",),
    model_types=("smollm3",),
    config=config,
    weights=weights,
    prefix="model.",
    inert={
        **because("dropout", "attention_dropout"),
        **because("Qwen's, and never read", "max_window_layers"),
    },
    ignored=INV_FREQ,
    tied=TIED,
    supports="layers that aren't rotated, windows, grouped heads, scaling, biases, tied or not",
    examples=("HuggingFaceTB/SmolLM3-3B", "HuggingFaceTB/SmolLM3-3B-Base"),
)
