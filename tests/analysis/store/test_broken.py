"""Stores that are torn, of another model, or being written elsewhere; and disks that are full."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
import torch

from tests.analysis.store.test_rows import SITE, tokens_of
from tests.model.small import small_model
from unweave import store
from unweave.analysis.store.lock import locked
from unweave.core.errors import InputError


def written(folder: Path) -> store.Store:
    return store.write(small_model(), tokens_of(6), SITE, folder, shard_tokens=8)


def test_a_shard_that_is_cut_short_is_told_on_opening(tmp_path: Path):
    shard = tmp_path / "s" / written(tmp_path / "s").index.shards[1].file
    shard.write_bytes(shard.read_bytes()[:-5])
    with pytest.raises(
        InputError, match=r"wanted a whole shard .*shard-00001.safetensors; got \d+ bytes of \d+; restore"
    ):
        store.open(tmp_path / "s")
    shard.unlink()
    with pytest.raises(InputError, match=r"wanted a whole shard .*; got none"):
        store.open(tmp_path / "s")
    # Its remedy: writing again makes what is missing, the same as it was.
    assert written(tmp_path / "s").index == written(tmp_path / "other").index


def test_a_changed_byte_is_told_when_its_shard_is_read(tmp_path: Path):
    kept = written(tmp_path / "s")
    shard = tmp_path / "s" / kept.index.shards[1].file
    raw = bytearray(shard.read_bytes())
    raw[-3] ^= 1
    shard.write_bytes(raw)
    opened = store.open(tmp_path / "s")
    first = kept.index.shards[0].rows
    opened[SITE][:first]
    with pytest.raises(InputError, match=r"wanted a whole shard .*; got other bytes: its hash differs"):
        opened[SITE][first]
    with pytest.raises(InputError, match="its hash differs"):
        store.open(tmp_path / "s").verify()
    # Lengths alone don't show it.
    store.open(tmp_path / "s", verify=False)[SITE][first]


def test_an_index_that_is_torn_or_newer(tmp_path: Path):
    written(tmp_path / "s")
    path = tmp_path / "s" / "index.json"
    whole = path.read_text()
    path.write_text(whole[:100])
    with pytest.raises(InputError, match=r"wanted a whole index in .*index.json; got JSONDecodeError"):
        store.open(tmp_path / "s")
    path.write_text(json.dumps({**json.loads(whole), "format_version": 9}))
    with pytest.raises(
        InputError, match=r"wanted unweave-activations of version 1 .*; got unweave-activations of version 9"
    ):
        store.open(tmp_path / "s")


def test_another_models_weights(tmp_path: Path):
    written(tmp_path / "s")
    store.open(tmp_path / "s", model=small_model())
    other = small_model()
    with torch.no_grad():
        other.blocks[1].mlp.b_out[0] += 1e-3
    with pytest.raises(
        InputError, match=r"wanted the model whose activations .* holds, with weights \w+; got one with"
    ):
        store.open(tmp_path / "s", model=other)
    with pytest.raises(
        InputError, match=r"wanted a store with weights \w+ in .*; got one with \w+; name another folder"
    ):
        store.write(other, tokens_of(6), SITE, tmp_path / "s", shard_tokens=8)


def test_another_store_is_not_written_over(tmp_path: Path):
    before = written(tmp_path / "s")
    with pytest.raises(
        InputError, match=r"wanted a store with sites .*hook_resid_pre.* in .*; got one with .*resid_post"
    ):
        store.write(small_model(), tokens_of(6), "resid_pre", tmp_path / "s", shard_tokens=8)
    with pytest.raises(InputError, match=r"wanted a store with dtype float16 .*; got one with float32"):
        store.write(small_model(), tokens_of(6), SITE, tmp_path / "s", shard_tokens=8, dtype=torch.float16)
    with pytest.raises(
        InputError, match=r"wanted the data that the store in .* was begun with; got other tokens"
    ):
        store.write(small_model(), tokens_of(6, seed=1), SITE, tmp_path / "s", shard_tokens=8)
    with pytest.raises(InputError, match="got other tokens"):
        store.write(small_model(), tokens_of(6)[:5], SITE, tmp_path / "s", shard_tokens=8)
    with pytest.raises(InputError, match="got other tokens"):
        store.write(small_model(), torch.cat([tokens_of(6)] * 2), SITE, tmp_path / "s", shard_tokens=8)
    assert store.open(tmp_path / "s").index == before.index


def test_a_file_that_cannot_be_written_leaves_what_is_there(tmp_path: Path):
    written(tmp_path / "other")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    # A real failure of writing: no file may grow past the first shard's index.
    resource.setrlimit(resource.RLIMIT_FSIZE, (400, hard))
    try:
        with pytest.raises(
            InputError, match=r"wanted to write 0.0 MiB to .*; got .*File too large.*; make room, and write"
        ):
            written(tmp_path / "s")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list((tmp_path / "s").glob("*.safetensors")), "a torn shard under its real name"
    with pytest.raises(InputError, match=r"wanted a store of activations in .*; got none"):
        store.open(tmp_path / "s")
    assert written(tmp_path / "s").index == store.open(tmp_path / "other").index


def test_one_writer_a_part(tmp_path: Path):
    (tmp_path / "s").mkdir()
    with (
        locked(tmp_path / "s" / ".part-000.lock"),
        pytest.raises(
            InputError, match=r"wanted a part of .* that nobody else is writing; got .part-000.lock"
        ),
    ):
        written(tmp_path / "s")
    written(tmp_path / "s")
