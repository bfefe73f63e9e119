"""The values of a config that change nothing when a model is run, and why: those that all families share."""

from __future__ import annotations


def because(reason: str, *names: str) -> dict[str, str]:
    """Each name with the reason."""
    return dict.fromkeys(names, reason)


INERT = {
    **because(
        "says what wrote the file, or which classes read it",
        *("architectures", "model_type", "transformers_version", "_name_or_path", "name_or_path", "auto_map"),
        *("_commit_hash", "unsloth_fixed", "unsloth_version", "tokenizer_class", "processor_class"),
        *("transformers.js_config", "format", "keys_to_ignore_at_inference", "base_model_name_or_path"),
    ),
    **because("the dtype is asked for when the model is opened", "dtype", "torch_dtype", "use_bfloat16"),
    **because("tokens' meaning, which is the tokenizer's and generation's", "bos_token_id", "eos_token_id"),
    **because(
        "tokens' meaning, which is the tokenizer's and generation's",
        *("pad_token_id", "sep_token_id", "cls_token_id", "unk_token_id", "mask_token_id"),
        *("decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "prefix"),
    ),
    **because(
        "what a run gives beside its logits, or how fast",
        *("use_cache", "output_attentions", "output_hidden_states", "output_past", "output_scores"),
        *("return_dict", "return_dict_in_generate", "torchscript", "chunk_size_feed_forward"),
        *("_attn_implementation", "attn_implementation", "_attn_implementation_autoset"),
        *("_flash_attn_2_enabled", "use_flash_attention_2", "cache_implementation", "tie_last_hidden_states"),
        *("gradient_checkpointing", "pretraining_tp", "base_model_tp_plan", "is_decoder", "tf_legacy_loss"),
    ),
    **because("the spread of weights before training", "initializer_range", "initializer_factor"),
    **because(
        "heads for other tasks",
        *("id2label", "label2id", "num_labels", "problem_type", "finetuning_task", "task_specific_params"),
        *("classifier_dropout", "summary_type", "summary_use_proj", "summary_activation"),
        *("summary_proj_to_labels", "summary_first_dropout"),
    ),
    **because(
        "generation's settings, which are given to generate()",
        *("max_length", "min_length", "do_sample", "early_stopping", "num_beams", "num_beam_groups"),
        *("diversity_penalty", "temperature", "top_k", "top_p", "typical_p", "repetition_penalty"),
        *("length_penalty", "no_repeat_ngram_size", "encoder_no_repeat_ngram_size", "bad_words_ids"),
        *("num_return_sequences", "remove_invalid_values", "exponential_decay_length_penalty"),
        *("suppress_tokens", "begin_suppress_tokens", "max_new_tokens"),
    ),
}

# Off in every family that there is; on, they would change what a model computes.
MUST_BE_OFF = {
    "is_encoder_decoder": False,
    "add_cross_attention": False,
    "cross_attention_hidden_size": None,
    "pruned_heads": {},
    "tie_encoder_decoder": False,
    "per_layer_config": None,
}
