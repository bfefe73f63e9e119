"""Writers that are killed, and several at once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.analysis.store.driver import data
from tests.analysis.store.test_rows import SITE, tokens_of
from tests.model.small import small_model
from tests.repository import ROOT
from unweave import store
from unweave.core.errors import InputError


def started(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.analysis.store.driver", *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def whole(folder: Path) -> store.Store:
    return store.write(small_model(), data(), SITE, folder, batch_size=4, shard_tokens=20)


def test_killed_at_any_moment_it_goes_on_to_the_same_store(tmp_path: Path):
    child = started("kill", str(tmp_path / "killed"))
    told, _ = child.communicate()
    assert child.returncode == 0, told
    # Something was left lying: half a file under another name than the shard's, and a shard that no index names.
    assert "safetensors." in told and "part-000.json" in told
    with pytest.raises(
        InputError, match=r"wanted a finished store .*; got part 0 unfinished, with \d+ tokens in \d shards"
    ):
        store.open(tmp_path / "killed")
    before = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "killed").glob("part-*shard*")}
    resumed, uninterrupted = whole(tmp_path / "killed"), whole(tmp_path / "whole")
    assert resumed.index == uninterrupted.index
    for shard in resumed.index.shards:
        ours, theirs = ((tmp_path / name / shard.file).read_bytes() for name in ("killed", "whole"))
        assert ours == theirs
    # The plausible mistake: beginning again. What an index named was not written twice.
    kept = {name for name in before if (tmp_path / "killed" / name).stat().st_mtime_ns == before[name]}
    assert len(kept) >= 2
    left = [path.name for path in (tmp_path / "killed").iterdir() if path.name.endswith(".part")]
    assert left == []


def test_two_processes_write_one_store(tmp_path: Path):
    children = [started(str(part), str(tmp_path / "both"), "2") for part in (0, 1)]
    assert [(child.communicate(), child.returncode)[1] for child in children] == [0, 0]
    both, alone = store.open(tmp_path / "both"), whole(tmp_path / "alone")
    assert {shard.file[:8] for shard in both.index.shards} == {"part-000", "part-001"}
    assert both.index.data == alone.index.data and len(both) == len(alone) == 180
    # Each sample is there once, wherever it stands; a writer that took all samples would show as 360 rows.
    for sample in range(30):
        rows, same = both.rows_of(sample), alone.rows_of(sample)
        torch.testing.assert_close(both[SITE][list(rows)], alone[SITE][list(same)], rtol=1e-5, atol=1e-6)
        assert both.tokens[list(rows)].tolist() == tokens_of(30)[sample].tolist()


def test_parts_one_after_the_other_and_what_is_missing(tmp_path: Path):
    def part(number: int, tokens: torch.Tensor) -> None:
        store.write_part(small_model(), tokens, SITE, tmp_path / "s", part=number, of=2)

    part(1, tokens_of(5))
    with pytest.raises(
        InputError, match=r"wanted a finished store in .*; got part 0 not begun; call store.write"
    ):
        store.open(tmp_path / "s")
    with pytest.raises(InputError, match=r"wanted a store with parts 3 in .*; got one with 2"):
        store.write_part(small_model(), tokens_of(5), SITE, tmp_path / "s", part=0, of=3)
    with pytest.raises(
        InputError, match=r"wanted parts of one dataset in .*; got 4 samples \(\w+\) in part 0 and 5"
    ):
        part(0, tokens_of(4))


@pytest.mark.slow
def test_memory_stays_at_a_shard_and_a_batch(tmp_path: Path):
    script = """
import resource, sys, torch, unweave
model = unweave.HookedTransformer(unweave.HookedTransformerConfig(
    n_layers=1, d_model=512, d_head=64, n_ctx=64, d_vocab=10, attn_only=True, seed=0))
def data(n):
    for number in range(n):
        yield torch.randint(0, 10, (32, 64), generator=torch.Generator().manual_seed(number))
def peak(n, folder):
    unweave.store.write(model, data(n), "resid_post", folder, shard_tokens=2048)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
small, large = peak(10, sys.argv[1] + "/a"), peak(100, sys.argv[1] + "/b")
print(large - small)
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    # 400 MiB were written in shards of 4.
    assert float(ran.stdout) < 40
