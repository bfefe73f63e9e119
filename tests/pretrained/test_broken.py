"""Files that are broken, incomplete, or of another model: an error that names file and tensor, and no model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.pretrained.family import random_model, transformers
from unweave import HookedTransformer
from unweave.core.errors import InputError

SIZES = {"n_embd": 8, "n_head": 2, "n_layer": 2, "n_positions": 16, "vocab_size": 20}
SIZES |= {"bos_token_id": 0, "eos_token_id": 0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A sound model in one file."""
    theirs = random_model(transformers.GPT2LMHeadModel, transformers.GPT2Config(**SIZES))
    theirs.save_pretrained(tmp_path)
    return tmp_path


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A sound model in several files."""
    theirs = random_model(transformers.GPT2LMHeadModel, transformers.GPT2Config(**SIZES))
    theirs.save_pretrained(tmp_path, max_shard_size="5KB")
    assert (tmp_path / "model.safetensors.index.json").exists()
    return tmp_path


def open_it(folder: Path, **asked: Any) -> HookedTransformer:
    return HookedTransformer.from_pretrained(folder, device="cpu", **asked)


def told(folder: Path, **asked: Any) -> str:
    with pytest.raises(InputError) as error:
        open_it(folder, **asked)
    return str(error.value)


def edit_weights(folder: Path, edit: Callable[[dict[str, Tensor]], object]) -> None:
    path = folder / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    edit(tensors)
    save_file(tensors, path)


def edit_config(folder: Path, **changed: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))


def test_shards_are_as_good_as_one_file(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    whole = open_it(folder)
    apart = tmp_path_factory.mktemp("shards")
    transformers.GPT2LMHeadModel.from_pretrained(folder).save_pretrained(apart, max_shard_size="5KB")
    assert len(list(apart.glob("*.safetensors"))) > 1
    other = open_it(apart)
    for name, weight in whole.state_dict().items():
        assert torch.equal(other.state_dict()[name], weight), name


def test_a_corrupt_shard(shards: Path):
    shard = sorted(shards.glob("*.safetensors"))[1]
    shard.write_bytes(shard.read_bytes()[:-100])
    assert f"wanted a whole safetensors file {shard}" in told(shards)
    shard.write_bytes(b"not at all")
    assert f"wanted a whole safetensors file {shard}" in told(shards)


def test_a_missing_shard(shards: Path):
    shard = sorted(shards.glob("*.safetensors"))[1]
    shard.unlink()
    message = told(shards)
    assert f"the shard {shard.name}" in message
    assert "model.safetensors.index.json" in message


def test_an_index_that_names_what_is_not_there(shards: Path):
    index = shards / "model.safetensors.index.json"
    table = json.loads(index.read_text())
    shard = next(iter(table["weight_map"].values()))
    table["weight_map"]["transformer.extra"] = shard
    index.write_text(json.dumps(table))
    assert f"wanted transformer.extra in {shard}" in told(shards)
    index.write_text("{}")
    assert f"wanted a table weight_map in {index}" in told(shards)


def test_missing_extra_and_misshapen_tensors_are_told_together(folder: Path):
    def spoil(tensors: dict[str, Tensor]) -> None:
        del tensors["transformer.h.1.ln_1.bias"]
        tensors["transformer.h.0.attn.adapter"] = torch.zeros(3)
        tensors["transformer.h.0.mlp.c_fc.weight"] = torch.zeros(8, 31)
        tensors["transformer.h.1.attn.c_attn.weight"] = torch.zeros(8, 25)

    edit_weights(folder, spoil)
    message, file = told(folder), folder / "model.safetensors"
    assert "no tensor transformer.h.1.ln_1.bias" in message
    assert f"an unknown tensor transformer.h.0.attn.adapter in {file}" in message
    assert (
        f"transformer.h.0.mlp.c_fc.weight of shape (8, 31) in {file}, which doesn't give blocks.0.mlp.W_in of shape (8, 32)"
        in message
    )
    assert "transformer.h.1.attn.c_attn.weight of shape (8, 25)" in message


def test_a_tensor_that_is_no_weight(folder: Path):
    edit_weights(folder, lambda tensors: tensors.update({"transformer.ln_f.bias": torch.zeros(8).char()}))
    message = told(folder)
    assert "transformer.ln_f.bias" in message
    assert "torch.int8" in message


def test_a_tensor_twice(folder: Path):
    edit_weights(folder, lambda tensors: tensors.update({"ln_f.bias": torch.zeros(8)}))
    assert "wanted ln_f.bias once" in told(folder)


def test_a_config_from_the_future(folder: Path):
    edit_config(
        folder, attention_kind="sparse", experts={"count": 4}, off_by_default=False, add_cross_attention=True
    )
    message = told(folder)
    assert "attention_kind='sparse' (unknown to this adapter)" in message
    assert "experts={'count': 4} (unknown to this adapter)" in message
    assert "add_cross_attention=True" in message
    assert "off_by_default" not in message
    assert "unweave.wrap()" in message


def test_a_value_that_the_user_vouches_for(folder: Path):
    edit_config(folder, made_by="Ada")
    assert "made_by='Ada'" in told(folder)
    open_it(folder, ignore_config=["made_by"])


def test_an_unknown_family(folder: Path):
    edit_config(folder, architectures=["GPT2DoubleHeadsModel"])
    message = told(folder)
    assert "architectures=['GPT2DoubleHeadsModel']" in message
    assert "unweave.wrap()" in message
    assert "GPT2LMHeadModel" in message


def test_a_config_without_architectures_goes_by_its_type(folder: Path):
    edit_config(folder, architectures=None)
    assert open_it(folder).cfg.n_layers == 2


def test_quantised_weights(folder: Path):
    edit_config(folder, quantization_config={"quant_method": "gptq", "bits": 4})
    assert "quantised weights aren't read" in told(folder)


@pytest.mark.parametrize("text", ["", "[1]", "{"])
def test_a_broken_config(folder: Path, text: str):
    (folder / "config.json").write_text(text)
    assert str(folder / "config.json") in told(folder)


def test_values_of_the_wrong_type(folder: Path):
    edit_config(folder, n_embd="wide")
    assert "wanted a whole number for n_embd" in told(folder)


def test_folders_without_what_is_needed(tmp_path: Path, folder: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    assert f"wanted a config.json in {empty}" in told(empty)
    assert "wanted a folder that exists" in told(tmp_path / "none")
    (folder / "model.safetensors").unlink()
    assert "wanted weights in" in told(folder)


def test_a_folder_of_ours_is_pointed_out(folder: Path, tmp_path_factory: pytest.TempPathFactory):
    saved = tmp_path_factory.mktemp("ours") / "model"
    open_it(folder).save(saved)
    assert "unweave.load(" in told(saved)


class TestOlderFiles:
    def test_names_without_the_prefix_and_masks(self, folder: Path):
        wanted = open_it(folder).state_dict()

        def as_in_2019(tensors: dict[str, Tensor]) -> None:
            for name in list(tensors):
                tensors[name.removeprefix("transformer.")] = tensors.pop(name)
            tensors["h.0.attn.bias"] = torch.ones(1, 1, 16, 16)
            tensors["h.1.attn.masked_bias"] = torch.tensor(-1e4)

        edit_weights(folder, as_in_2019)
        got = open_it(folder).state_dict()
        assert all(torch.equal(got[name], weight) for name, weight in wanted.items())

    def test_a_tied_head_that_is_there_must_be_the_embedding(self, folder: Path):
        edit_weights(
            folder,
            lambda tensors: tensors.update({"lm_head.weight": tensors["transformer.wte.weight"].clone()}),
        )
        open_it(folder)
        edit_weights(folder, lambda tensors: tensors["lm_head.weight"].add_(1))
        assert "equal to transformer.wte.weight, since tie_word_embeddings is true" in told(folder)


class TestPickled:
    @pytest.fixture
    def pickled(self, folder: Path) -> Path:
        torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
        return folder

    def test_needs_to_be_allowed(self, pickled: Path):
        message = told(pickled)
        assert "pytorch_model.bin" in message
        assert "allow_pickle=True" in message
        assert open_it(pickled, allow_pickle=True).cfg.n_layers == 2

    def test_runs_nothing(self, pickled: Path):
        torch.save({"transformer.wte.weight": Path("x")}, pickled / "pytorch_model.bin")
        assert "pickled weights" in told(pickled, allow_pickle=True)

    def test_that_is_broken(self, pickled: Path):
        (pickled / "pytorch_model.bin").write_bytes(b"\x80\x02nothing")
        assert str(pickled / "pytorch_model.bin") in told(pickled, allow_pickle=True)

    def test_in_shards(self, pickled: Path):
        tensors = torch.load(pickled / "pytorch_model.bin", weights_only=True)
        (pickled / "pytorch_model.bin").unlink()
        names = list(tensors)
        table = {}
        for number, part in enumerate((names[:5], names[5:])):
            torch.save({name: tensors[name] for name in part}, pickled / f"part-{number}.bin")
            table |= dict.fromkeys(part, f"part-{number}.bin")
        (pickled / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": table}))
        assert open_it(pickled, allow_pickle=True).cfg.n_layers == 2


class TestMemory:
    def test_a_weight_that_needs_no_other_dtype_is_the_file_s(self, folder: Path):
        model = open_it(folder)
        before = (folder / "model.safetensors").read_bytes()
        with torch.no_grad():
            for weight in model.parameters():
                weight.add_(1.0)
        assert (folder / "model.safetensors").read_bytes() == before
        assert not torch.equal(open_it(folder).W_E, model.W_E)

    def test_a_loaded_model_s_weights_are_copied(self):
        theirs = random_model(transformers.GPT2LMHeadModel, transformers.GPT2Config(**SIZES))
        ours = HookedTransformer.from_pretrained(hf_model=theirs, device="cpu")
        before = theirs.transformer.wte.weight.clone()
        with torch.no_grad():
            ours.W_E.add_(1.0)
        assert torch.equal(theirs.transformer.wte.weight, before)
        borrowed = {weight.untyped_storage().data_ptr() for weight in theirs.parameters()}
        assert not borrowed & {weight.untyped_storage().data_ptr() for weight in ours.parameters()}

    def test_opening_leaves_the_random_state_alone(self, folder: Path):
        state = torch.get_rng_state()
        open_it(folder)
        assert torch.equal(torch.get_rng_state(), state)

    def test_every_parameter_can_be_trained(self, folder: Path):
        model = open_it(folder)
        model(torch.tensor([[1, 2, 3]]), return_type="loss").backward()
        assert all(weight.grad is not None for weight in model.parameters())
