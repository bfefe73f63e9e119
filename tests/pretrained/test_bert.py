"""BERT against transformers: every layer, and the heads of each of its classes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.pretrained.family import (
    FamilyTests,
    Tiny,
    assert_close,
    compare_run,
    padding,
    random_model,
    run_theirs,
    transformers,
)
from unweave import HookedEncoder, HookedTransformer
from unweave.core.errors import InputError
from unweave.pretrained.inspection import inspect_model

SIZES = {"hidden_size": 16, "num_attention_heads": 4, "num_hidden_layers": 2, "intermediate_size": 24}
SIZES |= {"vocab_size": 50, "max_position_embeddings": 32}
TOKENS = torch.randint(0, 50, (3, 9), generator=torch.manual_seed(1))
TYPES = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1, 1]]).expand(3, 9)

# As it is on the hub.
BERT_BASE_UNCASED = {
    "architectures": ["BertForMaskedLM"],
    "attention_probs_dropout_prob": 0.1,
    "gradient_checkpointing": False,
    "hidden_act": "gelu",
    "hidden_dropout_prob": 0.1,
    "hidden_size": 768,
    "initializer_range": 0.02,
    "intermediate_size": 3072,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 512,
    "model_type": "bert",
    "num_attention_heads": 12,
    "num_hidden_layers": 12,
    "pad_token_id": 0,
    "position_embedding_type": "absolute",
    "transformers_version": "4.6.0.dev0",
    "type_vocab_size": 2,
    "use_cache": True,
    "vocab_size": 30522,
}


def config(**others: Any) -> Any:
    return transformers.BertConfig(**{**SIZES, **others})


class TestBert(FamilyTests):
    model = transformers.BertForMaskedLM
    opens = HookedEncoder
    configs = {  # noqa: RUF012
        "BERT": lambda: config(),
        "not tied, another activation": lambda: config(tie_word_embeddings=False, hidden_act="gelu_new"),
        "three types of token, another eps": lambda: config(type_vocab_size=3, layer_norm_eps=1e-3),
    }
    hub = {  # noqa: RUF012
        "bert-base-uncased": BERT_BASE_UNCASED,
        "bert-base-multilingual-cased": {
            "architectures": ["BertForMaskedLM"],
            "attention_probs_dropout_prob": 0.1,
            "directionality": "bidi",
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "hidden_size": 768,
            "initializer_range": 0.02,
            "intermediate_size": 3072,
            "layer_norm_eps": 1e-12,
            "max_position_embeddings": 512,
            "model_type": "bert",
            "num_attention_heads": 12,
            "num_hidden_layers": 12,
            "pad_token_id": 0,
            "pooler_fc_size": 768,
            "pooler_num_attention_heads": 12,
            "pooler_num_fc_layers": 3,
            "pooler_size_per_head": 128,
            "pooler_type": "first_token_transform",
            "type_vocab_size": 2,
            "vocab_size": 119547,
        },
    }

    @pytest.mark.parametrize("side", ["left", "right"])
    def test_padded_batches(self, tiny: Tiny, side: str):
        """Positions are counted from the first, padding or not, as transformers does unless told otherwise."""
        tokens = tiny.tokens()
        mask = padding(tokens, side)
        compare_run(tiny.ours, tokens, mask, *run_theirs(tiny.theirs, tokens, mask, positions=False))

    # An encoder generates nothing.
    test_the_same_greedy_tokens = None


def saved(folder: Path, name: str, **others: Any) -> tuple[Any, HookedEncoder]:
    """A model of one of BERT's classes, and ours, opened from its folder."""
    theirs = random_model(getattr(transformers, name), config(**others))
    theirs.save_pretrained(folder)
    return theirs, HookedEncoder.from_pretrained(folder, device="cpu")


