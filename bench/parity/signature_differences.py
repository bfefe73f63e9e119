"""TransformerLens 3.9's public names and arguments that our classes lack, and why."""

from __future__ import annotations

_NEW_MODEL = "unweave.model.weights returns a new model, and leaves the old one alone"
_STATE_SPACE = "there are no state-space layers here"
_DEVICES = "from_pretrained(n_devices=, device_map=) places the blocks: model.placement"
_CHECKPOINT = "where a pretrained model came from: an argument of from_pretrained, kept nowhere"
_QUANTIZED = "there are no quantized weights here"
_RUN = "a part of forward: what it did is in Run and KeyValueCache"
_OPEN = "not there yet"

# "Class.name" for what is missing whole, "Class.name(argument)" for an argument.
LACKING: dict[str, str] = {
    "HookedTransformer.fill_missing_keys": "a checkpoint's tensors are all there, or it is refused",
    **{
        f"HookedTransformer.{name}": "datasets are the caller's: no package for them is brought along"
        for name in ("load_sample_training_dataset", "sample_datapoint")
    },
    **{
        f"HookedTransformer.{name}(model_name)": "path_or_id here; model_name= is taken too"
        for name in ("from_pretrained", "from_pretrained_no_processing")
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
    "HookedTransformer.move_model_modules_to_device": _DEVICES,
    "HookedTransformer.mps": "write model.to('mps')",
    "HookedTransformer.to(device_or_dtype)": "torch's own: the argument has no name there",
    "HookedTransformer.to(print_details)": "nothing is printed",
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
