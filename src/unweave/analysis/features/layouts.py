"""SAELens' cfg.json, of version 6 and of the versions before: every value honoured, known to change nothing, or refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from unweave.analysis.features.config import AUTOENCODERS, TRANSCODERS, DictionaryConfig
from unweave.core.errors import InputError
from unweave.pretrained.inert import because
from unweave.pretrained.reader import OFF, ConfigReader

# What training did; the weights are what came of it.
TRAINING = because(
    "how it was trained",
    *(
        "decoder_init_norm",
        "l1_coefficient",
        "lp_norm",
        "l1_warm_up_steps",
        "l0_coefficient",
        "l0_warm_up_steps",
    ),
    *("jumprelu_init_threshold", "jumprelu_bandwidth", "jumprelu_sparsity_loss_mode", "jumprelu_tanh_scale"),
    *("jumprelu_ste_to_input", "pre_act_loss_coefficient", "target_l0", "use_sparse_activations"),
    *("aux_loss_coefficient", "topk_threshold_lr", "matryoshka_widths", "use_matryoshka_aux_loss"),
)
# Beside these, what versions before 6 wrote: the whole config of the training run, in the oldest.
INERT = {
    **TRAINING,
    **because("where it ran", "device", "act_store_device", "llm_device", "n_devices"),
    **because(
        "what it was trained on, and how fast",
        *(
            "dataset_path",
            "dataset_trust_remote_code",
            "is_dataset_tokenized",
            "is_dataset_on_disk",
            "streaming",
        ),
        *("seqpos_slice", "seqpos", "hook_eval", "hook_layer", "hook_point_layer", "hook_point_eval", "seed"),
        *(
            "use_cached_activations",
            "cached_activations_path",
            "n_batches_in_buffer",
            "total_training_tokens",
        ),
        *("training_tokens", "store_batch_size", "store_batch_size_prompts", "train_batch_size"),
        *("train_batch_size_tokens", "activations_mixing_fraction", "lr", "lr_end", "lr_scheduler_name"),
        *("lr_warm_up_steps", "lr_decay_steps", "n_restart_cycles", "adam_beta1", "adam_beta2", "autocast"),
        *("autocast_lm", "compile_llm", "compile_sae", "llm_compilation_mode", "sae_compilation_mode"),
        *(
            "b_dec_init_method",
            "expansion_factor",
            "from_pretrained_path",
            "init_encoder_as_decoder_transpose",
        ),
        *("decoder_heuristic_init", "decoder_orthogonal_init", "normalize_sae_decoder", "noise_scale"),
        *(
            "mse_loss_normalization",
            "scale_sparsity_penalty_by_decoder_norm",
            "use_ghost_grads",
            "ghost_grads",
        ),
        *(
            "feature_sampling_window",
            "feature_sampling_method",
            "feature_reinit_scale",
            "dead_feature_window",
        ),
        *("dead_feature_threshold", "dead_feature_estimation_method", "resample_batches", "lp_norm"),
        *("finetuning_tokens", "finetuning_method", "n_eval_batches", "eval_batch_size_prompts", "verbose"),
        *(
            "n_checkpoints",
            "checkpoint_path",
            "output_path",
            "log_to_wandb",
            "log_activations_store_to_wandb",
        ),
        *("log_optimizer_state_to_wandb", "wandb_project", "wandb_id", "wandb_entity", "wandb_log_frequency"),
        *(
            "eval_every_n_wandb_logs",
            "run_name",
            "model_kwargs",
            "model_class_name",
            "exclude_special_tokens",
        ),
        *("disable_concat_sequences", "sequence_separator_token", "sparsity_file", "log_weights_to_wandb"),
    ),
    **because("who made it", "sae_lens_version", "sae_lens_training_version", "neuronpedia_id"),
    # Told by the dictionary's metadata; it is for whoever opens the model.
    **because("how the model was opened", "model_from_pretrained_kwargs"),
}
PLACE = (
    *("hook_name", "hook_name_out", "hook_head_index", "hook_head_index_out"),
    *("prepend_bos", "context_size", "model_name"),
)


def read(values: Mapping[str, Any], where: str, ignore: Sequence[str] = ()) -> tuple[DictionaryConfig, float]:
    """The config; and k of a "batchtopk" in training, for which the weights must be turned (else 0).

    Raises:
        InputError: that lists every value that can't be honoured.
    """
    reader = ConfigReader({name: value for name, value in values.items() if name not in ignore}, where)
    newer = isinstance(values.get("metadata"), Mapping)
    fields = _newer(reader) if newer else _older(reader)
    architecture = fields["architecture"]
    batch_k = 0.0
    if architecture in ("batchtopk", "matryoshka_batchtopk"):
        batch_k, fields["architecture"], fields["k"] = float(fields["k"]), "jumprelu", None
        fields["metadata"] = {**fields["metadata"], "training_architecture": architecture}
    elif architecture not in (*AUTOENCODERS, *TRANSCODERS):
        reader.refuse(
            "architecture", f"only {', '.join((*AUTOENCODERS, 'batchtopk', *TRANSCODERS))} are honoured"
        )
    if fields["normalize_activations"] == "covariance_whitening":
        reader.refuse("normalize_activations", "its matrices are not in the file")
    _finish(reader)
    return DictionaryConfig(**fields), batch_k


def _newer(c: ConfigReader) -> dict[str, Any]:
    """Version 6: what is computed at the top, where it belongs in `metadata`."""
    metadata = dict(c.get("metadata"))
    place = {name: metadata.pop(name, None) for name in PLACE}
    architecture = c.text("architecture", default="standard")
    transcodes = architecture in TRANSCODERS
    topk = architecture in ("topk", "batchtopk", "matryoshka_batchtopk")
    return {
        **_sizes(c, architecture),
        "apply_b_dec_to_input": c.flag("apply_b_dec_to_input", default=not transcodes),
        "normalize_activations": c.text("normalize_activations", default="none"),
        "reshape_activations": c.text("reshape_activations", default="none"),
        "k": c.number("k", default=100) if topk else None,
        "rescale_acts_by_decoder_norm": c.flag("rescale_acts_by_decoder_norm", default=False) and topk,
        **place,
        "metadata": metadata,
    }


def _older(c: ConfigReader) -> dict[str, Any]:
    """Before version 6: everything in one table, under some other names, with what was then the default."""
    architecture = c.text("architecture", default="standard")
    activation = c.text("activation_fn_str", "activation_fn", default="relu")
    arguments = dict(c.get("activation_fn_kwargs", default={}) or {})
    if activation == "topk" or architecture == "topk":
        architecture, k = "topk", arguments.pop("k", None)
        k = c.number("k") if k is None else k
    else:
        k = None
        if activation != "relu":
            c.refuse(
                "activation_fn_str" if "activation_fn_str" in c.values else "activation_fn",
                "only relu and topk",
            )
    if arguments:
        c.refuse("activation_fn_kwargs", "only k is honoured")
    scaled = c.get("normalize_activations", default=None)
    scaled = {None: "none", False: "none", True: "expected_average_only_in"}.get(scaled, scaled)
    hook_name = c.get("hook_name", "hook_point", default=None)
    head = c.get("hook_head_index", "hook_point_head_index", default=None)
    heads = hook_name is not None and "hook_z" in hook_name and head is None
    # Folded into the decoder with the weights: see `saved`.
    c.flag("finetuning_scaling_factor", default=False)
    return {
        **_sizes(c, architecture),
        "apply_b_dec_to_input": c.flag("apply_b_dec_to_input", default=architecture not in TRANSCODERS),
        "normalize_activations": scaled,
        "reshape_activations": c.text("reshape_activations", default="hook_z" if heads else "none"),
        "k": k,
        "hook_name": hook_name,
        "hook_head_index": head,
        "hook_name_out": c.get("hook_name_out", default=None),
        "hook_head_index_out": c.get("hook_head_index_out", default=None),
        "prepend_bos": c.get("prepend_bos", default=True),
        "context_size": c.get("context_size", default=None),
        "model_name": c.get("model_name", default=None),
        "metadata": {name: c.values[name] for name in ("dataset_path", "neuronpedia_id") if name in c.values},
    }


def _sizes(c: ConfigReader, architecture: str) -> dict[str, Any]:
    return {
        "architecture": architecture,
        "d_in": c.count("d_in"),
        "d_sae": c.count("d_sae"),
        "d_out": c.count("d_out") if architecture in TRANSCODERS else None,
        "dtype": c.text("dtype", default="float32").removeprefix("torch."),
    }


def _finish(c: ConfigReader) -> None:
    for name, value in c.values.items():
        if name not in c.read and name not in INERT and value not in OFF:
            c.refuse(name, "unknown")
    if c.refused:
        listed = "; ".join(f"{name}={c.values.get(name)!r} ({why})" for name, why in c.refused.items())
        raise InputError(
            wanted=f"a config whose every value can be honoured in {c.where}",
            got=listed,
            remedy="use SAELens for this one, or, if you know that a value changes nothing, name it in ignore=[...]",
        )


def written(config: DictionaryConfig, version: str) -> dict[str, Any]:
    """The cfg.json of version 6."""
    place = {name: getattr(config, name) for name in PLACE}
    metadata = {
        "sae_lens_version": "6.0.0",
        "sae_lens_training_version": None,
        **config.metadata,
        **{name: value for name, value in place.items() if value is not None},
        "unweave_version": version,
    }
    values: dict[str, Any] = {
        "architecture": config.architecture,
        "d_in": config.d_in,
        "d_sae": config.d_sae,
        "dtype": config.dtype,
        "device": "cpu",
        "apply_b_dec_to_input": config.apply_b_dec_to_input,
        "normalize_activations": config.normalize_activations,
        "reshape_activations": config.reshape_activations,
        "metadata": metadata,
    }
    if config.is_transcoder:
        values["d_out"] = config.output_size
    if config.k is not None:
        values |= {"k": config.k, "rescale_acts_by_decoder_norm": config.rescale_acts_by_decoder_norm}
    return values
