from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.model.small import small_model, small_tokens
from unweave.core.errors import InputError
from unweave.model.saved import load
from unweave.model.transformer import HookedTransformer


def same_bits(first: HookedTransformer, second: HookedTransformer) -> bool:
    one, two = first.state_dict(), second.state_dict()
    return list(one) == list(two) and all(
        one[name].dtype == two[name].dtype and torch.equal(one[name], two[name]) for name in one
    )


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("positions", ["none", "standard", "sinusoidal"])
def test_what_is_loaded_is_what_was_saved_to_the_bit(tmp_path: Path, dtype: str, positions: str):
    model = small_model(dtype=dtype, positional_embedding_type=positions)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.cfg == model.cfg
    assert same_bits(again, model)
    assert torch.equal(again(small_tokens()), model(small_tokens()))


@pytest.mark.parametrize("as_type", [str, Path])
def test_a_folder_may_be_a_string_or_a_path(tmp_path: Path, as_type: type):
    folder = as_type(tmp_path / "deep" / "model")
    small_model().save(folder)
    assert load(folder).cfg.n_layers == 2


def test_the_config_is_json_to_read(tmp_path: Path):
    small_model().save(tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "config.json",
        "model.safetensors",
    ]
    head = json.loads((tmp_path / "model" / "config.json").read_text())
    assert (head["format"], head["format_version"]) == ("unweave-model", 1)
    assert (head["config"]["d_model"], head["config"]["positional_embedding_type"]) == (8, "none")


def test_a_model_that_was_converted_keeps_its_bits(tmp_path: Path):
    model = small_model().double()
    with torch.no_grad():
        model.embed.W_E += 1e-12  # lost in float32
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert again.cfg.dtype == "float64"
    assert same_bits(again, model)


def test_a_dtype_that_no_config_can_name_is_refused_and_nothing_written(tmp_path: Path):
    model = small_model()
    model.embed.half()
    with pytest.raises(InputError) as raised:
        model.save(tmp_path / "model")
    assert str(raised.value) == (
        "wanted weights of one dtype, one of float32, float64, bfloat16, float16; got float16, float32; "
        "convert the model first, as by model.float()"
    )
    assert list(tmp_path.iterdir()) == []


def test_an_older_model_is_replaced(tmp_path: Path):
    small_model(seed=0).save(tmp_path / "model")
    second = small_model(seed=1)
    second.save(tmp_path / "model")
    assert same_bits(load(tmp_path / "model"), second)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_failure_while_saving_leaves_the_older_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    first = small_model(seed=0)
    first.save(tmp_path / "model")

    def half(tensors: dict, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError("no space left")

    monkeypatch.setattr("unweave.model.saved.save_file", half)
    with pytest.raises(OSError, match="no space"):
        small_model(seed=1).save(tmp_path / "model")
    assert same_bits(load(tmp_path / "model"), first)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    "held",
    [
        {"thesis.tex": "years of work"},
        # Another tool's model, under the very same names.
        {"config.json": '{"model_type": "gpt2"}', "model.safetensors": "weights"},
        {"config.json": "not json"},
        {"config.json": '{"format": "unweave-model"}', "notes.md": "mine"},
        {"model.safetensors": "weights"},
    ],
    ids=lambda held: "+".join(held),
)
def test_a_folder_that_holds_other_files_is_not_replaced(tmp_path: Path, held: dict[str, str]):
    for name, text in held.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(InputError) as raised:
        small_model().save(tmp_path)
    assert str(raised.value) == (
        f"wanted a new folder, or one that holds nothing but a saved model; got {tmp_path}, "
        "which holds other files; name a folder of its own for the model"
    )
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == held


def test_an_empty_folder_is_filled(tmp_path: Path):
    (tmp_path / "model").mkdir()
    small_model().save(tmp_path / "model")
    assert load(tmp_path / "model").cfg.n_layers == 2


def test_a_file_where_the_folder_should_be_is_told_and_kept(tmp_path: Path):
    path = tmp_path / "model"
    path.write_text("mine")
    for action in (small_model().save, load):
        with pytest.raises(
            InputError, match=r"^wanted a (folder for the model|model folder); got .* is a file"
        ):
            action(path)
    assert path.read_text() == "mine"


def test_loading_leaves_the_global_random_state_alone(tmp_path: Path):
    small_model(seed=None).save(tmp_path / "model")
    before = torch.random.get_rng_state()
    load(tmp_path / "model")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_the_device_is_chosen_when_it_is_opened(tmp_path: Path):
    model = small_model()
    model.cfg.device = "cuda"  # as it would stand there if it had been trained on one
    model.save(tmp_path / "model")
    assert load(tmp_path / "model").cfg.device == "cpu"
    assert load(tmp_path / "model", device="cpu").W_E.device.type == "cpu"
