"""Folders that cannot be opened: each says what is wrong, in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.model.small import small_model
from unweave.core.errors import InputError
from unweave.model.saved import load


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    small_model().save(tmp_path / "model")
    return tmp_path / "model"


def refusal(folder: Path) -> str:
    with pytest.raises(InputError) as raised:
        load(folder)
    assert "\n" not in str(raised.value)
    return str(raised.value)


def edit_head(folder: Path, edit: Callable[[dict], object]) -> None:
    head = json.loads((folder / "config.json").read_text())
    edit(head)
    (folder / "config.json").write_text(json.dumps(head))


def edit_weights(folder: Path, edit: Callable[[dict], object]) -> None:
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize("kept", [0, 1, 7, 8, 100, 0.5, 0.9, -1])
def test_weights_cut_short(folder: Path, kept: float):
    weights = folder / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
    sentence = refusal(folder)
    assert sentence.startswith(f"wanted whole weights in {weights}; got ")
    assert sentence.endswith("; take an earlier checkpoint, or copy the folder again")


def test_weights_that_are_not_there(folder: Path):
    (folder / "model.safetensors").unlink()
    assert refusal(folder).startswith(
        f"wanted whole weights in {folder / 'model.safetensors'}; got No such file"
    )


def test_a_folder_that_is_not_there(tmp_path: Path):
    assert refusal(tmp_path / "nowhere") == (
        f"wanted a model folder; got no file {tmp_path / 'nowhere' / 'config.json'}; "
        "name a folder that model.save(DIR) wrote"
    )


@pytest.mark.parametrize(
    "text", ["", "{", "{'a': 1}", "\x00\x01", '{"format": "unweave-model", "config": {"n_lay']
)
def test_a_config_that_is_not_json(folder: Path, text: str):
    (folder / "config.json").write_text(text)
    sentence = refusal(folder)
    assert sentence.startswith(f"wanted readable JSON in {folder / 'config.json'}; got ")
    assert sentence.endswith("; name a folder that model.save(DIR) wrote")


def test_a_config_that_is_not_text(folder: Path):
    (folder / "config.json").write_bytes(b"\xff\xfe\x00\x80")
    assert refusal(folder).startswith(f"wanted readable JSON in {folder / 'config.json'}; got 'utf-8' codec")


@pytest.mark.parametrize("text", ["[]", "3", '{"model_type": "gpt2"}', '{"format": "unweave-model"}'])
def test_a_config_of_something_else(folder: Path, text: str):
    (folder / "config.json").write_text(text)
    assert refusal(folder).startswith(
        f"wanted a config of format unweave-model in {folder / 'config.json'}; got another file;"
    )


def test_a_newer_format(folder: Path):
    edit_head(folder, lambda head: head.update(format_version=2))
    assert refusal(folder) == (
        f"wanted format version 1 in {folder / 'config.json'}; got 2; "
        "open it with the version of unweave that wrote it, or a newer one"
    )


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            lambda config: config.update(rotary_dims=4),
            "wanted a field of HookedTransformerConfig in {}; got 'rotary_dims'",
        ),
        (lambda config: config.pop("d_model"), "wanted a value for d_model in {}; got none;"),
        (
            lambda config: config.update(d_model=-8),
            "wanted a whole number of at least 1 for d_model in {}; got -8;",
        ),
    ],
)
def test_a_config_with_a_wrong_field(folder: Path, edit: Callable[[dict], object], sentence: str):
    edit_head(folder, lambda head: edit(head["config"]))
    assert refusal(folder).startswith(sentence.format(folder / "config.json"))


def test_a_config_that_is_no_table(folder: Path):
    edit_head(folder, lambda head: head.update(config=[1, 2]))
    assert refusal(folder).startswith(
        f"wanted a table of config fields in {folder / 'config.json'}; got [1, 2];"
    )


@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            lambda tensors: tensors.update({"embed.W_E": torch.zeros(3, 8)}),
            "wanted shape (11, 8) and torch.float32 for embed.W_E in {}; got shape (3, 8) and torch.float32;",
        ),
        (
            lambda tensors: tensors.update({"embed.W_E": torch.zeros(11, 8, dtype=torch.float64)}),
            "wanted shape (11, 8) and torch.float32 for embed.W_E in {}; got shape (11, 8) and torch.float64",
        ),
        (
            lambda tensors: tensors.pop("unembed.b_U"),
            "wanted shape (11,) and torch.float32 for unembed.b_U in {}; got no such tensor;",
        ),
        (
            lambda tensors: tensors.update({"blocks.2.attn.b_O": torch.zeros(8)}),
            "wanted no such tensor for blocks.2.attn.b_O in {}; got shape (8,) and torch.float32;",
        ),
    ],
)
def test_weights_that_belong_to_another_config(folder: Path, edit: Callable[[dict], object], sentence: str):
    edit_weights(folder, edit)
    refused = refusal(folder)
    assert refused.startswith(sentence.format(folder / "model.safetensors"))
    assert refused.endswith("; the weights belong to another config: copy both files from one folder")
