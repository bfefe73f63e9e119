"""BERT (Devlin et al., 2019, arXiv:1810.04805), an encoder."""

from __future__ import annotations

from typing import Any

from unweave.model.config import HookedTransformerConfig
from unweave.pretrained.family import Family
from unweave.pretrained.inert import because
from unweave.pretrained.reader import ConfigReader
from unweave.pretrained.takes import FROM_HEADS, HEAD_BIAS, LINEAR, TO_HEADS, Take, take


def config(c: ConfigReader) -> dict[str, Any]:
    """See `transformers.BertConfig`."""
    d_model, n_heads = c.count("hidden_size", default=768), c.count("num_attention_heads", default=12)
    c.only("is_decoder", False, default=False)
    # Files of transformers 4; the other kinds went with it.
    c.only("position_embedding_type", "absolute", default="absolute")
    return {
        "n_layers": c.count("num_hidden_layers", default=12),
        "d_model": d_model,
        "n_heads": n_heads,
        "d_head": d_model // n_heads,
        "d_mlp": c.count("intermediate_size", default=3072),
        "n_ctx": c.count("max_position_embeddings", default=512),
        "d_vocab": c.count("vocab_size", default=30522),
        "n_token_types": c.count("type_vocab_size", default=2),
        "act_fn": c.text("hidden_act", default="gelu"),
        "eps": c.number("layer_norm_eps", default=1e-12),
        "normalization_type": "LN",
        "norm_position": "stream",
        "attention_dir": "bidirectional",
        "positional_embedding_type": "standard",
        "tie_word_embeddings": c.flag("tie_word_embeddings", default=True),
    }


def weights(cfg: HookedTransformerConfig) -> list[Take]:
    """See `transformers.BertForPreTraining`; other classes have some of its heads."""
    at, their = "blocks.{layer}", "encoder.layer.{layer}"
    attention, predictions = f"{their}.attention", "cls.predictions"
    return [
        take("embed.embed.W_E", "embeddings.word_embeddings.weight"),
        take("embed.pos_embed.W_pos", "embeddings.position_embeddings.weight"),
        take("embed.token_type_embed.W_token_type", "embeddings.token_type_embeddings.weight"),
        *norm("embed.ln", "embeddings.LayerNorm"),
        take(f"{at}.attn.W_Q", f"{attention}.self.query.weight", TO_HEADS),
        take(f"{at}.attn.b_Q", f"{attention}.self.query.bias", HEAD_BIAS),
        take(f"{at}.attn.W_K", f"{attention}.self.key.weight", TO_HEADS),
        take(f"{at}.attn.b_K", f"{attention}.self.key.bias", HEAD_BIAS),
        take(f"{at}.attn.W_V", f"{attention}.self.value.weight", TO_HEADS),
        take(f"{at}.attn.b_V", f"{attention}.self.value.bias", HEAD_BIAS),
        take(f"{at}.attn.W_O", f"{attention}.output.dense.weight", FROM_HEADS),
        take(f"{at}.attn.b_O", f"{attention}.output.dense.bias"),
        *norm(f"{at}.ln1", f"{attention}.output.LayerNorm"),
        take(f"{at}.mlp.W_in", f"{their}.intermediate.dense.weight", LINEAR),
        take(f"{at}.mlp.b_in", f"{their}.intermediate.dense.bias"),
        take(f"{at}.mlp.W_out", f"{their}.output.dense.weight", LINEAR),
        take(f"{at}.mlp.b_out", f"{their}.output.dense.bias"),
        *norm(f"{at}.ln2", f"{their}.output.LayerNorm"),
        take("mlm_head.W", f"{predictions}.transform.dense.weight", LINEAR),
        take("mlm_head.b", f"{predictions}.transform.dense.bias"),
        *norm("mlm_head.ln", f"{predictions}.transform.LayerNorm"),
        *unembedding(cfg),
        take("pooler.W", "pooler.dense.weight", LINEAR),
        take("pooler.b", "pooler.dense.bias"),
        take("nsp_head.W", "cls.seq_relationship.weight", LINEAR),
        take("nsp_head.b", "cls.seq_relationship.bias"),
    ]


def norm(ours: str, theirs: str) -> list[Take]:
    """A LayerNorm; files of 2018 to 2020, and so the best-known ones, call its weights gamma and beta."""
    return [
        take(f"{ours}.w", f"{theirs}.weight", or_else=take(f"{ours}.w", f"{theirs}.gamma")),
        take(f"{ours}.b", f"{theirs}.bias", or_else=take(f"{ours}.b", f"{theirs}.beta")),
    ]


def unembedding(cfg: HookedTransformerConfig) -> list[Take]:
    """The matrix, and the bias, which has two names where the matrix is tied; untied, the decoder's is read."""
    names = ["cls.predictions.bias", "cls.predictions.decoder.bias"]
    if cfg.tie_word_embeddings:
        return [take("unembed.b_U", names[0], or_else=take("unembed.b_U", names[1]))]
    return [
        take("unembed.W_U", "cls.predictions.decoder.weight", LINEAR),
        take("unembed.b_U", names[1], or_else=take("unembed.b_U", names[0])),
    ]


FAMILY = Family(
    name="bert",
    architectures=("BertForMaskedLM", "BertForPreTraining", "BertForNextSentencePrediction", "BertModel"),
    model_types=("bert",),
    config=config,
    weights=weights,
    prefix="bert.",
    inert={
        **because("dropout", "attention_probs_dropout_prob", "hidden_dropout_prob"),
        **because("never read", "directionality", "pooler_fc_size", "pooler_num_attention_heads"),
        **because("never read", "pooler_num_fc_layers", "pooler_size_per_head", "pooler_type"),
    },
    ignored={
        r"embeddings\.position_ids": "the numbers from 0 on, which older files hold",
        r"cls\.predictions\.bias": "not read where the decoder has a bias of its own",
    },
    tied={
        "cls.predictions.decoder.weight": "embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    encoder=True,
    supports="the heads that a checkpoint has: masked tokens, next sentence, pooler; tied or not",
    examples=("google-bert/bert-base-uncased", "google-bert/bert-large-cased"),
)
