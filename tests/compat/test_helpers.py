"""Helpers where TransformerLens has nothing to compare with: warnings, errors, the hub; and where 3.9 is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from tests.compat.datasets import ColumnDataset
from unweave.compat.transformer_lens import utilities as u
from unweave.compat.transformer_lens import utils
from unweave.compat.warned import CompatWarning
from unweave.core.errors import InputError


def test_utils_has_every_name_of_utilities():
    assert {name: getattr(utils, name) for name in u.__all__} == {
        name: getattr(u, name) for name in u.__all__
    }


def test_an_unknown_shorthand_is_spelled_out_with_a_warning():
    with pytest.warns(
        CompatWarning, match=r"get_act_name: wanted the name of a site; got 'sae_in'.*'hook_sae_in'"
    ):
        assert u.get_act_name("sae_in") == "hook_sae_in"
    with pytest.warns(CompatWarning, match="'blocks.3.mlp.hook_sae_in'"):
        assert u.get_act_name("sae_in", 3, "mlp") == "blocks.3.mlp.hook_sae_in"


def test_a_slice_of_nothing_gives_nothing_with_a_warning():
    with pytest.warns(CompatWarning, match=r"Slice: slice\(3, 3, None\) Mode: slice  picks nothing of 5"):
        assert u.Slice((3, 3)).apply(torch.arange(5)).tolist() == []
    with pytest.warns(CompatWarning, match="picks nothing of 2"):
        assert u.Slice(torch.tensor([False, False])).indices(2).tolist() == []
    with pytest.raises(InputError, match="wanted indices from -5 to 4; got 7"):
        u.Slice(7).apply(torch.arange(5))


def test_a_loss_of_no_prediction_is_nan_with_a_warning():
    with pytest.warns(CompatWarning, match="there is no next token to predict, so the loss is NaN"):
        assert u.lm_cross_entropy_loss(torch.zeros(1, 1, 3), torch.zeros(1, 1, dtype=torch.long)).isnan()
    with pytest.raises(
        InputError, match=r"wanted attention_mask of shape \(1, 2\), that of tokens; got \(1, 3\)"
    ):
        u.lm_cross_entropy_loss(
            torch.zeros(1, 2, 3), torch.zeros(1, 2, dtype=torch.long), torch.ones(1, 3, dtype=torch.long)
        )


def test_losses_worked_by_hand():
    # Three equal logits: log 3 for each next token, whatever it is.
    logits, tokens = torch.zeros(1, 3, 3), torch.tensor([[0, 1, 2]])
    assert u.lm_cross_entropy_loss(logits, tokens).item() == pytest.approx(np.log(3))
    sure = torch.full((1, 3, 3), -50.0)
    sure[0, [0, 1], [1, 2]] = 50.0
    assert u.lm_cross_entropy_loss(sure, tokens).item() == pytest.approx(0.0)
    assert u.lm_accuracy(sure, tokens).item() == 1.0
    # The mistake of comparing with the token at the same place is right of none of them.
    assert (sure.argmax(-1) == tokens)[:, :-1].sum() == 0


def test_gpu_memory_is_in_gib(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 3 * 2**30)
    u.print_gpu_mem("after")
    assert capsys.readouterr().out == "after ~ 3.00 GiB allocated on GPU.\n"  # 3.9 prints 0.0


def test_the_device_is_not_mps_unless_that_is_allowed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert u.get_device() == "cpu"
    with pytest.warns(CompatWarning, match="torch has given wrong numbers on MPS before"):
        u.warn_if_mps("mps")
    u.warn_if_mps(torch.device("mps"))  # once is enough
    monkeypatch.setenv("TRANSFORMERLENS_ALLOW_MPS", "1")
    assert u.get_device() == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert u.get_device() == "cuda"


def test_moving_a_model_tells_its_config(capsys: pytest.CaptureFixture[str]):
    class Model(torch.nn.Linear):
        cfg = SimpleNamespace(device="cpu", dtype=torch.float32)

    model = Model(2, 2)
    moved = u.move_to_and_update_config(model, torch.float64)
    assert moved is model and model.cfg.dtype is model.weight.dtype is torch.float64
    u.move_to_and_update_config(model, "meta", print_details=False)
    assert model.cfg.device == "meta" and model.weight.device.type == "meta"
    assert capsys.readouterr().out == "Changing model dtype to torch.float64\n"


def test_without_cuda_there_is_no_best_cuda_device(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(InputError, match="wanted a CUDA device; got none"):
        u.get_best_available_cuda_device()
    assert u.get_best_available_device(SimpleNamespace(device="cpu", n_devices=1)) == torch.device("cpu")
    free = {0: 10, 1: 40, 2: 30}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda i: 50 - free[i])
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda i: SimpleNamespace(total_memory=50))
    assert u.get_best_available_device(SimpleNamespace(device="cuda", n_devices=3)) == torch.device("cuda", 1)
    assert u.get_best_available_cuda_device(1) == torch.device("cuda", 0)
    spread = SimpleNamespace(hf_device_map={"a": 0, "b": 1, "c": 0})
    assert u.count_unique_devices(spread) == 2 and u.find_embedding_device(SimpleNamespace()) is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: u.get_dataset("c5"), "wanted one of openwebtext, .*; got 'c5'; nearest: c4"),
        (lambda: u.to_numpy(None), "wanted a tensor, array, .*; got NoneType"),
        (lambda: u.LocallyOverridenDefaults(None, device="cpu"), "got 'device'"),
        (lambda: u.sample_logits(torch.zeros(1, 3), freq_penalty=1.0), "wanted tokens, with freq_penalty"),
        (lambda: u.sample_logits(torch.zeros(1, 3), top_k=0), "top_k; got 0"),
        (lambda: u.calc_fan_in_and_fan_out(torch.tensor(1.0)), r"got shape \(\)"),
        (lambda: _swap(torch.zeros(2, 2)), r"wanted shape \(3,\) and torch.float32, the parameter's own"),
    ],
)
def test_mistakes_are_named(call: Any, words: str):
    with pytest.raises(InputError, match=words):
        call()


def _swap(value: torch.Tensor) -> None:
    with u.temporarily_swap_parameter(torch.nn.Parameter(torch.zeros(3)), value):
        pass


def test_rows_without_bos_are_told():
    tokenizer = SimpleNamespace(bos_token_id=0, pad_token_id=0, padding_side="left")
    with pytest.raises(InputError, match="wanted BOS in front of every row; got a row that begins with text"):
        u.get_tokens_with_bos_removed(tokenizer, torch.tensor([[0, 1], [2, 1]]))


def test_text_cannot_be_joined_without_eos():
    with pytest.raises(InputError, match="wanted a tokenizer with EOS, and BOS; got one without"):
        u.tokenize_and_concatenate(
            ColumnDataset({"text": ["a"]}), SimpleNamespace(bos_token_id=None, eos_token_id=1, pad_token_id=1)
        )


def test_a_tokenizer_is_loaded_again_only_if_it_adds_no_bos(monkeypatch: pytest.MonkeyPatch):
    class Auto:
        @staticmethod
        def from_pretrained(name: str, **options: Any) -> Any:
            return SimpleNamespace(name=name, options=options, padding_side="right")

    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(AutoTokenizer=Auto))
    adds = SimpleNamespace(bos_token="<s>", init_kwargs={"name_or_path": "x", "add_bos_token": True})
    none = SimpleNamespace(bos_token=None, init_kwargs={"name_or_path": "x"})
    assert u.get_tokenizer_with_bos(adds) is adds and u.get_tokenizer_with_bos(none) is none
    bare = SimpleNamespace(
        bos_token="<s>", init_kwargs={"name_or_path": "x", "legacy": 1}, padding_side="left"
    )
    found = u.get_tokenizer_with_bos(bare)
    assert (found.name, found.padding_side) == ("x", "left")
    assert found.options == {"add_bos_token": True, "token": None, "legacy": 1}


def test_what_needs_the_hub_says_which_package_is_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        InputError, match=r"wanted the package datasets, to load a dataset .*; pip install datasets"
    ):
        u.get_dataset("pile")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(InputError, match="pip install huggingface_hub"):
        u.download_file_from_hf("a/b", "config.json")


def test_a_dataset_is_asked_of_the_hub(monkeypatch: pytest.MonkeyPatch):
    asked: list[Any] = []
    monkeypatch.setitem(
        sys.modules,
        "datasets",
        SimpleNamespace(load_dataset=lambda *names, **options: asked.append((names, options)) or "rows"),
    )
    assert u.get_dataset("owt", data_dir="d") == "rows"
    assert asked == [(("stas/openwebtext-10k",), {"split": "train", "data_dir": "d"})]


def test_a_downloaded_file_is_opened_by_its_kind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    torch.save({"a": torch.ones(2)}, tmp_path / "model.pth")
    torch.save({"a": torch.ones(2)}, tmp_path / "model.bin")
    (tmp_path / "config.json").write_text(json.dumps({"d": 1}))

    def hf_hub_download(
        repo_id: str, filename: str, subfolder: str, cache_dir: Any, revision: str = "main"
    ) -> str:
        assert (repo_id, subfolder, revision) == ("a/b", "s", "r")
        return str(tmp_path / filename)

    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(hf_hub_download=hf_hub_download))
    how = {"subfolder": "s", "revision": "r", "unknown": 1}
    assert u.download_file_from_hf("a/b", "model.pth", **how)["a"].tolist() == [1, 1]
    assert u.download_file_from_hf("a/b", "model.bin", force_is_torch=True, **how)["a"].tolist() == [1, 1]
    assert u.download_file_from_hf("a/b", "config.json", **how) == {"d": 1}
    assert u.download_file_from_hf("a/b", "model.bin", **how) == str(tmp_path / "model.bin")


def test_a_pickle_that_would_run_something_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    class Runs:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "run",)

    torch.save({"a": Runs()}, tmp_path / "model.pth")
    monkeypatch.setitem(
        sys.modules,
        "huggingface_hub",
        SimpleNamespace(hf_hub_download=lambda **_: str(tmp_path / "model.pth")),
    )
    with pytest.raises(Exception, match="weights_only"):  # torch's own error
        u.download_file_from_hf("a/b", "model.pth")
    assert not (tmp_path / "run").exists()


def test_the_hubs_cache_can_be_cleared(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from huggingface_hub import constants

    cache = tmp_path / "hub"
    (cache / "models--a").mkdir(parents=True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    u.clear_huggingface_cache()
    assert not cache.exists()
    u.clear_huggingface_cache()
