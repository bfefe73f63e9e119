"""The hub, where there is none: its cache, laid out by hand, and the errors that its library raises."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import httpx2
import huggingface_hub
import pytest
from huggingface_hub import errors

from tests.pretrained.family import random_model, transformers
from unweave import HookedTransformer
from unweave.core.errors import InputError
from unweave.pretrained.hub import Hub

SIZES = {"n_embd": 8, "n_head": 2, "n_layer": 2, "n_positions": 16, "vocab_size": 20}
SIZES |= {"bos_token_id": 0, "eos_token_id": 0}
COMMITS = {"main": "1" * 40, "step512": "2" * 40}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache as the hub's library leaves it after a download: one model at two revisions."""
    home = tmp_path / "models--EleutherAI--pythia-70m"
    for revision, commit in COMMITS.items():
        config = transformers.GPT2Config(**{**SIZES, "n_layer": 2 if revision == "main" else 1})
        snapshot = home / "snapshots" / commit
        random_model(transformers.GPT2LMHeadModel, config).save_pretrained(snapshot, max_shard_size="5KB")
        reference = home / "refs" / revision
        reference.parent.mkdir(parents=True, exist_ok=True)
        reference.write_text(commit)
    return tmp_path


def open_it(name: str, **asked: Any) -> HookedTransformer:
    return HookedTransformer.from_pretrained(name, device="cpu", local_files_only=True, **asked)


def told(error: Exception, monkeypatch: pytest.MonkeyPatch, **asked: Any) -> str:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(InputError) as raised:
        Hub("someone/something", **asked).find("config.json")
    return str(raised.value)


def response(status: int) -> httpx2.Response:
    return httpx2.Response(status, request=httpx2.Request("GET", "https://huggingface.co"))


def test_a_model_in_the_cache(cache: Path):
    model = open_it("pythia-70m", cache_dir=cache)
    assert model.cfg.n_layers == 2
    assert model.cfg.model_name == "pythia-70m"


def test_a_training_checkpoint_is_a_revision(cache: Path):
    assert open_it("pythia-70m", cache_dir=cache, checkpoint_value=512).cfg.n_layers == 1
    assert open_it("pythia", cache_dir=cache, checkpoint_index=10).cfg.n_layers == 1
    assert open_it("pythia-70m", cache_dir=cache, revision="step512").cfg.n_layers == 1


def test_offline_and_not_in_the_cache(cache: Path):
    with pytest.raises(
        InputError, match="offline mode, and they aren't in the cache; download them where"
    ) as error:
        open_it("EleutherAI/pythia-160m", cache_dir=cache)
    assert "hf download EleutherAI/pythia-160m" in str(error.value)


def test_a_shard_that_is_not_in_the_cache(cache: Path):
    snapshot = cache / "models--EleutherAI--pythia-70m" / "snapshots" / COMMITS["main"]
    sorted(snapshot.glob("*.safetensors"))[0].unlink()
    with pytest.raises(InputError, match="model-00001-of"):
        open_it("pythia-70m", cache_dir=cache)


def test_a_gated_model_without_a_token(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    message = told(errors.GatedRepoError("gated", response=response(401)), monkeypatch)
    assert "got no hub token" in message
    assert "accept its conditions at https://huggingface.co/someone/something, then set HF_TOKEN" in message


def test_a_gated_model_with_a_token_that_may_not(monkeypatch: pytest.MonkeyPatch):
    message = told(errors.GatedRepoError("gated", response=response(403)), monkeypatch, token="hf_x")
    assert "got a hub token without access to it" in message


def test_no_such_model_and_no_such_revision(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    message = told(errors.RepositoryNotFoundError("none", response=response(404)), monkeypatch)
    assert "got no model someone/something that anyone without a token may see" in message
    error = errors.RevisionNotFoundError("none", response=response(404))
    assert "got 'step3'" in told(error, monkeypatch, revision="step3")


def test_no_network(monkeypatch: pytest.MonkeyPatch):
    message = told(errors.LocalEntryNotFoundError("no connection"), monkeypatch)
    assert "the hub can't be reached" in message
    assert "--local-dir" in message


def test_a_name_that_is_none():
    with pytest.raises(InputError, match="a folder that exists, or a hub id"):
        HookedTransformer.from_pretrained("one/two/three")
    with pytest.raises(InputError, match="a hub id 'owner/name'"):
        HookedTransformer.from_pretrained("gpt2 small", local_files_only=True)


def test_the_library_is_named_where_it_is_missing(monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr("unweave.pretrained.hub.import_module", missing)
    with pytest.raises(InputError, match=r'pip install "unweave\[hf\]"'):
        HookedTransformer.from_pretrained("gpt2")


def test_the_cache_s_layout_is_the_library_s(cache: Path):
    """The fixture is as real as it should be."""
    found = huggingface_hub.try_to_load_from_cache("EleutherAI/pythia-70m", "config.json", cache_dir=cache)
    assert isinstance(found, str)
    shutil.rmtree(cache)
