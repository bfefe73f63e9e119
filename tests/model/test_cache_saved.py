"""A cache as a file that is read tensor by tensor."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from tests.core.unchecked import as_users_run
from tests.model.small import small_model, small_tokens
from unweave.core.errors import InputError
from unweave.model import saved_cache
from unweave.model.cache import ActivationCache


def cached(**how: Any) -> ActivationCache:
    return small_model(positional_embedding_type="standard").run_with_cache(small_tokens(batch=1), **how)[1]


@pytest.mark.parametrize("how", [{}, {"remove_batch_dim": True}, {"pos_slice": (2, 5)}, {"detach": False}])
def test_it_comes_back_as_it_was(tmp_path: Path, how: dict):
    cache = cached(**how)
    cache.save(tmp_path / "run.safetensors")
    opened = ActivationCache.load(tmp_path / "run.safetensors", cache.model)
    assert list(opened) == list(cache), "in the order of the run"
    assert all(torch.equal(opened[name], cache[name]) for name in cache)
    assert opened.has_batch_dim == cache.has_batch_dim
    assert not any(tensor.requires_grad for tensor in opened.values())
    assert torch.equal(opened["pattern", -1], cache["pattern", 1])


def test_it_decomposes_and_takes_head_results(tmp_path: Path):
    cache = cached()
    cache.save(tmp_path / "run")
    opened = ActivationCache.load(str(tmp_path / "run"), cache.model)
    torch.testing.assert_close(opened.decompose_resid(), cache.decompose_resid())
    opened.compute_head_results()
    cache.compute_head_results()
    assert list(opened) == list(cache)
    assert torch.equal(opened["result", 1], cache["result", 1])
    opened.save(tmp_path / "run")  # over the very file that it is read from
    assert torch.equal(ActivationCache.load(tmp_path / "run")["result", 1], cache["result", 1])
    del opened.cache_dict["blocks.1.attn.hook_result"]
    assert ("result", 1) not in opened


def test_a_tensor_is_read_when_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cache, read = cached(), []

    class Counted:
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            self.file = real(*args, **kwargs)

        def metadata(self) -> Any:
            return self.file.metadata()

        def get_tensor(self, name: str) -> torch.Tensor:
            read.append(name)
            return self.file.get_tensor(name)

    real = saved_cache.safe_open
    monkeypatch.setattr(saved_cache, "safe_open", Counted)
    cache.save(tmp_path / "run")
    with as_users_run():  # checking annotations reads one
        opened = ActivationCache.load(tmp_path / "run", cache.model)
        assert ("pattern", 1) in opened
        assert list(opened) == list(cache)
        assert read == []
        _ = opened["pattern", 1]
    assert read == ["blocks.1.attn.hook_pattern"]
    with pytest.raises(KeyError, match="nearest: blocks"):
        _ = opened["pattern", 2]
    assert len(read) == 1


def test_what_is_one_tensor_is_written_once(tmp_path: Path):
    x = torch.arange(1000.0)
    ActivationCache({"a": x, "b": x, "c": x[:500], "d": x.reshape(2, 500)}, None).save(tmp_path / "run")
    assert 4 * 2500 < (tmp_path / "run").stat().st_size < 4 * 2500 + 1000
    opened = ActivationCache.load(tmp_path / "run")
    assert torch.equal(opened["b"], x)
    assert torch.equal(opened["c"], x[:500])
    assert opened["d"].shape == (2, 500)


def test_an_edit_in_place_never_reaches_the_file(tmp_path: Path):
    cached().save(tmp_path / "run")
    opened = ActivationCache.load(tmp_path / "run")
    opened["embed"].zero_()
    assert not opened["embed"].any()
    assert ActivationCache.load(tmp_path / "run")["embed"].any()


def test_it_goes_where_it_is_asked_to(tmp_path: Path):
    cached().save(tmp_path / "run")
    with pytest.raises(InputError, match="wanted a device of this machine; got 'cuba'"):
        ActivationCache.load(tmp_path / "run", device="cuba")
    assert ActivationCache.load(tmp_path / "run", device="cpu").to("meta")["embed"].device.type == "meta"


def test_another_models_layers_are_refused(tmp_path: Path):
    cached().save(tmp_path / "run")
    with pytest.raises(
        InputError, match=r"wanted activations of a model of 3 layers in .*run; got those of one of 2"
    ):
        ActivationCache.load(tmp_path / "run", small_model(n_layers=3))


def test_what_is_no_cache_is_refused(tmp_path: Path):
    path = tmp_path / "run"
    with pytest.raises(InputError, match=r"wanted a whole file of activations in .*run"):
        ActivationCache.load(path)
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(
        InputError, match=r"wanted unweave-cache of version 1 in .*run; got None of version None"
    ):
        ActivationCache.load(path)
    head = {"format": "unweave-cache", "format_version": 2}
    save_file({"a": torch.ones(1)}, path, metadata={"unweave": json.dumps(head)})
    with pytest.raises(InputError, match="got unweave-cache of version 2"):
        ActivationCache.load(path)
    cached().save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="wanted a whole file of activations"):
        ActivationCache.load(path)


def test_a_save_that_fails_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cache, path = cached(), tmp_path / "run"
    cache.save(path)
    before = path.read_bytes()

    def fail(*args: Any, **kwargs: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(saved_cache, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        cache.save(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["run"]
    with pytest.raises(InputError, match="wanted the name of a file to write"):
        cache.save(tmp_path)
