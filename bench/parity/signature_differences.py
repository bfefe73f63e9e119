"""TransformerLens 3.9's public names and arguments that our classes lack, and why."""

from __future__ import annotations

_TOKENIZER = "text needs a tokenizer: it comes with pretrained models"
_PRETRAINED = "it comes with pretrained models"
_NEW_MODEL = "unweave.model.weights returns a new model, and leaves the old one alone"
_STATE_SPACE = "there are no state-space layers here"
_DEVICES = "models over several devices come with pretrained models"
_CHECKPOINT = "a fact about a pretrained model's origin, which the adapter keeps"
_QUANTIZED = "there are no quantized weights here"
_RUN = "a part of forward: what it did is in Run and KeyValueCache"
_OPEN = "not there yet"

# "Class.name" for what is missing whole, "Class.name(argument)" for an argument.
LACKING: dict[str, str] = {
    **{
        f"HookedTransformer.{name}": _TOKENIZER
        for name in (
            "get_token_position",
            "set_tokenizer",
            "to_single_str_token",
            "to_single_token",
            "to_str_tokens",
            "to_string",
            "to_tokens",
        )
    },
    **{
        f"HookedTransformer.{name}": _PRETRAINED
        for name in (
            "fill_missing_keys",
            "from_pretrained",
            "from_pretrained_no_processing",
            "load_sample_training_dataset",
            "sample_datapoint",
        )
    },
    **{
        f"HookedTransformer.{name}": _NEW_MODEL
        for name in (
            "center_unembed",
            "center_writing_weights",
            "fold_layer_norm",
            "fold_value_biases",
            "load_and_process_state_dict",
            "process_weights_",
            "refactor_factored_attn_matrices",
        )
    },
    "HookedTransformer.get_pos_offset": _RUN,
    "HookedTransformer.get_residual": _RUN,
    "HookedTransformer.generate_stream": _OPEN,
    "HookedTransformer.move_model_modules_to_device": _DEVICES,
    "HookedTransformer.mps": "write model.to('mps')",
    "HookedTransformer.__init__(tokenizer)": _TOKENIZER,
    "HookedTransformer.__init__(default_padding_side)": _TOKENIZER,
    "HookedTransformer.__init__(move_to_device)": "the model is built on the config's device",
    "HookedTransformer.to(device_or_dtype)": "torch's own: the argument has no name there",
    "HookedTransformer.to(print_details)": "nothing is printed",
    **{
        f"HookedTransformer.{name}({argument})": _TOKENIZER
        for name in ("forward", "generate", "input_to_embed")
        for argument in ("prepend_bos", "padding_side")
    },
    "HookedTransformer.generate(return_type)": _TOKENIZER,
    "HookedTransformer.generate(**generation_kwargs)": "TransformerLens warns of them and ignores them",
    **{
        f"ActivationCache.{name}": _STATE_SPACE
        for name in ("compute_ssm_effective_attention", "compute_ssm_state", "ssm_layers")
    },
    "HookPoint.add_hook(alias_names)": "for the bridge: a point has one name here",
    "HookPoint.enable_reshape": "for the bridge: hooks see the tensor as the model has it",
    "HookPoint.forward(x)": "a point is called, never its forward: nn.Module's own call would cost more than it does",
    "FactoredMatrix.__getitem__(idx)": "named index; nobody passes it by name",
    "HookedTransformerConfig.set_seed_everywhere": "a seed draws from a generator of its own; use unweave.core.seeds",
    **{
        f"HookedTransformerConfig({field})": _TOKENIZER
        for field in ("default_prepend_bos", "tokenizer_name", "tokenizer_prepends_bos")
    },
    **{
        f"HookedTransformerConfig({field})": _CHECKPOINT
        for field in (
            "original_architecture",
            "from_checkpoint",
            "checkpoint_index",
            "checkpoint_label_type",
            "checkpoint_value",
            "trust_remote_code",
        )
    },
    **{f"HookedTransformerConfig({field})": _QUANTIZED for field in ("load_in_4bit", "quantization_method")},
    "HookedTransformerConfig(n_devices)": _DEVICES,
    "HookedTransformerConfig(decoder_start_token_id)": "there are no encoder-decoders here",
    "HookedTransformerConfig(uses_rms_norm)": "normalization_type says it; TransformerLens never reads it here",
    "HookedTransformerConfig(layer_norm_folding)": "normalization_type says it: 'LNPre' or 'RMSPre'",
    "HookedTransformerConfig(init_weights)": "weights always begin by init_mode",
    "HookedTransformerConfig(n_params)": "counted, not configured: model.n_params_total",
    "HookedTransformerConfig(use_hook_tokens)": "tokens are the caller's to change",
    **{
        f"HookedTransformerConfig({field})": _OPEN
        for field in ("use_logn_attn", "train_seq_length", "use_dynamic_ntk_rope", "use_attention_sinks")
    },
}

# What comes with pretrained models and tokenizers may be here already, in part or whole.
LATER = {
    *(
        entry
        for entry, reason in LACKING.items()
        if reason in (_TOKENIZER, _PRETRAINED, _DEVICES, _CHECKPOINT)
    ),
    *(entry for entry, reason in LACKING.items() if reason == _QUANTIZED),
}


def is_later(entry: str) -> bool:
    """Whether it is one of those, or an argument of one."""
    return entry in LATER or entry.partition("(")[0] in LATER