@torch.no_grad()
def test_both_heads_of_pretraining(tmp_path: Path):
    theirs, ours = saved(tmp_path, "BertForPreTraining")
    wanted = theirs(TOKENS, token_type_ids=TYPES)
    assert_close(ours(TOKENS, token_type_ids=TYPES), wanted.prediction_logits)
    got = ours(TOKENS, token_type_ids=TYPES, return_type="next_sentence")
    assert_close(got, wanted.seq_relationship_logits)


@torch.no_grad()
def test_next_sentence_alone(tmp_path: Path):
    theirs, ours = saved(tmp_path, "BertForNextSentencePrediction")
    assert_close(ours(TOKENS, return_type="next_sentence"), theirs(TOKENS).logits)
    with pytest.raises(InputError, match="one without mlm_head and unembed, which its checkpoint did not"):
        ours(TOKENS)


@torch.no_grad()
def test_no_heads_but_the_pooler(tmp_path: Path):
    theirs, ours = saved(tmp_path, "BertModel")
    wanted = theirs(TOKENS)
    _, cache = ours.run_with_cache(TOKENS, return_type=None)
    assert_close(cache["blocks.1.hook_normalized_resid_post"], wanted.last_hidden_state)
    assert ours.pooler is not None
    assert_close(ours.pooler(ours.encoder_output(TOKENS)), wanted.pooler_output)
    with pytest.raises(InputError, match="one without nsp_head"):
        ours(TOKENS, return_type="next_sentence")


def test_masked_tokens_alone_say_nothing_of_the_next_sentence(tmp_path: Path):
    _, ours = saved(tmp_path, "BertForMaskedLM")
    with pytest.raises(InputError, match="one without pooler and nsp_head"):
        ours(TOKENS, return_type="next_sentence")


@torch.no_grad()
def test_the_names_of_old_files(tmp_path: Path):
    """As bert-base-uncased's on the hub: gamma and beta, all heads, whatever its class, and position_ids."""
    theirs, _ = saved(tmp_path, "BertForPreTraining")
    path = tmp_path / "model.safetensors"
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in load_file(path).items()
    }
    assert any("gamma" in name for name in tensors)
    tensors["bert.embeddings.position_ids"] = torch.arange(32)[None]
    save_file(tensors, path, metadata={"format": "pt"})
    ours = HookedEncoder.from_pretrained(tmp_path, device="cpu")
    wanted = theirs(TOKENS)
    assert_close(ours(TOKENS), wanted.prediction_logits)
    assert_close(ours(TOKENS, return_type="next_sentence"), wanted.seq_relationship_logits)


def test_half_a_head_is_refused(tmp_path: Path):
    saved(tmp_path, "BertForPreTraining")
    path = tmp_path / "model.safetensors"
    tensors = {name: tensor for name, tensor in load_file(path).items() if name != "bert.pooler.dense.bias"}
    save_file(tensors, path, metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"no tensor bert\.pooler\.dense\.bias"):
        HookedEncoder.from_pretrained(tmp_path, device="cpu")


def test_each_door_names_the_other(tmp_path: Path):
    saved(tmp_path / "bert", "BertForMaskedLM")
    with pytest.raises(InputError, match=r"family bert: encoders.*HookedEncoder\.from_pretrained"):
        HookedTransformer.from_pretrained(tmp_path / "bert")
    with pytest.raises(InputError, match=r"family bert: encoders"):
        inspect_model(tmp_path / "bert")
    gpt2 = transformers.GPT2LMHeadModel(transformers.GPT2Config(n_embd=8, n_head=2, n_layer=1, vocab_size=9))
    with pytest.raises(InputError, match=r"family gpt2: decoders.*HookedTransformer\.from_pretrained"):
        HookedEncoder.from_pretrained(hf_model=gpt2)


def test_a_decoder_made_of_bert_is_refused():
    theirs = random_model(transformers.BertForMaskedLM, config(is_decoder=True))
    with pytest.raises(InputError, match=r"is_decoder=True \(only False is honoured\)"):
        HookedEncoder.from_pretrained(hf_model=theirs)
