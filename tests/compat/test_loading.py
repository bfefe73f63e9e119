"""How the door's HookedTransformer comes by its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

import unweave
from tests.model.text.builders import write_folder
from tests.repository import ROOT
from unweave.compat.loads import completed
from unweave.compat.transformer_lens import HookedTransformer, HookedTransformerConfig
from unweave.compat.warned import CompatWarning
from unweave.core.errors import InputError
from unweave.model.weights import process_weights

FOLDER = ROOT / "tests/compat/native"
ANSWERS = load_file(FOLDER / "answers.safetensors")
TOKENS = torch.tensor([[0, 3, 6, 1, 2], [5, 5, 4, 0, 1]])
GELU: dict[str, Any] = {
    "n_layers": 1,
    "d_model": 6,
    "n_heads": 2,
    "d_head": 3,
    "n_ctx": 5,
    "d_vocab": 7,
    "d_mlp": 8,
    "act_fn": "gelu",
    "device": "cpu",
}


def close(a: torch.Tensor, b: torch.Tensor) -> bool:
    return a.shape == b.shape and bool((a - b).abs().max() <= 1e-5 * b.abs().max())


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny GPT-2 of transformers, as a folder, with a tokenizer."""
    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = AutoTokenizer.from_pretrained(write_folder("gpt2", folder))
    config = GPT2Config(n_layer=2, n_embd=8, n_head=2, n_positions=16, vocab_size=len(tokenizer))
    torch.manual_seed(0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def test_a_folder_of_its_own_format_is_opened_and_processed():
    model = HookedTransformer.from_pretrained(FOLDER / "gelu", device="cpu")
    assert type(model) is HookedTransformer and isinstance(model, unweave.HookedTransformer)
    assert close(model(TOKENS), ANSWERS["gelu processed"])
    plain = HookedTransformer.from_pretrained_no_processing(str(FOLDER / "gelu"), device="cpu")
    assert close(plain(TOKENS), ANSWERS["gelu logits"])
    other = HookedTransformer.from_pretrained_no_processing(
        FOLDER / "gelu", device="cpu", checkpoint_value=500
    )
    assert close(other(TOKENS), ANSWERS["gelu checkpoint"])


def test_a_model_of_transformers_is_processed_by_default(gpt2: Path):
    tokens = torch.arange(10).view(2, 5)
    model = HookedTransformer.from_pretrained(gpt2, device="cpu")
    strict = unweave.HookedTransformer.from_pretrained(gpt2, device="cpu")
    assert model.cfg.normalization_type == "LNPre" and strict.cfg.normalization_type == "LN"
    assert torch.equal(model(tokens), process_weights(strict)(tokens))
    plain = HookedTransformer.from_pretrained_no_processing(gpt2, device="cpu", dtype=torch.float64)
    assert close(plain(tokens).float(), strict(tokens)) and plain.W_E.dtype == torch.float64
    half = HookedTransformer.from_pretrained(gpt2, device="cpu", fold_ln=False, torch_dtype=torch.bfloat16)
    assert half.cfg.normalization_type == "LN" and half.W_E.dtype == torch.bfloat16


def test_what_is_not_for_the_hub_is_left_out_with_a_warning(gpt2: Path):
    with pytest.warns(
        CompatWarning, match="from_pretrained takes no low_cpu_mem_usage=True here: it is left out"
    ):
        HookedTransformer.from_pretrained(gpt2, device="cpu", low_cpu_mem_usage=True)
    with pytest.raises(InputError, match="wanted a folder that exists"):
        HookedTransformer.from_pretrained(gpt2 / "absent", device="cpu")


def test_a_class_below_is_built_by_its_own_init(gpt2: Path):
    class Extended(HookedTransformer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.extra = len(self.blocks)

    model = Extended.from_pretrained(gpt2, device="cpu")
    assert type(model) is Extended and model.extra == 2
    same = HookedTransformer.from_pretrained(gpt2, device="cpu")
    assert torch.equal(model(torch.arange(5)[None]), same(torch.arange(5)[None]))
    assert model.to_tokens("The cat").tolist() == same.to_tokens("The cat").tolist()

    class Plain(HookedTransformer):
        pass

    assert type(Plain.from_pretrained(FOLDER / "gelu", device="cpu")) is Plain


def test_the_random_state_is_left_alone(gpt2: Path):
    before = torch.get_rng_state()
    HookedTransformer.from_pretrained(gpt2, device="cpu")
    HookedTransformer.from_pretrained(FOLDER / "gelu", device="cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_a_state_dict_that_was_saved_there_loads():
    theirs = torch.load(FOLDER / "gelu/model_final.pth", weights_only=True)
    assert {"blocks.0.attn.mask", "blocks.0.attn.IGNORE"} <= theirs.keys()
    model = HookedTransformer(HookedTransformerConfig(**GELU))
    assert not close(model(TOKENS), ANSWERS["gelu logits"])
    assert str(model.load_state_dict(theirs)) == "<All keys matched successfully>"
    assert close(model(TOKENS), ANSWERS["gelu logits"])
    # Files of other versions have no masks.
    again = HookedTransformer(HookedTransformerConfig(**GELU))
    again.load_state_dict(
        {name: w for name, w in theirs.items() if "mask" not in name and "IGNORE" not in name}
    )
    assert close(again(TOKENS), ANSWERS["gelu logits"])
    with pytest.raises(RuntimeError, match=r"Unexpected key.*blocks.0.attn.W_X"):
        model.load_state_dict({**theirs, "blocks.0.attn.W_X": theirs["embed.W_E"]})
    with pytest.raises(RuntimeError, match=r"Missing key.*embed.W_E"):
        model.load_state_dict({name: w for name, w in theirs.items() if name != "embed.W_E"})


def test_a_state_dict_is_loaded_and_processed_in_place():
    theirs = torch.load(FOLDER / "gelu/model_final.pth", weights_only=True)
    model = HookedTransformer(HookedTransformerConfig(**GELU))
    same, blocks = model, model.blocks[0]
    model.load_and_process_state_dict(theirs)
    assert close(model(TOKENS), ANSWERS["gelu processed"])
    assert same.cfg.normalization_type == "LNPre" and model.blocks[0] is not blocks
    _, cache = model.run_with_cache(TOKENS)
    assert cache["resid_post", 0].shape == (2, 5, 6)
    with pytest.raises(InputError, match=r"blocks.0.attn.W_Q among them"):
        model.load_and_process_state_dict({n: w for n, w in theirs.items() if "W_Q" not in n})


def test_experts_are_linears_there():
    model = HookedTransformer.from_pretrained_no_processing(FOLDER / "experts", device="cpu")
    theirs = torch.load(FOLDER / "experts/model_final.pth", weights_only=True)
    inner = "blocks.0.mlp.experts.0.W_in"
    assert torch.equal(model.state_dict()[inner], theirs[f"{inner}.weight"].t())


def test_a_tokenizer_without_padding_pads_with_eos(gpt2: Path):
    tokenizer = AutoTokenizer.from_pretrained(gpt2)
    assert tokenizer.pad_token is None
    model = HookedTransformer.from_pretrained(gpt2, device="cpu", tokenizer=tokenizer)
    assert model.tokenizer.pad_token_id == tokenizer.eos_token_id and tokenizer.pad_token is None
    assert HookedTransformer.from_pretrained(gpt2, device="cpu").tokenizer.pad_token == "<|endoftext|>"
    assert completed(model.tokenizer) is model.tokenizer and completed(None) is None


def test_weights_are_processed_before_they_are_spread(gpt2: Path):
    model = HookedTransformer.from_pretrained(gpt2, device_map={"": "cpu"})
    assert model.placement is not None and model.cfg.normalization_type == "LNPre"
    assert close(model(TOKENS), HookedTransformer.from_pretrained(gpt2, device="cpu")(TOKENS))
