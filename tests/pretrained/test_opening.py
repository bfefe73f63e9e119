"""The arguments of from_pretrained."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch

from tests.pretrained.family import assert_close, random_model, transformers
from unweave import HookedTransformer
from unweave.core.errors import InputError
from unweave.pretrained.opening import from_pretrained

SIZES = {"n_embd": 8, "n_head": 2, "n_layer": 4, "n_positions": 16, "vocab_size": 20}
SIZES |= {"bos_token_id": 0, "eos_token_id": 0}
TOKENS = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gpt2")
    random_model(transformers.GPT2LMHeadModel, transformers.GPT2Config(**SIZES)).save_pretrained(path)
    return path


def open_it(path: Path | str, **asked: Any) -> HookedTransformer:
    return HookedTransformer.from_pretrained(path, **{"device": "cpu", **asked})


def told(path: Path | str | None, **asked: Any) -> str:
    with pytest.raises(InputError) as error:
        HookedTransformer.from_pretrained(path, **asked)
    return str(error.value)


def test_the_order_of_arguments_is_the_field_s():
    """TransformerLens 3.9's, as its documentation has them; our own come after, by name only."""
    parameters = inspect.signature(from_pretrained).parameters
    by_place = [name for name, one in parameters.items() if one.kind == one.POSITIONAL_OR_KEYWORD]
    assert by_place == [
        *("path_or_id", "fold_ln", "center_writing_weights", "center_unembed"),
        *("refactor_factored_attn_matrices", "checkpoint_index", "checkpoint_value", "checkpoint_label"),
        *("hf_model", "device", "n_devices", "tokenizer", "move_to_device", "fold_value_biases"),
        *("default_prepend_bos", "default_padding_side", "dtype", "first_n_layers", "n_ctx"),
    ]


def test_transformer_lens_name_of_the_first_argument(folder: Path):
    named = HookedTransformer.from_pretrained(model_name=str(folder), device="cpu")
    assert torch.equal(named(TOKENS), open_it(folder)(TOKENS))
    assert "wanted an argument of from_pretrained; got 'model_name'" in told(folder, model_name="gpt2")


def test_weights_are_raw_unless_told_otherwise(folder: Path):
    raw, same = open_it(folder), HookedTransformer.from_pretrained_no_processing(folder, device="cpu")
    assert raw.cfg.normalization_type == same.cfg.normalization_type == "LN"
    folded = open_it(folder, fold_ln=True, center_writing_weights=True, fold_value_biases=True)
    assert folded.cfg.normalization_type == "LNPre"
    assert_close(folded(TOKENS).log_softmax(-1), raw(TOKENS).log_softmax(-1))
    centred = open_it(folder, center_unembed=True)
    assert centred(TOKENS).mean(-1).abs().max() < 1e-5


def test_the_first_layers_alone(folder: Path):
    whole, part = open_it(folder), open_it(folder, first_n_layers=2)
    assert part.cfg.n_layers == len(part.blocks) == 2
    assert_close(part(TOKENS, stop_at_layer=2), whole(TOKENS, stop_at_layer=2))
    assert "wanted first_n_layers from 0 to 4" in told(folder, first_n_layers=5)


def test_a_shorter_context(folder: Path):
    short = open_it(folder, n_ctx=5)
    assert_close(short(TOKENS), open_it(folder)(TOKENS))
    with pytest.raises(InputError, match="1 to n_ctx=5 positions"):
        short(torch.zeros(1, 6).long())
    assert "wanted n_ctx from 1 to 16" in told(folder, n_ctx=17)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", torch.float64])
def test_dtypes(folder: Path, dtype: Any):
    model = open_it(folder, dtype=dtype)
    name = str(dtype).removeprefix("torch.")
    assert {str(weight.dtype) for weight in model.state_dict().values()} == {f"torch.{name}"}
    assert model.cfg.dtype == name
    assert model(TOKENS).dtype == getattr(torch, name)


def test_the_checkpoint_s_own_dtype(folder: Path, tmp_path: Path):
    transformers.GPT2LMHeadModel.from_pretrained(folder).to(torch.bfloat16).save_pretrained(tmp_path)
    assert open_it(tmp_path, dtype="auto").cfg.dtype == "bfloat16"
    assert open_it(tmp_path).cfg.dtype == "float32"
    assert open_it(tmp_path, torch_dtype=torch.bfloat16).cfg.dtype == "bfloat16"
    assert "wanted dtype to be one of" in told(folder, dtype="int8")


def test_a_device_that_is_not_there(folder: Path):
    assert "wanted a device of this machine" in told(folder, device="cuda:17")


def test_arguments_that_exclude_each_other(folder: Path):
    assert "wanted device or device_map" in told(folder, device="cpu", device_map={"": "cpu"})
    assert "wanted device_map or n_devices" in told(folder, device_map={"": "cpu"}, n_devices=2)
    assert "move_to_device=True" in told(folder, device_map={"": "cpu"}, move_to_device=False)
    assert "checkpoint_value or checkpoint_label" in told("pythia", checkpoint_value=1, checkpoint_label=1)
    assert "wanted revision, or a training checkpoint" in told("pythia", checkpoint_value=1, revision="main")
    assert "a hub id with revision=" in told(folder, revision="main")
    assert "wanted an argument of from_pretrained; got 'load_in_8bit'" in told(folder, load_in_8bit=True)
    assert "wanted a folder, a hub id, or hf_model=" in told(None)


def test_something_that_is_no_transformers_model():
    assert "pass any other module to unweave.wrap()" in told(None, hf_model=torch.nn.Linear(2, 2))


def test_the_tokenizer_that_is_given(folder: Path):
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<s>": 0, "a": 1}, unk_token="<s>"))
    mine = transformers.PreTrainedTokenizerFast(tokenizer_object=words, bos_token="<s>", eos_token="<s>")
    assert open_it(folder, tokenizer=mine).tokenizer.convert_tokens_to_ids("a") == 1
    assert open_it(folder).tokenizer is None
